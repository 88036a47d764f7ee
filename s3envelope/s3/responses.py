"""Answers in plaintext terms: sizes, ranges, metadata and body as if S3 stored the plaintext."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from s3envelope.core.envelope import is_envelope_name
from s3envelope.core.ranges import ByteRange
from s3envelope.engine.opening import Answer
from s3envelope.s3.bodies import PlaintextRaw, PlaintextStream

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_META_PREFIX = "x-amz-meta-"
_WIRE_CODING = "aws-chunked"
_CHECKSUM_PREFIX = "x-amz-checksum-"


class Opened(Protocol):
    """An opened answer; see `OpenedObject`."""

    @property
    def total(self) -> int: ...

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def stream(self) -> PlaintextStream | None: ...

    @property
    def answer(self) -> Answer: ...

    @property
    def answer_changed(self) -> bool: ...


def present_get(
    parsed: dict[str, Any],
    opened: Opened,
    requested: ByteRange | None,
    *,
    is_ours: Callable[[str], bool] = is_envelope_name,
    on_end: Callable[[int], None] | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
) -> None:
    """Make `parsed` the answer that S3 would give to the caller's own GET.

    Args:
        is_ours: Tells which names of the metadata are of the envelope, and are hidden.
        on_end: Called once, with the size that was read, when the body was read to its end or is closed.
        on_failure: Called with what reading the body is going to raise.
    """
    original = opened.answer.body
    if opened.answer_changed and "Body" in parsed:
        parsed["Body"].close()
    size = opened.end - opened.start
    if opened.stream is not None:
        # The length is checked at the end by StreamingBody, as for every other object.
        raw = PlaintextRaw(opened.stream, original, on_end, on_failure)
        parsed["Body"] = StreamingBody(raw, size)  # type: ignore[arg-type]
    interval = None if requested is None else (opened.start, opened.end)
    _present(parsed, size, opened.total, interval, is_ours)


def present_head(
    parsed: dict[str, Any],
    total: int,
    requested: ByteRange | None,
    *,
    is_ours: Callable[[str], bool] = is_envelope_name,
) -> None:
    """Make `parsed` the answer that S3 would give to the caller's own HEAD; `is_ours` as for `present_get`."""
    interval = None if requested is None else requested.resolve(total)
    size = total if interval is None else interval[1] - interval[0]
    _present(parsed, size, total, interval, is_ours)


def _present(
    parsed: dict[str, Any], size: int, total: int, interval: tuple[int, int] | None, is_ours: Callable[[str], bool]
) -> None:
    parsed["ContentLength"] = size
    stored = parsed.get("Metadata") or {}
    parsed["Metadata"] = {name: value for name, value in stored.items() if not is_ours(name)}
    for name in [name for name in parsed if name.startswith("Checksum")]:
        del parsed[name]
    drop_wire_coding(parsed)
    content_range = None if interval is None else f"bytes {interval[0]}-{interval[1] - 1}/{total}"
    parsed.pop("ContentRange", None)
    if content_range is not None:
        parsed["ContentRange"] = content_range
    _present_headers(parsed, size, content_range, is_ours)


def drop_wire_coding(parsed: dict[str, Any]) -> None:
    """Drop the coding that some servers store although it described a request only."""
    codings = [coding.strip() for coding in (parsed.get("ContentEncoding") or "").split(",")]
    if _WIRE_CODING in codings:
        codings.remove(_WIRE_CODING)
        parsed["ContentEncoding"] = ",".join(codings)
        if not codings:
            del parsed["ContentEncoding"]


def _present_headers(
    parsed: dict[str, Any], size: int, content_range: str | None, is_ours: Callable[[str], bool]
) -> None:
    metadata = parsed.get("ResponseMetadata", {})
    metadata.pop("ChecksumAlgorithm", None)
    if "HTTPStatusCode" in metadata:
        metadata["HTTPStatusCode"] = 200 if content_range is None else 206
    headers = metadata.get("HTTPHeaders")
    if headers is None:
        return
    for name in list(headers):
        is_hidden = name.startswith(_META_PREFIX) and is_ours(name.removeprefix(_META_PREFIX))
        if is_hidden or name.startswith(_CHECKSUM_PREFIX):
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
