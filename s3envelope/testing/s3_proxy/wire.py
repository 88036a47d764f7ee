"""HTTP/1.1 on a socket: heads, and bodies as pieces of bounded size."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

PIECE_SIZE = 256 * 1024
_LONGEST_HEAD = 256 * 1024

Headers = tuple[tuple[str, str], ...]


class WireError(Exception):
    """The peer broke HTTP, or went away in the middle of a message."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the header fields of a message, and the bytes they came in."""

    first_line: str
    headers: Headers
    raw: bytes

    def get(self, name: str, default: str = "") -> str:
        """Return the first header of that name, in any case of letters."""
        return header_of(self.headers, name, default)

    @property
    def is_chunked(self) -> bool:
        """Tell whether the body comes in HTTP chunks."""
        return "chunked" in self.get("transfer-encoding").lower()

    @property
    def content_length(self) -> int | None:
        """Return the announced size of the body, or None without one."""
        value = self.get("content-length")
        if not value:
            return None
        if not value.isdecimal():
            raise WireError("Content-Length is not a number")
        return int(value)


def header_of(headers: Headers, name: str, default: str = "") -> str:
    """Return the first header of that name, in any case of letters."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), default)


def without_headers(headers: Headers, *names: str) -> Headers:
    """Return the headers without those names, in any case of letters."""
    unwanted = {name.lower() for name in names}
    return tuple((key, value) for key, value in headers if key.lower() not in unwanted)


def head_bytes(first_line: str, headers: Headers) -> bytes:
    """Return a head as it is sent, with its empty line."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def as_chunk(piece: bytes) -> bytes:
    """Return a piece as an HTTP chunk; an empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Wire:
    """Read messages from a connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        # Received and not yet read are the bytes of _pending from _offset on: cutting them off would copy the rest.
        self._pending = b""
        self._offset = 0
        self._buffer = bytearray(PIECE_SIZE)

    def send(self, message: bytes) -> None:
        """Send all of the bytes."""
        self.connection.sendall(message)

    def is_idle(self) -> bool:
        """Tell whether the connection is open with nothing to read: fit for another request."""
        if self._offset < len(self._pending):
            return False
        timeout = self.connection.gettimeout()
        self.connection.setblocking(False)
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.connection.settimeout(timeout)
        return False

    def read_head(self) -> Head | None:
        """Return the next head, or None when the peer closed the connection between two messages.

        Raises:
            WireError: The head is not HTTP, or ends early, or is longer than 256 KiB.
        """
        raw = self._read_until(b"\r\n\r\n")
        if raw is None:
            return None
        first_line, *lines = raw[:-4].decode("latin-1").split("\r\n")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise WireError("a header line without a colon")
            headers.append((name, value.strip(" \t")))
        return Head(first_line, tuple(headers), raw)

    def sized(self, size: int) -> Iterator[bytes]:
        """Yield a body of known size."""
        left = size
        while left:
            piece = self._take(left)
            left -= len(piece)
            yield piece

    def chunked(self) -> Iterator[bytes]:
        """Yield a chunked body; trailers are read and dropped (no S3 client puts any at this level)."""
        while True:
            size = _chunk_size(self._line())
            if size == 0:
                while self._line():
                    pass
                return
            yield from self.sized(size)
            if self._line():
                raise WireError("a chunk is longer than its announced size")

    def until_close(self) -> Iterator[bytes]:
        """Yield a body that ends with the connection."""
        if self._offset < len(self._pending):
            yield self._consume(len(self._pending))
        while piece := self.connection.recv(PIECE_SIZE):
            yield piece

    def _line(self) -> bytes:
        raw = self._read_until(b"\r\n")
        if raw is None:
            raise WireError("the connection ended inside a body")
        return raw[:-2]

    def _take(self, limit: int) -> bytes:
        """Return up to `limit` bytes of a body; less than a piece only at an end."""
        if self._offset < len(self._pending):
            return self._consume(min(len(self._pending), self._offset + limit))
        # TLS gives 16 KiB at a time; whole pieces make everything after them four times cheaper.
        filled_size = 0
        with memoryview(self._buffer)[: min(limit, PIECE_SIZE)] as view:
            while filled_size < len(view):
                try:
                    received_size = self.connection.recv_into(view[filled_size:])
                except OSError:
                    if filled_size == 0:
                        raise
                    break
                if received_size == 0:
                    break
                filled_size += received_size
            if filled_size == 0:
                raise WireError("the connection ended inside a body")
            return bytes(view[:filled_size])

    def _read_until(self, mark: bytes) -> bytes | None:
        """Return everything up to and with the mark, or None at a clean end."""
        while (index := self._pending.find(mark, self._offset)) < 0:
            unread = self._pending[self._offset :]
            if len(unread) > _LONGEST_HEAD:
                raise WireError("a head or a chunk line is too long")
            piece = self.connection.recv(PIECE_SIZE)
            if not piece:
                if unread:
                    raise WireError("the connection ended inside a head")
                return None
            self._pending, self._offset = unread + piece, 0
        return self._consume(index + len(mark))

    def _consume(self, end: int) -> bytes:
        """Return the pending bytes up to an index, and count them as read."""
        consumed = self._pending[self._offset : end]
        self._offset = end
        return consumed


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise WireError("a chunk without a size") from None
