"""Low-level multipart uploads in the formats of the Amazon clients: how they begin, and their parts.

`complete` and `abort` are those of all uploads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from s3envelope.core.layout import MIN_PART_SIZE
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import ByteSource
from s3envelope.engine.message_uploads import MessageUpload, check_message_size
from s3envelope.engine.messages import SealedMessage
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.engine.sources import SourceReader, is_seekable, plaintext_source, refuse_text
from s3envelope.errors import UnsupportedOperationError
from s3envelope.s3.auditing import begin_sealing
from s3envelope.s3.bodies import UploadBody
from s3envelope.s3.calls import Call
from s3envelope.s3.checksums import first_mismatch, given_checksums
from s3envelope.s3.multipart import known_upload, refuse_full_object
from s3envelope.s3.s3ec_messages import MessageMaker
from s3envelope.s3.s3ec_writes import instruction_writer
from s3envelope.s3.sizes import check_declared_size
from s3envelope.s3.spilling import spill
from s3envelope.s3.upload_registry import KnownUpload
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


def prepare_s3ec_create(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Give a new upload its envelope; rewrite `parameters` in place."""
    entries = parameters.pop(ENTRIES_PARAMETER, None)
    parameters.pop(PART_SIZE_PARAMETER, None)
    plaintext_size = parameters.pop(PLAINTEXT_SIZE_PARAMETER, None)
    validate(parameters, model)
    refuse_full_object(parameters)
    if plaintext_size is not None:
        check_message_size(plaintext_size)
    bucket, key, user_metadata = parameters["Bucket"], parameters["Key"], parameters.get("Metadata") or {}
    maker = MessageMaker.of(seam)
    context = seam.config.context_for(bucket, key, entries)
    maker.check(context, user_metadata)
    # What is only expected of the size is not stored as a fact.
    new = maker.make(ObjectName(bucket, key), context, user_metadata, None)
    then = instruction_writer(seam, parameters, new)
    parameters["Metadata"] = new.metadata
    call.envelope = new.entries
    algorithm = parameters.get("ChecksumAlgorithm")

    def succeeded(parsed: dict[str, Any]) -> None:
        upload = MessageUpload(new.sealer, seam.ports, plaintext_size=plaintext_size)
        known = KnownUpload(upload, algorithm, then=then, commitment=new.commitment)
        seam.uploads.add((bucket, key, parsed["UploadId"]), known)

    call.on_success = succeeded
    call.on_failure = new.sealer.wipe
    begin_sealing(seam, call, parameters, new.commitment, context)


def prepare_s3ec_part(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Seal the body of a part, if it is the next one or was sealed before; rewrite `parameters` in place."""
    validate(parameters, model)
    # A client that writes one format begins no uploads of another, nor takes them over.
    known = known_upload(seam, parameters, "UploadPart")
    upload = cast(MessageUpload, known.upload)
    number = parameters["PartNumber"]
    body = parameters.get("Body", b"")
    if isinstance(body, str):
        body = body.encode("utf-8")
    checksums = given_checksums(parameters)
    declared_size = parameters.pop("ContentLength", None)
    if hasattr(body, "read"):
        refuse_text(body)
        if not is_seekable(body):
            if checksums:
                raise UnsupportedOperationError(
                    f"a part from a stream that cannot seek is refused for {next(iter(checksums))}. Instead, read the "
                    "part into memory"
                )
            _prepare_stream(seam, call, known, parameters, cast(ByteSource, body), declared_size)
            return
    source = plaintext_source(body)
    upload.check_part(number, source.size)
    check_declared_size(source.size, declared_size)
    wrong = first_mismatch(checksums, source)
    if wrong is not None:
        raise bad_digest(wrong, checksums[wrong], "UploadPart")
    # The authentication of the message passes over the part now, whole; what is sent is made again from the source,
    # which so reports its progress, and compared.
    for _ in upload.seal_part(number, SourceReader(source)):
        pass
    message = upload.sealed_part(number, source)
    message.rewind(0)
    call.on_success = _recording(upload, number, _small_ciphertext(message))
    begin_sealing(seam, call, parameters, known.commitment)
    call.plaintext_size = source.size
    call.body = parameters["Body"] = UploadBody(message, body)


def _prepare_stream(
    seam: Seam,
    call: Call,
    known: KnownUpload,
    parameters: dict[str, Any],
    stream: ByteSource,
    declared_size: int | None,
) -> None:
    """Seal a part that can be read once into a place from where it can be sent, and sent again."""
    upload, number = cast(MessageUpload, known.upload), parameters["PartNumber"]
    upload.check_part(number, declared_size)
    body, call.plaintext_size = spill(seam, call, stream, functools.partial(upload.seal_part, number), declared_size)
    small = None
    if len(body) < MIN_PART_SIZE:
        small = body.read()
        body.seek(0)
    call.on_success = _recording(upload, number, small)
    begin_sealing(seam, call, parameters, known.commitment)
    call.body = parameters["Body"] = body


def _small_ciphertext(message: SealedMessage) -> bytes | None:
    if message.size >= MIN_PART_SIZE:
        return None
    ciphertext = CiphertextReader(message).read()
    # The pass that is sent begins anew: a source that reports progress counts that one.
    message.rewind(0)
    return ciphertext


def _recording(upload: MessageUpload, number: int, small: bytes | None) -> Callable[[dict[str, Any]], None]:
    return lambda parsed: upload.part_succeeded(number, str(parsed.get("ETag", "")), small)
