"""An object, or a range of it, as a seekable binary stream that is read on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s3envelope.core.ranges import ByteRange
from s3envelope.engine.sources import Cursor, read_fully
from s3envelope.errors import ObjectChangedError

_MOST_IN_MEMORY = 8 << 20


class RangeReader(Cursor):
    """A stream over an object, or over part of it.

    It reads forward over one answer as long as nobody seeks, and asks again after a seek. Every request is tied to one
    version. Close it: an answer may be open.

    Args:
        client: An S3 client; an enveloped one gives verified plaintext.
        parameters: Of `get_object`, without `Range`.
        etag: Of the version to read.
        interval: Half-open, in the client's terms. `None` is the whole object: its size is the one of a GET, whose end
            an enveloped client proves, and not the one that a HEAD claims.

    Raises:
        ClientError: The object is not there, or is another version.
    """

    def __init__(
        self, client: Any, parameters: Mapping[str, Any], etag: str, interval: tuple[int, int] | None = None
    ) -> None:
        self._client = client
        self._parameters = {**parameters, "IfMatch": etag}
        self._is_whole = interval is None
        self._start, end = interval or (0, 0)
        super().__init__(end - self._start)
        self._body_position = 0
        self._body: Any = None
        if self._is_whole:
            self._begin()

    def body(self) -> RangeReader | bytes:
        """Return what to send: the content if it is small, which is then fetched once and not for every pass."""
        if self._size > _MOST_IN_MEMORY:
            return self
        content = read_fully(self, self._size)
        if len(content) != self._size:
            raise ObjectChangedError(f"the source has {len(content)} bytes instead of {self._size}")
        return content

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

    def close(self) -> None:
        """Close the answer that is read from; the stream can be read again."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _begin(self) -> None:
        answer = self._client.get_object(**self._parameters)
        self._body, self._size = answer["Body"], int(answer["ContentLength"])
        if not self._size:
            # Nobody will read it, so its emptiness is proved here.
            try:
                self._body.read()
            finally:
                self.close()

    def _open(self) -> None:
        self.close()
        first = self._start + self._position
        # INVARIANT: what goes to the end of the object is asked for without an end, so that the end is proved.
        wanted = ByteRange(first, None if self._is_whole else self._start + self._size - 1)
        answer = self._client.get_object(**self._parameters, Range=wanted.header())
        self._body, self._body_position = answer["Body"], self._position
        if answer["ContentLength"] != self._size - self._position:
            self.close()
            raise ObjectChangedError("two answers about one version of the source disagree about its size")
