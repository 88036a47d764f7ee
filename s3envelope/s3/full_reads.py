"""Streams for s3transfer, which takes a short read for the end of a part, or of the whole object."""

from __future__ import annotations

import io
from typing import Any

from s3envelope.engine.sources import is_seekable, read_fully

_STEP = 1 << 20


class FullReads:
    """A stream whose reads are as long as was asked, up to its end: of pipes and sockets they are often shorter.

    Args:
        stream: Has `read`, and `seek` and `tell` if it can seek.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left for None or a negative size."""
        if size is not None and size >= 0:
            return read_fully(self._stream, size)
        pieces: list[bytes] = []
        while not pieces or len(pieces[-1]) == _STEP:
            pieces.append(read_fully(self._stream, _STEP))
        return b"".join(pieces)

    def seekable(self) -> bool:
        return is_seekable(self._stream)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._stream.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        position: int = self._stream.tell()
        return position

    def close(self) -> None:
        """Close the stream, if it can be closed: s3transfer does that after a put."""
        close = getattr(self._stream, "close", None)
        if callable(close):
            close()


def full_reads(stream: Any) -> Any:
    """Return a stream with full reads: the stream itself, if its type promises them."""
    return stream if isinstance(stream, io.BufferedIOBase) else FullReads(stream)
