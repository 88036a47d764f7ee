"""A file that is written: it is there when it is whole, or not at all."""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from fsspec.spec import AbstractBufferedFile

from s3envelope.core.layout import MAX_PART_NUMBER, round_up_part_size
from s3envelope.errors import ConfigurationError
from s3envelope.fs.leaving import blocks_left_by_exceptions
from s3envelope.fs.locations import s3_errors

if TYPE_CHECKING:
    from s3envelope.fs.filesystem import S3EnvelopeFileSystem

DEFAULT_PART_SIZE = 16 << 20
_LOGGER = logging.getLogger("s3envelope.fs")
# What the calls for the parts of an upload repeat.
_CARRIED = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer", "ExpectedBucketOwner")


class EnvelopedWriter(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file in mode "wb" or "xb".

    Up to one block it is a `put_object`, beyond that a multipart upload of blocks in the plain layout, so that listings
    tell its size. One block is in memory. Closing it commits it; a `with` block that an exception leaves, a failed
    request and the garbage collector discard it. "xb" is decided by S3 when it is committed.

    Args:
        fs, path, mode: As for every file of fsspec.
        block_size: Bytes of a part: rounded up to a multiple of 64 KiB, 5 MiB at least.
        autocommit: Whether `close` commits; else `commit` does.
        arguments: What `put_object` and `create_multipart_upload` of boto3 take, and `EncryptionContext`.
    """

    def __init__(
        self,
        fs: S3EnvelopeFileSystem,
        path: str,
        mode: str,
        *,
        block_size: int | None = None,
        autocommit: bool = True,
        **arguments: Any,
    ) -> None:
        self._location = {"Bucket": fs.location(path).bucket, "Key": fs.location(path).key}
        self._client = fs.client
        self._blocks_left = blocks_left_by_exceptions()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._is_done = False
        part_size = round_up_part_size(block_size or DEFAULT_PART_SIZE)
        super().__init__(fs, path, mode, part_size, autocommit, **arguments)

    @property
    def _conditions(self) -> dict[str, str]:
        return {"IfNoneMatch": "*"} if self.mode == "xb" else {}

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take bytes; whole blocks are sent."""
        view = memoryview(data).cast("B")
        position = 0
        while True:
            # Every part but the last has exactly this size, and no more than one is in memory.
            room = self.blocksize - self.buffer.tell()
            piece = view[position : position + room]
            super().write(piece)
            position += len(piece)
            if position >= len(view):
                return position

    def _initiate_upload(self) -> None:
        if self.forced and self.autocommit:
            # The whole file is here: it takes no multipart upload.
            return
        with s3_errors(self.path):
            answer = self._client.create_multipart_upload(**self._location, PartSize=self.blocksize, **self.kwargs)
        self._upload_id = answer["UploadId"]

    def _upload_chunk(self, final: bool = False) -> bool:
        try:
            if self._upload_id is None:
                self._put(self.buffer.getvalue())
            elif self.buffer.tell():
                self._upload_part()
            if final and self.autocommit:
                self.commit()
        except BaseException:
            # A part that was not taken cannot be repeated by the caller: nothing of the file is left.
            self.discard()
            raise
        return True

    def _put(self, content: bytes) -> None:
        with s3_errors(self.path, is_new=self.mode == "xb"):
            self._client.put_object(**self._location, **self.kwargs, **self._conditions, Body=content)
        self._is_done = True

    def _upload_part(self) -> None:
        number = len(self._parts) + 1
        if number > MAX_PART_NUMBER:
            raise ConfigurationError(
                f"{self.path} is larger than {MAX_PART_NUMBER} parts of {self.blocksize} bytes can hold; open it with "
                "a larger block_size"
            )
        with s3_errors(self.path):
            answer = self._client.upload_part(
                **self._location,
                **self._carried(),
                UploadId=self._upload_id,
                PartNumber=number,
                Body=self.buffer.getvalue(),
            )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def _carried(self) -> dict[str, Any]:
        return {name: self.kwargs[name] for name in _CARRIED if name in self.kwargs}

    def commit(self) -> None:
        """Let the file be there; of a file that was discarded or committed before, do nothing."""
        if self._is_done:
            return
        if not self._parts:
            self.discard()
            self._put(b"")
            return
        with s3_errors(self.path, is_new=self.mode == "xb"):
            self._client.complete_multipart_upload(
                **self._location,
                **self._carried(),
                **self._conditions,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
            )
        self._is_done = True
        self.fs.invalidate_cache(self.path)

    def discard(self) -> None:
        """Leave nothing of the file."""
        upload_id, self._upload_id = self._upload_id, None
        self.closed = True
        if self._is_done or upload_id is None:
            self._is_done = True
            return
        self._is_done = True
        try:
            self._client.abort_multipart_upload(**self._location, UploadId=upload_id)
        except (ClientError, BotoCoreError) as error:
            # The error that it is discarded for is on its way to the caller, and says more.
            _LOGGER.warning(
                "the upload %s of %s could not be aborted (%s); its parts stay until it is", upload_id, self.path, error
            )

    def close(self) -> None:
        """Commit the file, if `autocommit` says so; discard it in a `with` block that an exception leaves."""
        if self.closed:
            return
        if blocks_left_by_exceptions() > self._blocks_left:
            self.discard()
            return
        try:
            super().close()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn(f"{self!r} was not closed, and is discarded", ResourceWarning, stacklevel=2, source=self)
            self.discard()


class CompressedWriter(io.BufferedIOBase):
    """A compressor together with the file that it writes to: closing one closes the other.

    Those of Python's own leave the file open that they are given. fsspec closes it when it is collected as garbage.

    Args:
        compressor: Writes to `file`.
        file: Is committed or discarded.
    """

    def __init__(self, compressor: Any, file: EnvelopedWriter) -> None:
        super().__init__()
        self._compressor = compressor
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written: int = self._compressor.write(data)
        return written

    def discard(self) -> None:
        """Leave nothing of the file."""
        self._file.discard()

    def close(self) -> None:
        """Finish the compressed stream, and close the file as that does."""
        if self.closed:
            return
        try:
            if not self._file.closed:
                self._compressor.close()
        except BaseException:
            self._file.discard()
            raise
        finally:
            super().close()
            self._file.close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        # That of the base class would close it.
        pass
