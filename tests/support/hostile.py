"""A storage that an attacker owns: one object in memory, answered within the process, and every way to read it."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from mypy_boto3_s3 import S3Client

from s3envelope.errors import S3EnvelopeError

BUCKET, KEY = "bucket", "key"
SEALED_SEGMENT_SIZE = 65_536 + 28
_META = "x-amz-meta-"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a storage holds of one object.

    Args:
        metadata: Without the prefix of the headers.
    """

    body: bytes
    metadata: Mapping[str, str]

    def with_metadata(self, name: str, value: str) -> "Stored":
        """Return the object with one value replaced."""
        return replace(self, metadata={**self.metadata, name: value})

    def with_body(self, body: bytes) -> "Stored":
        """Return the object with another body."""
        return replace(self, body=body)

    def flipped(self, offset: int, mask: int = 0x01) -> "Stored":
        """Return the object with bits of one byte of the body flipped."""
        body = bytearray(self.body)
        body[offset] ^= mask
        return replace(self, body=bytes(body))

    @property
    def segments(self) -> list[bytes]:
        """The sealed segments of the body, in their order."""
        return [
            self.body[start : start + SEALED_SEGMENT_SIZE] for start in range(0, len(self.body), SEALED_SEGMENT_SIZE)
        ]


class _Raw(io.BytesIO):
    def stream(self, amt: int = 65_536, **_: object) -> Iterator[bytes]:
        while piece := self.read(amt):
            yield piece


class MemoryStorage:
    """Answers every request of one client in place of the network.

    PUT stores, GET and HEAD serve `stored` whatever the key, with ranges and an ETag that is the body's own.
    """

    def __init__(self, client: S3Client) -> None:
        self.stored = Stored(b"", {})
        self.request_count = 0
        # botocore takes what the handler returns for the answer of the network; the stubs say that it returns nothing.
        client.meta.events.register("before-send.s3", cast(Callable[..., None], self._answer))

    def _answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        self.request_count += 1
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        if request.method == "PUT":
            body: Any = request.body
            metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
            self.stored = Stored(body.read(), metadata)
            return self._response(request, 200, {}, b"")
        return self._read(request, headers.get("range"))

    def _read(self, request: AWSPreparedRequest, header: str | None) -> AWSResponse:
        body, total, extra = self.stored.body, len(self.stored.body), {}
        status = 200
        if header is not None:
            start, end = _resolve(header, total)
            if start >= total or start >= end:
                return self._response(request, 416, {}, b"<Error><Code>InvalidRange</Code></Error>")
            status, body = 206, body[start:end]
            extra = {"Content-Range": f"bytes {start}-{end - 1}/{total}"}
        meta = {_META + name: value for name, value in self.stored.metadata.items()}
        return self._response(request, status, {**meta, **extra}, body)

    def _response(self, request: AWSPreparedRequest, status: int, extra: dict[str, str], body: bytes) -> AWSResponse:
        digest = hashlib.md5(self.stored.body, usedforsecurity=False).hexdigest()
        headers = {"ETag": f'"{digest}"', "Content-Length": str(len(body)), **extra}
        self._answer_body = _Raw(b"" if request.method == "HEAD" else body)
        return AWSResponse(request.url, status, cast(Any, headers), self._answer_body)

    @property
    def unread_size(self) -> int:
        """How many bytes of the last answer nobody has read: over a socket, they would cost the connection."""
        return len(self._answer_body.getvalue()) - self._answer_body.tell()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _resolve(header: str, total: int) -> tuple[int, int]:
    match = _RANGE.fullmatch(header)
    assert match is not None
    first, last = match.groups()
    if not first:
        return max(0, total - int(last)), total
    return int(first), min(total, int(last) + 1) if last else total


# ---- readers: each gives what it released before it raised, and the error ----

Outcome = tuple[bytes, Exception | None]
Reader = Callable[[S3Client, str, str, Path], Outcome]
RANGE_START = 7


def _collect(client: S3Client, bucket: str, key: str, **arguments: Any) -> Outcome:
    released = bytearray()
    try:
        body = client.get_object(Bucket=bucket, Key=key, **arguments)["Body"]
        while piece := body.read(10_000):
            released += piece
    except S3EnvelopeError as error:
        return bytes(released), error
    return bytes(released), None


def read_streamed(client: S3Client, bucket: str, key: str, folder: Path) -> Outcome:
    """Read all of it in pieces; after the error the stream must go on to fail."""
    released = bytearray()
    body = None
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        while piece := body.read(10_000):
            released += piece
    except S3EnvelopeError as error:
        if body is not None:
            assert _fails_again(body)
        return bytes(released), error
    return bytes(released), None


def _fails_again(body: Any) -> bool:
    try:
        body.read(1)
    except S3EnvelopeError:
        return True
    return False


def read_range(client: S3Client, bucket: str, key: str, folder: Path) -> Outcome:
    """Read from `RANGE_START` to the end."""
    return _collect(client, bucket, key, Range=f"bytes={RANGE_START}-")


def read_to_file(client: S3Client, bucket: str, key: str, folder: Path) -> Outcome:
    """Download to a file; a failed download must leave nothing in its folder."""
    path = folder / "downloaded"
    try:
        client.download_file(bucket, key, str(path))
    except S3EnvelopeError as error:
        assert list(folder.iterdir()) == []
        return b"", error
    content = path.read_bytes()
    path.unlink()
    return content, None


def read_to_stream(client: S3Client, bucket: str, key: str, folder: Path) -> Outcome:
    """Download to a stream, which may get a verified prefix."""
    sink = io.BytesIO()
    try:
        client.download_fileobj(bucket, key, sink)
    except S3EnvelopeError as error:
        return sink.getvalue(), error
    return sink.getvalue(), None


READERS: dict[str, Reader] = {
    "get_object": read_streamed,
    "range": read_range,
    "download_file": read_to_file,
    "download_fileobj": read_to_stream,
}
