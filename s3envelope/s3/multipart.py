"""Multipart uploads of a declared part size: the operations around `engine.uploads`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from s3envelope.core.layout import check_part_size
from s3envelope.engine.sources import is_seekable, plaintext_source, refuse_text
from s3envelope.engine.uploads import PlainUpload
from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.s3.bodies import UploadBody
from s3envelope.s3.calls import Call
from s3envelope.s3.checksums import first_mismatch, given_checksums
from s3envelope.s3.writes import (
    ENTRIES_PARAMETER,
    PART_SIZE_PARAMETER,
    PLAINTEXT_SIZE_PARAMETER,
    bad_digest,
    check_declared_size,
    validate,
)

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from s3envelope.s3.seam import Seam

_Name = tuple[str, str, str]
# What the calls for the parts of an upload repeat.
_CARRIED = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer", "ExpectedBucketOwner")


class _Known:
    """An upload that this client began."""

    def __init__(self, upload: PlainUpload, checksum_algorithm: str | None) -> None:
        self.upload = upload
        self.checksum_algorithm = checksum_algorithm
        self.end_part: dict[str, Any] | None = None
        self.lock = threading.Lock()


class Uploads:
    """The unfinished uploads of one client, by (bucket, key, upload id): an upload id alone is the server's choice."""

    def __init__(self) -> None:
        self._known: dict[_Name, _Known] = {}
        self._lock = threading.Lock()

    def add(self, name: _Name, known: _Known) -> None:
        """Raise `UnsupportedOperationError` if the server gave an upload id twice."""
        with self._lock:
            if self._known.setdefault(name, known) is not known:
                raise UnsupportedOperationError(
                    "the server gave the id of an unfinished upload to another one; neither is safe to go on with: "
                    "abort it"
                )

    def get(self, parameters: dict[str, Any]) -> _Known:
        """Return the upload that a call names.

        Raises:
            UnsupportedOperationError: This client has no state for it, so its key is not here.
        """
        with self._lock:
            known = self._known.get(_name(parameters))
        if known is None:
            raise UnsupportedOperationError(
                "this client has no state for the upload: it was begun elsewhere or for another key, completed, or "
                "aborted. Its parts cannot be sealed here; begin a new upload"
            )
        return known

    def drop(self, parameters: dict[str, Any]) -> None:
        """Forget an upload and its key."""
        with self._lock:
            known = self._known.pop(_name(parameters), None)
        if known is not None:
            known.upload.finish()


def _name(parameters: dict[str, Any]) -> _Name:
    return parameters["Bucket"], parameters["Key"], parameters["UploadId"]


