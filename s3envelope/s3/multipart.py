"""Low-level multipart uploads: the four operations around the engine's two kinds of upload."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from s3envelope.core.index import IndexRow
from s3envelope.core.layout import MIN_PART_SIZE, check_part_size
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import ByteSource
from s3envelope.core.upload_state import UploadState
from s3envelope.engine.indexed_uploads import Completion, IndexedUpload, RejectedPartsError
from s3envelope.engine.message_uploads import MessageUpload
from s3envelope.engine.sealing import CiphertextReader, SealedRun
from s3envelope.engine.sources import is_seekable, plaintext_source, refuse_text
from s3envelope.engine.uploads import PlainUpload
from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.s3.auditing import begin_sealing, request_ids
from s3envelope.s3.bodies import SpilledBody, UploadBody
from s3envelope.s3.calls import Call
from s3envelope.s3.checksums import checksum_of, first_mismatch, given_checksums
from s3envelope.s3.sizes import check_declared_size, check_put_size, error_answer
from s3envelope.s3.spilling import spill
from s3envelope.s3.upload_registry import KnownUpload, upload_name
from s3envelope.s3.writes import (
    ENTRIES_PARAMETER,
    PART_SIZE_PARAMETER,
    PLAINTEXT_SIZE_PARAMETER,
    bad_digest,
    validate,
)

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from s3envelope.s3.seam import Seam

# What the calls for the parts of an upload repeat.
_CARRIED = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer", "ExpectedBucketOwner")
_GONE = frozenset({"NoSuchUpload", "NoSuchBucket"})
_MESSAGES = {
    "MalformedXML": "The XML you provided was not well-formed or did not validate against our published schema",
    "InvalidPartOrder": "The list of parts was not in ascending order. Parts must be ordered by part number.",
    "InvalidPart": (
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
        "specified entity tag may not match the part's entity tag."
    ),
    "EntityTooSmall": "Your proposed upload is smaller than the minimum allowed size",
}


def prepare_create(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Give a new upload its envelope; rewrite `parameters` in place."""
    entries = parameters.pop(ENTRIES_PARAMETER, None)
    part_size = parameters.pop(PART_SIZE_PARAMETER, seam.config.part_size)
    plaintext_size = parameters.pop(PLAINTEXT_SIZE_PARAMETER, None)
    validate(parameters, model)
    if part_size is not None:
        check_part_size(part_size)
    refuse_full_object(parameters)
    bucket, key, user_metadata = parameters["Bucket"], parameters["Key"], parameters.get("Metadata") or {}
    context = seam.config.context_for(bucket, key, entries)
    seam.envelopes.check(key, context, user_metadata)
    new = seam.envelopes.make(ObjectName(bucket, key), context, user_metadata, indexed=part_size is None)
    parameters["Metadata"] = new.metadata
    call.envelope = new.entries
    algorithm = parameters.get("ChecksumAlgorithm")

    def succeeded(parsed: dict[str, Any]) -> None:
        upload_id = parsed["UploadId"]
        upload: PlainUpload | IndexedUpload
        if part_size is None:
            state = UploadState(bucket, key, upload_id, new.entries, (), None)
            upload = IndexedUpload(state, new.body_key, seam.ports)
        else:
            upload = PlainUpload(new.body_key, part_size, seam.ports, plaintext_size=plaintext_size)
        known = KnownUpload(upload, algorithm, commitment=new.body_key.commitment)
        seam.uploads.add((bucket, key, upload_id), known)

    call.on_success = succeeded
    call.on_failure = new.body_key.wipe
    begin_sealing(seam, call, parameters, new.body_key.commitment, context)


def refuse_full_object(parameters: dict[str, Any]) -> None:
    """Refuse a checksum of the whole object."""
    if parameters.get("ChecksumType") == "FULL_OBJECT":
        raise UnsupportedOperationError(
            "ChecksumType='FULL_OBJECT' is refused: the checksum would be of the plaintext. Instead, leave it out"
        )


