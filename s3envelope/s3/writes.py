"""put_object: parameters in plaintext terms become those of the sealed object."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator

from s3envelope.core.ports import ByteSource
from s3envelope.core.segments import NONCE_SIZE
from s3envelope.engine.sealing import Attempt, SealedRun, sealed_segments
from s3envelope.engine.sources import PlaintextSource, is_seekable, plaintext_source, refuse_text
from s3envelope.errors import UnsupportedOperationError
from s3envelope.s3.bodies import SpilledBody, UploadBody
from s3envelope.s3.calls import Call
from s3envelope.s3.checksums import first_mismatch, given_checksums
from s3envelope.s3.sizes import check_declared_size, check_put_size, error_answer
from s3envelope.s3.spilling import spill

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

    from s3envelope.s3.seam import Seam

ENTRIES_PARAMETER = "EncryptionContext"
PART_SIZE_PARAMETER = "PartSize"
PLAINTEXT_SIZE_PARAMETER = "S3EnvelopePlaintextSize"
_EMPTY = b""


def validate(parameters: dict[str, Any], model: OperationModel) -> None:
    """Raise botocore's own `ParamValidationError`, before anything else is done.

    A body of a type that botocore does not take is left to it; one more type is taken here, memoryview.
    """
    checked = dict(parameters)
    if isinstance(checked.get("Body"), memoryview):
        checked["Body"] = _EMPTY
    report = ParamValidator().validate(checked, cast("Shape", model.input_shape))
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())


def prepare_put(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Seal the body of a put_object; rewrite `parameters` in place."""
    entries = parameters.pop(ENTRIES_PARAMETER, None)
    parameters.pop(PART_SIZE_PARAMETER, None)
    parameters.pop(PLAINTEXT_SIZE_PARAMETER, None)
    validate(parameters, model)
    if "WriteOffsetBytes" in parameters:
        raise UnsupportedOperationError(
            "WriteOffsetBytes is refused: bytes cannot be appended to a sealed object. Instead, put the whole object"
        )
    key = parameters["Key"]
    user_metadata = parameters.get("Metadata") or {}
    context = seam.config.context_for(parameters["Bucket"], key, entries)
    seam.envelopes.check(key, context, user_metadata)
    body = parameters.get("Body", _EMPTY)
    if isinstance(body, str):
        body = body.encode("utf-8")
    checksums = given_checksums(parameters)
    if hasattr(body, "read"):
        refuse_text(body)
    is_stream = hasattr(body, "read") and not is_seekable(body)
    if is_stream and checksums:
        raise UnsupportedOperationError(
            f"{next(iter(checksums))} of a stream that cannot seek is refused: it could be verified only after "
            "the stream was read. Instead, leave it out, or pass a seekable body"
        )
    declared_size = parameters.pop("ContentLength", None)
    if is_stream:
        new = seam.envelopes.make(key, context, user_metadata, indexed=False)
        seal = functools.partial(sealed_segments, body_key=new.body_key, nonce_start=seam.ports.random(NONCE_SIZE))
        sealed: UploadBody | SpilledBody = spill(seam, call, cast(ByteSource, body), seal, declared_size)[0]
    else:
        source = plaintext_source(body)
        _check_source(source, declared_size, checksums, "PutObject")
        new = seam.envelopes.make(key, context, user_metadata, indexed=False)
        attempt = Attempt(seam.ports.random(NONCE_SIZE), source.size, ends_run=True)
        run = SealedRun(source, attempt, new.body_key, run=0, first_segment=0, process_id=seam.ports.process_id)
        sealed = UploadBody(run, body)
    new.body_key.wipe()
    call.body = sealed
    call.envelope = new.entries
    parameters["Body"] = sealed
    parameters["Metadata"] = new.metadata


def _check_source(
    source: PlaintextSource, declared_size: int | None, checksums: dict[str, str], operation: str
) -> None:
    check_put_size(source.size)
    check_declared_size(source.size, declared_size)
    wrong = first_mismatch(checksums, source)
    if wrong is not None:
        raise bad_digest(wrong, operation)


def bad_digest(name: str, operation: str) -> ClientError:
    """Return the error that S3 gives for a checksum that is not the body's."""
    what = "Content-MD5" if name == "ContentMD5" else name.removeprefix("Checksum")
    return ClientError(
        error_answer("BadDigest", f"The {what} you specified did not match the calculated checksum.", 400), operation
    )