def prepare_create(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Give a new upload its envelope; rewrite `parameters` in place."""
    entries = parameters.pop(ENTRIES_PARAMETER, None)
    part_size = parameters.pop(PART_SIZE_PARAMETER, seam.config.part_size)
    plaintext_size = parameters.pop(PLAINTEXT_SIZE_PARAMETER, None)
    validate(parameters, model)
    if part_size is None:
        raise UnsupportedOperationError(
            "create_multipart_upload is refused without PartSize: the size of every part but the last must be known. "
            "Instead, use upload_file or upload_fileobj, or pass PartSize=..., a multiple of 65536"
        )
    check_part_size(part_size)
    if parameters.get("ChecksumType") == "FULL_OBJECT":
        raise UnsupportedOperationError(
            "ChecksumType='FULL_OBJECT' is refused: the checksum would be of the plaintext. Instead, leave it out"
        )
    bucket, key, user_metadata = parameters["Bucket"], parameters["Key"], parameters.get("Metadata") or {}
    context = seam.config.context_for(bucket, key, entries)
    seam.envelopes.check(key, context, user_metadata)
    new = seam.envelopes.make(key, context, user_metadata, indexed=False)
    parameters["Metadata"] = new.metadata
    call.envelope = new.entries
    upload = PlainUpload(new.body_key, part_size, seam.ports, plaintext_size=plaintext_size)
    known = _Known(upload, parameters.get("ChecksumAlgorithm"))

    def succeeded(parsed: dict[str, Any]) -> None:
        seam.uploads.add((bucket, key, parsed["UploadId"]), known)

    call.on_success = succeeded
    call.on_failure = upload.finish


def prepare_part(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Seal the body of a part; rewrite `parameters` in place."""
    validate(parameters, model)
    known = seam.uploads.get(parameters)
    body = parameters.get("Body", b"")
    if isinstance(body, str):
        body = body.encode("utf-8")
    if hasattr(body, "read"):
        refuse_text(body)
        if not is_seekable(body):
            raise UnsupportedOperationError(
                "a part from a stream that cannot seek is refused: a failed request could not be repeated. "
                "Instead, read the part into memory, or use upload_fileobj"
            )
    checksums = given_checksums(parameters)
    source = plaintext_source(body)
    check_declared_size(source.size, parameters.pop("ContentLength", None))
    wrong = first_mismatch(checksums, source)
    if wrong is not None:
        raise bad_digest(wrong, "UploadPart")
    number = parameters["PartNumber"]
    run = known.upload.begin_part(number, source)
    call.on_failure = _failing(known.upload, number)
    call.on_success = _succeeding(known.upload, number)
    call.body = parameters["Body"] = UploadBody(run, body)


def _failing(upload: PlainUpload, number: int) -> Callable[[], None]:
    return lambda: upload.part_failed(number)


def _succeeding(upload: PlainUpload, number: int) -> Callable[[dict[str, Any]], None]:
    return lambda parsed: upload.part_succeeded(number, str(parsed.get("ETag", "")))


def prepare_complete(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Freeze an upload, and send the end of its run if no part carries it; rewrite `parameters` in place."""
    validate(parameters, model)
    known = seam.uploads.get(parameters)
    checksums = given_checksums(parameters)
    if checksums or parameters.get("ChecksumType") == "FULL_OBJECT":
        raise UnsupportedOperationError(
            "a checksum of the whole object is refused: it would be of the plaintext. Instead, leave it out"
        )
    # It is the size of the plaintext; S3 has the sizes of the parts.
    parameters.pop("MpuObjectSize", None)
    parts = list(parameters.get("MultipartUpload", {}).get("Parts", []))
    listed = []
    for part in parts:
        if "ETag" not in part or "PartNumber" not in part:
            raise ConfigurationError("a part in MultipartUpload lacks ETag or PartNumber; list both for every part")
        listed.append((part["PartNumber"], part["ETag"]))
    with known.lock:
        end = known.upload.freeze(listed)
        if end is not None and known.end_part is None:
            known.end_part = _send_end(seam, known, parameters, *end)
        if end is not None and known.end_part is not None:
            parts.append(known.end_part)
    parameters["MultipartUpload"] = {"Parts": parts}
    name = dict(parameters)
    call.on_success = lambda _: seam.uploads.drop(name)


def _send_end(seam: Seam, known: _Known, parameters: dict[str, Any], number: int, run: Any) -> dict[str, Any]:
    request = {name: parameters[name] for name in ("Bucket", "Key", "UploadId", *_CARRIED) if name in parameters}
    body = UploadBody(run, None)
    request.update(PartNumber=number, Body=body)
    if known.checksum_algorithm is not None:
        request["ChecksumAlgorithm"] = known.checksum_algorithm
    answer = seam.inner("UploadPart", request)
    part = {"PartNumber": number, "ETag": answer["ETag"]}
    if known.checksum_algorithm is not None:
        part.update({name: value for name, value in answer.items() if name == f"Checksum{known.checksum_algorithm}"})
    return part


def finish_abort(seam: Seam, parameters: dict[str, Any]) -> None:
    """Forget an upload that S3 has aborted, or does not know any more."""
    seam.uploads.drop(parameters)
