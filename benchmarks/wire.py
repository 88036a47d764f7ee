"""The HTTP that the memory sink understands: heads, and bodies that go straight into the buffer that keeps them."""

from __future__ import annotations

import socket
import urllib.parse
from dataclasses import dataclass
from typing import Protocol

_BUFFER_SIZE = 1 << 18
_SCRATCH_SIZE = 1 << 20
_MAX_LINE_SIZE = 8192
_LINE_END = b"\r\n"
_TRAILER_PREFIX = "x-amz-"


class Wire(Protocol):
    """Bytes from a client."""

    def fill(self, view: memoryview) -> None:
        """Fill the whole view. Must raise `EOFError` if the client sends less."""
        ...

    def line(self) -> bytes:
        """Return the bytes up to the next line end, without it."""
        ...


class Connection:
    """One accepted socket; bodies bypass its own buffer."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._buffer = bytearray(_BUFFER_SIZE)
        self._start = self._end = 0

    def until(self, separator: bytes) -> bytes:
        """Return the bytes up to a separator, without it.

        Raises:
            EOFError: The client closed the connection, or the separator does not come.
        """
        while (found := self._buffer.find(separator, self._start, self._end)) < 0:
            self._receive()
        head = bytes(self._buffer[self._start : found])
        self._start = found + len(separator)
        return head

    def line(self) -> bytes:
        """See `Wire`."""
        return self.until(_LINE_END)

    def fill(self, view: memoryview) -> None:
        """See `Wire`."""
        filled = min(len(view), self._end - self._start)
        view[:filled] = self._buffer[self._start : self._start + filled]
        self._start += filled
        while filled < len(view):
            count = self._socket.recv_into(view[filled:])
            if not count:
                raise EOFError
            filled += count

    def send(self, piece: bytes | memoryview) -> None:
        """Send all of it; the interpreter lock is free meanwhile."""
        self._socket.sendall(piece)

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        if self._start:
            kept = self._buffer[self._start : self._end]
            self._buffer[: len(kept)] = kept
            self._start, self._end = 0, len(kept)
        if self._end == len(self._buffer):
            raise EOFError
        count = self._socket.recv_into(memoryview(self._buffer)[self._end :])
        if not count:
            raise EOFError
        self._end += count


class HttpChunks:
    """The content of a body with `Transfer-Encoding: chunked`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = 0
        self._ended = False

    def fill(self, view: memoryview) -> None:
        """See `Wire`."""
        filled = 0
        while filled < len(view):
            self._begin_chunk()
            if self._ended:
                raise EOFError
            count = min(len(view) - filled, self._left)
            self._connection.fill(view[filled : filled + count])
            filled += count
            self._take(count)

    def line(self) -> bytes:
        """See `Wire`. Lines are short and rare, so they are read byte by byte."""
        line = bytearray()
        byte = memoryview(bytearray(1))
        while not line.endswith(_LINE_END):
            self.fill(byte)
            line += byte
            if len(line) > _MAX_LINE_SIZE:
                raise EOFError
        return bytes(line[: -len(_LINE_END)])

    def drain(self) -> None:
        """Read to the end of the body."""
        while not self._ended:
            self._begin_chunk()
            self._connection.fill(memoryview(bytearray(self._left)))
            self._take(self._left)

    def _begin_chunk(self) -> None:
        if self._left or self._ended:
            return
        self._left = _chunk_size(self._connection.line())
        if not self._left:
            self._ended = True
            while self._connection.line():
                pass

    def _take(self, count: int) -> None:
        self._left -= count
        if count and not self._left:
            self._connection.line()


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request; the path is unquoted, header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @classmethod
    def parse(cls, head: bytes) -> Request:
        """Read the lines up to the empty one."""
        first, *rest = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        pairs = (line.split(":", 1) for line in rest)
        headers = {name.lower(): value.strip() for name, value in pairs}
        return cls(
            method, urllib.parse.unquote(path), dict(urllib.parse.parse_qsl(query, keep_blank_values=True)), headers
        )

    @property
    def body_size(self) -> int:
        """In bytes, without the framing of aws-chunked."""
        return int(self.headers.get("x-amz-decoded-content-length") or self.headers.get("content-length") or 0)

    @property
    def is_aws_chunked(self) -> bool:
        signed = self.headers.get("x-amz-content-sha256", "")
        return "aws-chunked" in self.headers.get("content-encoding", "") or signed.startswith("STREAMING")


def receive_body(connection: Connection, request: Request, buffer: bytearray | None) -> dict[str, str]:
    """Read the body of a request.

    Args:
        buffer: Has the body's size and is filled; with `None` the body is dropped.

    Returns:
        The trailers, which is where a checksum is that the client computed while it sent.
    """
    is_chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
    chunks = HttpChunks(connection) if is_chunked else None
    wire: Wire = connection if chunks is None else chunks
    trailers: dict[str, str] = {}
    if request.is_aws_chunked:
        trailers = _receive_aws_chunks(wire, buffer)
    elif chunks is None:
        _receive(wire, request.body_size, None if buffer is None else memoryview(buffer))
    if chunks is not None:
        chunks.drain()
    return trailers


def _receive_aws_chunks(wire: Wire, buffer: bytearray | None) -> dict[str, str]:
    view = None if buffer is None else memoryview(buffer)
    filled = 0
    while size := _chunk_size(wire.line()):
        _receive(wire, size, None if view is None else view[filled : filled + size])
        filled += size
        wire.line()
    trailers: dict[str, str] = {}
    while line := wire.line().decode("latin-1"):
        name, _, value = line.partition(":")
        if name.lower().startswith(_TRAILER_PREFIX):
            trailers[name.lower()] = value.strip()
    return trailers


def _receive(wire: Wire, size: int, view: memoryview | None) -> None:
    if view is not None:
        wire.fill(view[:size])
        return
    scratch = memoryview(bytearray(min(size, _SCRATCH_SIZE)))
    while size > 0:
        wire.fill(scratch[:size])
        size -= min(size, len(scratch))


def _chunk_size(line: bytes) -> int:
    return int(line.partition(b";")[0], 16)