def prepare_part(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Seal the body of a part; rewrite `parameters` in place."""
    validate(parameters, model)
    known = known_upload(seam, parameters, "UploadPart")
    body = parameters.get("Body", b"")
    if isinstance(body, str):
        body = body.encode("utf-8")
    checksums = given_checksums(parameters)
    declared_size = parameters.pop("ContentLength", None)
    if hasattr(body, "read"):
        refuse_text(body)
        if not is_seekable(body):
            _prepare_stream(seam, call, known, parameters, cast(ByteSource, body), declared_size, checksums)
            return
    source = plaintext_source(body)
    check_put_size(source.size)
    check_declared_size(source.size, declared_size)
    wrong = first_mismatch(checksums, source)
    if wrong is not None:
        raise bad_digest(wrong, checksums[wrong], "UploadPart")
    number = parameters["PartNumber"]
    upload = cast("PlainUpload | IndexedUpload", known.upload)
    run = upload.begin_part(number, source)
    if isinstance(upload, PlainUpload):
        call.on_failure = functools.partial(upload.part_failed, number)
        call.on_success = _recording_plain(upload, number)
    else:
        row = IndexRow(number, run.attempt.nonce_start, source.size)
        call.on_success = _recording_indexed(seam, known, parameters, row, _small_ciphertext(run))
    call.body = parameters["Body"] = sealed = UploadBody(run, body)
    seam.keep(call, run, sealed)
    begin_sealing(seam, call, parameters, known.commitment)


def _small_ciphertext(run: SealedRun) -> bytes | None:
    if run.size >= MIN_PART_SIZE:
        return None
    ciphertext = CiphertextReader(run).read()
    # The pass that is sent begins anew: a source that reports progress counts that one.
    run.rewind(0)
    return ciphertext


def _prepare_stream(
    seam: Seam,
    call: Call,
    known: KnownUpload,
    parameters: dict[str, Any],
    stream: ByteSource,
    declared_size: int | None,
    checksums: dict[str, str],
) -> None:
    """Seal a part that can be read once into a place from where it can be sent, and sent again."""
    upload = cast("PlainUpload | IndexedUpload", known.upload)
    if checksums or isinstance(upload, PlainUpload):
        what = next(iter(checksums), "an upload with PartSize")
        raise UnsupportedOperationError(
            f"a part from a stream that cannot seek is refused for {what}. Instead, read the part into memory"
        )
    number = parameters["PartNumber"]
    nonces: list[bytes] = []

    def segments(source: ByteSource) -> Any:
        nonce_start, sealed = upload.begin_stream(number, source)
        nonces.append(nonce_start)
        return sealed

    body, size = spill(seam, call, stream, segments, declared_size)
    small = None
    if len(body) < MIN_PART_SIZE:
        small = body.read()
        body.seek(0)
    row = IndexRow(number, nonces[0], size)
    call.on_success = _recording_indexed(seam, known, parameters, row, small)
    begin_sealing(seam, call, parameters, known.commitment)
    call.body = parameters["Body"] = body


def _recording_plain(upload: PlainUpload, number: int) -> Callable[[dict[str, Any]], None]:
    return lambda parsed: upload.part_succeeded(number, str(parsed.get("ETag", "")))


def _recording_indexed(
    seam: Seam, known: KnownUpload, parameters: dict[str, Any], row: IndexRow, small: bytes | None
) -> Callable[[dict[str, Any]], None]:
    name, upload = upload_name(parameters), known.upload

    def record(parsed: dict[str, Any]) -> None:
        if isinstance(upload, IndexedUpload):
            with seam.uploads.changing(name, known):
                upload.part_succeeded(row, str(parsed.get("ETag", "")), small)

    return record


def prepare_complete(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Freeze an upload, and send what ends its object; rewrite `parameters` in place."""
    validate(parameters, model)
    checksums = given_checksums(parameters)
    refuse_full_object(parameters)
    if checksums:
        raise UnsupportedOperationError(
            f"{next(iter(checksums))} of the whole object is refused: it would be of the plaintext. "
            "Instead, leave it out"
        )
    # It is the size of the plaintext; S3 has the sizes of the parts.
    parameters.pop("MpuObjectSize", None)
    parts = list(parameters.get("MultipartUpload", {}).get("Parts", []))
    listed = _listed(parts)
    sent = seam.uploads.completed(parameters, listed)
    if sent is not None:
        # Repeated: S3 says what it thinks of that.
        parameters["MultipartUpload"] = {"Parts": sent}
        return
    known = known_upload(seam, parameters, "CompleteMultipartUpload")
    # An upload that was begun elsewhere: what the caller lists for each part, S3 demands of the last one too.
    known.checksum_algorithm = known.checksum_algorithm or _listed_algorithm(parts)
    begin_sealing(seam, call, parameters, known.commitment)
    with known.lock:
        if isinstance(known.upload, PlainUpload):
            parts = _end_plain(seam, known, parameters, parts, listed)
        else:
            parts = _end_with_part(seam, known, known.upload, parameters, parts, listed)
    if call.undertaking is not None:
        call.undertaking.saw(known.end_request_ids)
    parameters["MultipartUpload"] = {"Parts": parts}
    name = dict(parameters)

    def completed(_: dict[str, Any]) -> None:
        seam.uploads.complete(name, listed, parts)
        if known.then is not None:
            known.then()

    call.on_success = completed


def known_upload(seam: Seam, parameters: dict[str, Any], operation: str) -> KnownUpload:
    """Return the upload of a call; if it is not known here and S3 does not know it either, fail as S3 does."""
    try:
        return seam.uploads.get(parameters)
    except UnsupportedOperationError:
        names = ("Bucket", "Key", "UploadId", "RequestPayer", "ExpectedBucketOwner")
        request = {name: parameters[name] for name in names if name in parameters}
        try:
            seam.inner("ListParts", {**request, "MaxParts": 1})
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _GONE:
                raise seam.error(code, dict(error.response), operation) from None
        raise


def _listed(parts: list[dict[str, Any]]) -> list[tuple[int, str]]:
    for part in parts:
        if "ETag" not in part or "PartNumber" not in part:
            raise ConfigurationError("a part in MultipartUpload lacks ETag or PartNumber; list both for every part")
    return [(part["PartNumber"], part["ETag"]) for part in parts]


def _listed_algorithm(parts: list[dict[str, Any]]) -> str | None:
    names = [name for part in parts for name in part if name.startswith("Checksum")]
    return names[0].removeprefix("Checksum") if names else None


def _end_plain(
    seam: Seam,
    known: KnownUpload,
    parameters: dict[str, Any],
    parts: list[dict[str, Any]],
    listed: list[tuple[int, str]],
) -> list[dict[str, Any]]:
    upload = cast(PlainUpload, known.upload)
    end = upload.freeze(listed)
    if end is None:
        return parts
    if known.end_part is None:
        number, run = end
        known.end_part = _send(seam, known, parameters, number, UploadBody(run, None))
    return [*parts, known.end_part]


def _end_with_part(
    seam: Seam,
    known: KnownUpload,
    upload: IndexedUpload | MessageUpload,
    parameters: dict[str, Any],
    parts: list[dict[str, Any]],
    listed: list[tuple[int, str]],
) -> list[dict[str, Any]]:
    name = upload_name(parameters)
    completion = None
    try:
        with seam.uploads.changing(name, known):
            completion = upload.freeze(listed)
    except RejectedPartsError as rejection:
        raise _rejected(seam, str(rejection)) from None
    if completion is None:
        return parts
    kept = [part for part in parts if part["PartNumber"] != completion.number]
    if completion.etag is not None:
        return [*kept, _sent_before(known, completion, completion.etag)]
    body = SpilledBody(io.BytesIO(completion.body), len(completion.body))
    sent = _send(seam, known, parameters, completion.number, body)
    with seam.uploads.changing(name, known):
        upload.end_sent(sent["ETag"])
    return [*kept, sent]


def _rejected(seam: Seam, code: str) -> Exception:
    return seam.error(code, error_answer(code, _MESSAGES[code], 400), "CompleteMultipartUpload")


def _sent_before(known: KnownUpload, completion: Completion, etag: str) -> dict[str, Any]:
    part: dict[str, Any] = {"PartNumber": completion.number, "ETag": etag}
    if known.checksum_algorithm is not None:
        part.update(checksum_of(known.checksum_algorithm, completion.body))
    return part


def _send(seam: Seam, known: KnownUpload, parameters: dict[str, Any], number: int, body: Any) -> dict[str, Any]:
    request = {name: parameters[name] for name in ("Bucket", "Key", "UploadId", *_CARRIED) if name in parameters}
    request.update(PartNumber=number, Body=body)
    if known.checksum_algorithm is not None:
        request["ChecksumAlgorithm"] = known.checksum_algorithm
    answer = seam.inner("UploadPart", request)
    known.end_request_ids = request_ids(answer)
    part = {"PartNumber": number, "ETag": answer["ETag"]}
    if known.checksum_algorithm is not None:
        part.update({name: value for name, value in answer.items() if name == f"Checksum{known.checksum_algorithm}"})
    return part


def finish_abort(seam: Seam, parameters: dict[str, Any]) -> None:
    """Forget an upload that S3 has aborted, or does not know any more, and its data key."""
    envelope = seam.uploads.envelope_of(parameters)
    seam.uploads.drop(parameters)
    if envelope is not None:
        seam.materials.forget(envelope.encrypted_data_keys, envelope.context)
