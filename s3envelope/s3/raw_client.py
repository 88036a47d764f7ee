"""What a transfer manager needs of a client to copy stored bytes, in ciphertext terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3envelope.s3.auditing import request_ids

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam


class RawClient:
    """The operations of a managed copy, without sealing and opening.

    It is given to nobody but the transfer manager of one copy, whose parameters have been given a new envelope. It has
    exactly the operations below: what is not listed cannot be called.
    """

    def __init__(self, seam: Seam) -> None:
        client = seam.client()
        self._seam = seam
        # Keeps the client alive as long as the copy runs.
        self._client = client
        self.meta = client.meta
        self.request_ids: list[str] = []
        self.exceptions = client.exceptions

    def _sent(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer = self._seam.inner(operation, parameters)
        self.request_ids += request_ids(answer)
        return answer

    def copy_object(self, **parameters: Any) -> dict[str, Any]:
        return self._sent("CopyObject", parameters)

    def create_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        return self._sent("CreateMultipartUpload", parameters)

    def upload_part_copy(self, **parameters: Any) -> dict[str, Any]:
        return self._sent("UploadPartCopy", parameters)

    def complete_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        return self._sent("CompleteMultipartUpload", parameters)

    def abort_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        return self._seam.inner("AbortMultipartUpload", parameters)

    def get_object_tagging(self, **parameters: Any) -> dict[str, Any]:
        return self._seam.inner("GetObjectTagging", parameters)

    def put_object_tagging(self, **parameters: Any) -> dict[str, Any]:
        return self._seam.inner("PutObjectTagging", parameters)
