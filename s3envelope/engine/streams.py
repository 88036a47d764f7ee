"""Plaintext, released segment by segment, each verified first.

Source: FORMAT.md, section "Reading".
"""

from __future__ import annotations

from collections.abc import Iterator

from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import Segment
from s3envelope.core.ports import ByteSource
from s3envelope.core.ranges import Extent
from s3envelope.core.segments import NONCE_SIZE, SEGMENT_OVERHEAD, SegmentOpener, segment_nonce
from s3envelope.engine.sources import read_fully
from s3envelope.errors import DecryptionError, SegmentAuthenticationError, TruncatedObjectError

_SKIP_SIZE = 65536


class VerifiedStream:
    """A stream of the plaintext `[start, end)`, over one answer of S3.

    A byte leaves only from a segment that opened at its address. After an error every later read raises it again:
    the stream never turns into a clean end.

    Args:
        source: The body of the answer.
        extent: What of the stored object the answer carries.
        segments: The segments to open, ascending; all of them are opened, also those that hold no wanted byte.
        body_key: Of the object; not kept.
        start, end: Which plaintext to release, half-open.
    """

    def __init__(
        self,
        source: ByteSource,
        extent: Extent,
        segments: Iterator[Segment],
        body_key: BodyKey,
        start: int,
        end: int,
    ) -> None:
        self._source = source
        self._extent = extent
        self._position = extent.start
        self._segments = segments
        self._opener: SegmentOpener | None = SegmentOpener(body_key)
        self._start = start
        self._end = end
        self._missing = end - start
        self._chunk = memoryview(b"")
        self._failure: BaseException | None = None

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` verified bytes, or the rest; `b""` only at the proved end.

        Raises:
            SegmentAuthenticationError: A segment is not the writer's.
            TruncatedObjectError: The answer does not carry a segment that it must.
        """
        if self._failure is not None:
            raise self._failure
        wanted = self._missing if size is None or size < 0 else min(size, self._missing)
        pieces: list[memoryview] = []
        try:
            while wanted > 0 and self._fill():
                piece = self._chunk[:wanted]
                self._chunk = self._chunk[len(piece) :]
                pieces.append(piece)
                wanted -= len(piece)
                self._missing -= len(piece)
            # INVARIANT: the last wanted byte leaves only after every segment was opened, the empty one at the end too:
            # a caller that stops at the claimed length must not be told a length that nobody proved.
            if self._missing == 0:
                self._fill()
        except BaseException as error:
            # Whatever it was, also a broken connection or Ctrl-C: what follows in the source is not in order any more.
            self._fail(error)
            raise
        return b"".join(pieces)

    def prove(self) -> None:
        """Open every segment of a stream that has no wanted byte."""
        self.read()

    def close(self) -> None:
        """Forget the key; reading on is an error."""
        if self._failure is None:
            self._fail(ValueError("I/O operation on a closed stream"))

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._opener = None
        self._chunk = memoryview(b"")

    def _fill(self) -> bool:
        """Have at least one byte to release, or return False at the end, after every segment was opened."""
        while not self._chunk:
            segment = next(self._segments, None)
            if segment is None:
                self._finish()
                return False
            plaintext = memoryview(self._open(segment))
            first = max(self._start - segment.plaintext_start, 0)
            last = max(self._end - segment.plaintext_start, 0)
            self._chunk = plaintext[first:last]
        return True

    def _open(self, segment: Segment) -> bytes:
        if self._opener is None:
            raise DecryptionError("the stream has ended")
        start, size = segment.ciphertext_start, segment.sealed_size
        if start < self._position or start + size > self._extent.end:
            raise TruncatedObjectError("the answer lacks a segment of the object that it must carry")
        self._skip(start - self._position)
        sealed = self._take(size)
        pinned = segment.run.nonce_start
        if pinned is not None and sealed[:NONCE_SIZE] != segment_nonce(pinned, segment.index):
            raise SegmentAuthenticationError("a segment of the object is from a superseded upload of its part")
        return self._opener.open(segment.run.number, segment.index, sealed)

    def _take(self, size: int) -> bytes:
        piece = read_fully(self._source, size)
        if len(piece) != size:
            raise TruncatedObjectError("the body of the answer ends before its length says")
        self._position += size
        return piece

    def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(self._take(min(size, _SKIP_SIZE)))

    def _finish(self) -> None:
        # A range asks for 28 bytes more in case the object ends there. Where it does not, they are read all the same:
        # with a rest, the connection could not be used again. Of a whole object, sent for a range, the rest stays.
        rest = self._extent.end - self._position
        if self._opener is not None and rest <= SEGMENT_OVERHEAD:
            read_fully(self._source, rest)
            # One more read at the end lets the transport check its own checksum and length.
            self._source.read(1)
        self._opener = None
