"""Answers in plaintext terms: sizes, ranges, metadata and body as if S3 stored the plaintext."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from s3envelope.core.envelope import is_envelope_name, without_envelope
from s3envelope.core.ranges import ByteRange
from s3envelope.engine.opening import OpenedObject
from s3envelope.s3.bodies import PlaintextRaw

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_META_PREFIX = "x-amz-meta-"
_WIRE_CODING = "aws-chunked"
_CHECKSUM_PREFIX = "x-amz-checksum-"


def present_get(parsed: dict[str, Any], opened: OpenedObject, requested: ByteRange | None) -> None:
    """Make `parsed` the answer that S3 would give to the caller's own GET."""
    original = opened.answer.body
    if opened.answer_changed and "Body" in parsed:
        parsed["Body"].close()
    size = opened.end - opened.start
    if opened.stream is not None:
        # The length is checked at the end by StreamingBody, as for every other object.
        parsed["Body"] = StreamingBody(PlaintextRaw(opened.stream, original), size)  # type: ignore[arg-type]
    _present(parsed, size, opened.total, None if requested is None else (opened.start, opened.end))


def present_head(parsed: dict[str, Any], total: int, requested: ByteRange | None) -> None:
    """Make `parsed` the answer that S3 would give to the caller's own HEAD."""
    interval = None if requested is None else requested.resolve(total)
    size = total if interval is None else interval[1] - interval[0]
    _present(parsed, size, total, interval)


def _present(parsed: dict[str, Any], size: int, total: int, interval: tuple[int, int] | None) -> None:
    parsed["ContentLength"] = size
    parsed["Metadata"] = without_envelope(parsed.get("Metadata") or {})
    for name in [name for name in parsed if name.startswith("Checksum")]:
        del parsed[name]
    drop_wire_coding(parsed)
    content_range = None if interval is None else f"bytes {interval[0]}-{interval[1] - 1}/{total}"
    parsed.pop("ContentRange", None)
    if content_range is not None:
        parsed["ContentRange"] = content_range
    _present_headers(parsed, size, content_range)


def drop_wire_coding(parsed: dict[str, Any]) -> None:
    """Drop the coding that some servers store although it described a request only."""
    codings = [coding.strip() for coding in (parsed.get("ContentEncoding") or "").split(",")]
    if _WIRE_CODING in codings:
        codings.remove(_WIRE_CODING)
        parsed["ContentEncoding"] = ",".join(codings)
        if not codings:
            del parsed["ContentEncoding"]


def _present_headers(parsed: dict[str, Any], size: int, content_range: str | None) -> None:
    metadata = parsed.get("ResponseMetadata", {})
    metadata.pop("ChecksumAlgorithm", None)
    if "HTTPStatusCode" in metadata:
        metadata["HTTPStatusCode"] = 200 if content_range is None else 206
    headers = metadata.get("HTTPHeaders")
    if headers is None:
        return
    for name in list(headers):
        is_ours = name.startswith(_META_PREFIX) and is_envelope_name(name.removeprefix(_META_PREFIX))
        if is_ours or name.startswith(_CHECKSUM_PREFIX):
            del headers[name]
    headers["content-length"] = str(size)
    headers.pop("content-range", None)
    if content_range is not None:
        headers["content-range"] = content_range


def invalid_range(
    seam: Seam,
    header: str | None,
    total: int,
    parsed: dict[str, Any],
    *,
    code: str = "InvalidRange",
    operation: str = "GetObject",
) -> ClientError:
    """Return the error that S3 gives for a range behind the end, which was proved."""
    message = "Requested Range Not Satisfiable" if code == "416" else "The requested range is not satisfiable"
    metadata = {**parsed.get("ResponseMetadata", {}), "HTTPStatusCode": 416}
    answer: dict[str, Any] = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    if code != "416":
        tell_size_in_error(answer, header, total)
    return seam.error(code, answer, operation)


def tell_size_in_error(parsed: dict[str, Any], header: str | None, total: int) -> None:
    """Put the plaintext size and the caller's range into an InvalidRange error."""
    error = parsed.setdefault("Error", {})
    error["ActualObjectSize"] = str(total)
    error["RangeRequested"] = header or ""
