"""An object put in the place of another one in one step, by a copy of what was written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s3envelope.core.envelope import Envelope, open_header
from s3envelope.core.kdf import BodyKey
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import KeyCommitmentError, ObjectChangedError
from s3envelope.s3.auditing import about_copy, undertaken
from s3envelope.s3.copies import PRESERVED, Reader, destination_arguments, find_source, verify_copy
from s3envelope.s3.copy_over import CopiedObject, copy_over
from s3envelope.s3.responses import drop_wire_coding
from s3envelope.s3.rewrap import KEPT

_SERVER_ENCRYPTION = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")


def stored_head(client: Any, **parameters: Any) -> dict[str, Any]:
    """Return the answer to HEAD as S3 has it: with the envelope, of whatever format, in its metadata."""
    answer: dict[str, Any] = client._s3envelope.inner("HeadObject", parameters)
    return answer


def stored_body(client: Any, **parameters: Any) -> dict[str, Any]:
    """Return the answer to GET as S3 has it: nothing in it is opened, and its body is ciphertext where there is any."""
    answer: dict[str, Any] = client._s3envelope.inner("GetObject", parameters)
    return answer


def content_headers(head: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an object says of its content, as arguments of an upload."""
    kept = {name: head[name] for name in PRESERVED if head.get(name) is not None}
    drop_wire_coding(kept)
    return kept


def server_encryption(head: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the storage itself encrypts an object, as arguments of an upload."""
    return {name: head[name] for name in _SERVER_ENCRYPTION if head.get(name) is not None}


def put_in_place(client: Any, bucket: str, key: str, beside: Mapping[str, Any], *, replaced: Mapping[str, Any]) -> None:
    """Copy an enveloped object onto another key of its bucket, if the object there is still the one that is replaced.

    The copy is bound to its own key where its source was bound, and is seen to open before this returns.

    Args:
        client: An enveloped client that opens the source.
        beside: The source: `Key`, `ETag`, and `VersionId` where there is one.
        replaced: The answer to HEAD of the object under `key`; class of storage, redirect and encryption at rest are
            kept.

    Raises:
        ObjectChangedError: One of the two was overwritten meanwhile; whatever is newer stays.
        DecryptionError, KeyringError: The source, or the copy, does not open.
    """
    seam = client._s3envelope
    source_parameter = {"Bucket": bucket, "Key": beside["Key"]}
    if beside.get("VersionId"):
        source_parameter["VersionId"] = beside["VersionId"]
    kept = {name: replaced[name] for name in KEPT if replaced.get(name) is not None}
    # The copy of an upload in parts is in one part: its checksum is another one, and some servers keep the old one.
    request = {"Bucket": bucket, "Key": key, "CopySource": source_parameter, "ChecksumAlgorithm": "CRC32", **kept}
    source = find_source(seam, Reader.of(seam), request, "CopyObject")
    if source.etag != beside["ETag"] or source.envelope is None:
        raise ObjectChangedError(
            f"the object beside {key!r} was overwritten before it was copied; nothing was replaced"
        )
    arguments = destination_arguments(seam, source, request)
    for name in ("CopySource", "CopySourceIfMatch"):
        arguments.pop(name)
    copied = CopiedObject(source_parameter, int(source.answer["ContentLength"]), source.etag)
    with undertaken(seam, about_copy(arguments, source.envelope.header.commitment)) as undertaking:
        answer = copy_over(seam, arguments, copied, replaced_etag=str(replaced["ETag"]))
        verify_copy(seam, arguments, answer)
        undertaking.succeeded(answer)
    _check_that_it_opens(client, {"Bucket": bucket, "Key": key}, answer, source.envelope.header.commitment)


def _check_that_it_opens(client: Any, where: Mapping[str, str], answer: Mapping[str, Any], commitment: bytes) -> None:
    version = {"VersionId": answer["VersionId"]} if answer.get("VersionId") else {}
    envelope = Envelope.parse(stored_head(client, **where, **version).get("Metadata") or {})

    def attempt(data_key: SecretBytes) -> tuple[SecretBytes, BodyKey]:
        return open_header(data_key, envelope.header, envelope.context, where["Key"])

    materials = client._s3envelope.materials
    object_key, body_key = materials.open_with_data_key(
        envelope.encrypted_data_keys, envelope.context, attempt, about=ObjectName(where["Bucket"], where["Key"])
    )
    object_key.wipe()
    body_key.wipe()
    if body_key.commitment != commitment:
        raise KeyCommitmentError("the object in place is another upload than the one that was copied there")
