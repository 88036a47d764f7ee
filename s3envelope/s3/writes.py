"""put_object: parameters in plaintext terms become those of the sealed object."""

from __future__ import annotations

import base64
import functools
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator

from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import ByteSource
from s3envelope.core.segments import NONCE_SIZE
from s3envelope.engine.one_pass import seal_at_once, sealed_segments
from s3envelope.engine.sealing import Attempt, SealedRun
from s3envelope.engine.sources import PlaintextSource, is_seekable, plaintext_source, refuse_text
from s3envelope.errors import UnsupportedOperationError
from s3envelope.s3.auditing import begin_sealing
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
_MOST_AT_ONCE = 1 << 18
_PLAIN = frozenset({"Bucket", "Key", "Body", "Metadata"})
_MD5_SIZE = 16


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


def _is_plain(parameters: dict[str, Any]) -> bool:
    """Tell whether a put_object has the parameters of most calls, and no fault: botocore looks at all of it again."""
    metadata = parameters.get("Metadata", {})
    return (
        parameters.keys() <= _PLAIN
        and all(isinstance(parameters.get(name), str) and parameters[name] for name in ("Bucket", "Key"))
        and isinstance(parameters.get("Body", _EMPTY), bytes)
        and isinstance(metadata, dict)
        and all(isinstance(text, str) for item in metadata.items() for text in item)
    )


@dataclass(frozen=True, slots=True)
class GivenBody:
    """The body of a put_object as the caller gave it, and what was said of it.

    Args:
        content: In memory, or a stream.
        stream: The same, if it can be read once only.
        checksums: Of the plaintext; they never leave.
        declared_size: `ContentLength`.
    """

    content: Any
    stream: ByteSource | None
    checksums: dict[str, str]
    declared_size: int | None

    def source(self) -> PlaintextSource:
        """Return the plaintext of a body that can be read again; its size and its checksums are right.

        Raises:
            ConfigurationError: It has another size than declared, or is too large for one request.
            ClientError: A checksum is not its own; the error is S3's.
        """
        source = plaintext_source(self.content)
        check_put_size(source.size)
        check_declared_size(source.size, self.declared_size)
        wrong = first_mismatch(self.checksums, source)
        if wrong is not None:
            raise bad_digest(wrong, self.checksums[wrong], "PutObject")
        return source


def take_body(parameters: dict[str, Any]) -> GivenBody:
    """Take the body of a put_object, its size and its checksums out of the parameters."""
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
    return GivenBody(
        body, cast(ByteSource, body) if is_stream else None, checksums, parameters.pop("ContentLength", None)
    )


def refuse_append(parameters: dict[str, Any]) -> None:
    """Refuse to append to an object."""
    if "WriteOffsetBytes" in parameters:
        raise UnsupportedOperationError(
            "WriteOffsetBytes is refused: bytes cannot be appended to a sealed object. Instead, put the whole object"
        )


def prepare_put(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Seal the body of a put_object; rewrite `parameters` in place."""
    entries = parameters.pop(ENTRIES_PARAMETER, None)
    parameters.pop(PART_SIZE_PARAMETER, None)
    parameters.pop(PLAINTEXT_SIZE_PARAMETER, None)
    if not _is_plain(parameters):
        validate(parameters, model)
    refuse_append(parameters)
    name = ObjectName(parameters["Bucket"], parameters["Key"])
    user_metadata = parameters.get("Metadata") or {}
    context = seam.config.context_for(*name, entries)
    seam.envelopes.check(name.key, context, user_metadata)
    given = take_body(parameters)
    if given.stream is not None:
        new = seam.envelopes.make(name, context, user_metadata, indexed=False)
        seal = functools.partial(sealed_segments, body_key=new.body_key, nonce_start=seam.ports.random(NONCE_SIZE))
        sealed: UploadBody | SpilledBody = spill(seam, call, given.stream, seal, given.declared_size)[0]
    elif isinstance(given.content, bytes) and len(given.content) <= _MOST_AT_ONCE:
        # It cannot change between two passes, and the transport would read it at once anyway.
        given.source()
        new = seam.envelopes.make(name, context, user_metadata, indexed=False)
        ciphertext = seal_at_once(given.content, new.body_key, seam.ports.random(NONCE_SIZE))
        sealed = SpilledBody(io.BytesIO(ciphertext), len(ciphertext))
    else:
        source = given.source()
        new = seam.envelopes.make(name, context, user_metadata, indexed=False)
        attempt = Attempt(seam.ports.random(NONCE_SIZE), source.size, ends_run=True)
        run = SealedRun(source, attempt, new.body_key, run=0, first_segment=0, process_id=seam.ports.process_id)
        sealed = UploadBody(run, given.content)
        seam.keep(call, run, sealed)
    new.body_key.wipe()
    begin_sealing(seam, call, parameters, new.body_key.commitment, context)
    call.body = sealed
    call.envelope = new.entries
    parameters["Body"] = sealed
    parameters["Metadata"] = new.metadata


def bad_digest(name: str, given: str, operation: str) -> ClientError:
    """Return the error that S3 gives for a checksum that is not the body's."""
    if name == "ContentMD5" and not _is_md5(given):
        return ClientError(error_answer("InvalidDigest", "The Content-MD5 you specified is not valid.", 400), operation)
    what = "Content-MD5" if name == "ContentMD5" else name.removeprefix("Checksum")
    return ClientError(
        error_answer("BadDigest", f"The {what} you specified did not match the calculated checksum.", 400), operation
    )


def _is_md5(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _MD5_SIZE
    except ValueError:
        return False
