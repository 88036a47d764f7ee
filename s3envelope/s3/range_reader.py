"""An object as a seekable binary stream: verified ranges of one version, read on demand."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from s3envelope.core.ranges import ByteRange


class RangeReader:
    """A stream over part of an object.

    It reads forward over one answer as long as nobody seeks, and asks again after a seek. Every request after the
    first is tied to the version that the first one found.

    Args:
        client: An S3 client; an enveloped one gives verified plaintext.
        parameters: Of `get_object`, without `Range`.
        start, end: Half-open, in the client's terms.
        etag: Of the version to read.
    """

    def __init__(self, client: Any, parameters: Mapping[str, Any], start: int, end: int, etag: str) -> None:
        self._client = client
        self._parameters = {**parameters, "IfMatch": etag}
        self._start = start
        self._size = end - start
        self._position = 0
        self._body: Any = None
        self._body_position = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, or the rest."""
        wanted = self._size - self._position if size < 0 else min(size, self._size - self._position)
        if wanted <= 0:
            return b""
        if self._body is None or self._body_position != self._position:
            self._open()
        piece: bytes = self._body.read(wanted)
        self._position += len(piece)
        self._body_position = self._position
        if self._position == self._size:
            self.close()
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Close the answer that is read from; the stream can be read again."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _open(self) -> None:
        self.close()
        wanted = ByteRange(self._start + self._position, self._start + self._size - 1)
        self._body = self._client.get_object(**self._parameters, Range=wanted.header())["Body"]
        self._body_position = self._position
