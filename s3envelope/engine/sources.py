"""Where plaintext comes from: bytes in memory, or a stream that can be read again."""

from __future__ import annotations

import io
from collections.abc import Sized
from typing import Protocol, cast

from s3envelope.core.ports import ByteSource, SeekableSource
from s3envelope.errors import ConfigurationError

_SKIP_SIZE = 65536


class PlaintextSource(Protocol):
    """Plaintext that can be read at any offset, any number of times."""

    @property
    def size(self) -> int:
        """In bytes, fixed when the source was taken."""
        ...

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """Return the bytes at `offset`; fewer than `size` only where the source has no more."""
        ...

    def rewind(self, offset: int) -> None:
        """Take note that reading goes on at `offset`: a source that reports progress takes it back there."""
        ...


class BufferSource:
    """Plaintext in memory. A buffer that can change is copied piece by piece, before a piece is used."""

    def __init__(self, buffer: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(buffer).cast("B") if len(memoryview(buffer)) else memoryview(b"")
        self._is_immutable = isinstance(buffer, bytes)

    @property
    def size(self) -> int:
        return len(self._view)

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        piece = self._view[offset : offset + size]
        return piece if self._is_immutable else bytes(piece)

    def rewind(self, offset: int) -> None:
        """Do nothing."""


class StreamSource:
    """Plaintext in a seekable binary stream, from where it stands to its end."""

    def __init__(self, stream: SeekableSource) -> None:
        self._stream = stream
        self._start = stream.tell()
        self._size = max(0, _end_of(stream) - self._start)
        stream.seek(self._start)

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        self._stream.seek(self._start + offset)
        return read_fully(self._stream, size)

    def rewind(self, offset: int) -> None:
        self._stream.seek(self._start + offset)


class SourceReader:
    """Reads a source once, from front to back."""

    def __init__(self, source: PlaintextSource) -> None:
        self._source = source
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, or the rest."""
        left = max(0, self._source.size - self._position)
        piece = bytes(self._source.read_at(self._position, left if size < 0 else min(size, left)))
        self._position += len(piece)
        return piece


class Cursor:
    """The position in a stream of a known size, for its class to inherit: `seek`, `tell`, `seekable`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a byte position, which may be behind the end; reading happens later."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True


def _end_of(stream: SeekableSource) -> int:
    try:
        # Some streams return None from seek(): only tell() is asked.
        stream.seek(0, io.SEEK_END)
    except TypeError:
        # The chunks of s3transfer's older S3Transfer seek from their start only; they have a length.
        return len(cast(Sized, stream))
    return stream.tell()


def read_fully(stream: ByteSource, size: int) -> bytes:
    """Read `size` bytes in as many reads as it takes; fewer only at the end of the stream."""
    piece = stream.read(size)
    if isinstance(piece, str):
        raise ConfigurationError("the body gives text; open the file in binary mode")
    if len(piece) == size or not piece:
        return bytes(piece)
    pieces, missing = [bytes(piece)], size - len(piece)
    while missing > 0 and (piece := stream.read(missing)):
        pieces.append(bytes(piece))
        missing -= len(piece)
    return b"".join(pieces)


def skip(stream: ByteSource, size: int) -> None:
    """Read `size` bytes and forget them, in small pieces: a size that is only claimed allocates nothing."""
    while size > 0 and (piece := stream.read(min(size, _SKIP_SIZE))):
        size -= len(piece)


def close_body(body: object) -> None:
    """Close the body of an answer, if it can be closed. The connection of one that was read to its end stays in use."""
    close = getattr(body, "close", None)
    if callable(close):
        close()


def refuse_text(stream: object) -> None:
    """Raise `ConfigurationError` for a text stream."""
    if isinstance(stream, io.TextIOBase):
        raise ConfigurationError("Body is a text stream; open the file in binary mode")


def is_seekable(stream: object) -> bool:
    """Tell whether a stream can be read again, by its own word or by trying."""
    seekable = getattr(stream, "seekable", None)
    if callable(seekable):
        return bool(seekable())
    if not (hasattr(stream, "seek") and hasattr(stream, "tell")):
        return False
    candidate = cast(SeekableSource, stream)
    try:
        candidate.seek(candidate.tell())
    except (OSError, ValueError):
        return False
    return True


def plaintext_source(body: object) -> PlaintextSource:
    """Return the source of a body that is in memory or seekable."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return BufferSource(body)
    refuse_text(body)
    return StreamSource(cast(SeekableSource, body))
