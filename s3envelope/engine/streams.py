"""Plaintext, released segment by segment, each verified first.

Source: FORMAT.md, section "Reading".
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from s3envelope.core.index import MAX_INDEX_SIZE
from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import Segment, run_size
from s3envelope.core.ports import ByteSource
from s3envelope.core.ranges import Extent
from s3envelope.core.segments import (
    NONCE_SIZE,
    SEALED_SEGMENT_SIZE,
    SEGMENT_OVERHEAD,
    SEGMENT_SIZE,
    SegmentOpener,
    segment_nonce,
)
from s3envelope.engine.buffers import ResultBuffer
from s3envelope.engine.sources import close_body, read_fully
from s3envelope.errors import DecryptionError, SegmentAuthenticationError, TruncatedObjectError

_SKIP_SIZE = 65536
# How much ciphertext is read at once. More would save little, and keep the allocator busy.
_AHEAD_SIZE = 4 * SEALED_SEGMENT_SIZE
# The most that is read without being wanted, so that its connection can be used again.
# The most that is allocated for what was not verified yet; beyond, a buffer grows with what was.
_RESERVED_SIZE = 64 << 20
_BLOCK_SIZE = 4 * SEGMENT_SIZE
_NOTHING = memoryview(b"")


class _AnswerBody:
    """The body of one answer, by offsets in the stored object, from front to back."""

    def __init__(self, source: ByteSource, extent: Extent) -> None:
        self._source = source
        self._extent = extent
        self._position = extent.start
        self._ahead = _NOTHING

    def at_hand(self, start: int, size: int) -> memoryview | None:
        """Return `size` bytes at `start`, if they were read already and come next."""
        if start != self._position or size > len(self._ahead):
            return None
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        self._position += size
        return taken

    def take(self, start: int, size: int, needed: int) -> memoryview:
        """Return `size` bytes at `start`.

        Args:
            needed: How many bytes from `start` on the caller will take before it returns anything: they may be read
                at once, but no byte more, which might not come.

        Raises:
            TruncatedObjectError: The answer does not carry them.
        """
        if start < self._position or start + size > self._extent.end:
            raise TruncatedObjectError("the answer lacks a segment of the object that it must carry")
        while self._position < start:
            self._next(min(start - self._position, _SKIP_SIZE), 0)
        return self._next(size, needed)

    def finish(self) -> None:
        """Leave nothing to read: with a rest, the connection could neither be used again nor be freed."""
        rest = self._extent.end - self._position
        if rest > MAX_INDEX_SIZE:
            # Of a whole object, sent for a range.
            close_body(self._source)
            return
        # A range asks for 28 bytes more in case the object ends there; at the end of a whole object is its index.
        if rest > len(self._ahead):
            read_fully(self._source, rest - len(self._ahead))
        # One more read at the end lets the transport check its own checksum and length.
        self._source.read(1)

    def _next(self, size: int, needed: int) -> memoryview:
        if len(self._ahead) < size:
            # Bounded by what the answer says that it carries: behind that is the next answer of the connection.
            most = min(needed, _AHEAD_SIZE, self._extent.end - self._position)
            missing = max(size, most) - len(self._ahead)
            piece = read_fully(self._source, missing)
            if len(piece) > missing:
                raise TruncatedObjectError("the body of the answer does not end where its length says")
            self._ahead = memoryview(b"".join((self._ahead, piece)) if self._ahead else piece)
        taken = self._ahead[:size]
        if len(taken) != size:
            raise TruncatedObjectError("the body of the answer ends before its length says")
        self._ahead = self._ahead[size:]
        self._position += size
        return taken


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

    Attributes:
        opened_count: How many segments were opened.
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
        self._body = _AnswerBody(source, extent)
        self._segments = segments
        self._opener: SegmentOpener | None = SegmentOpener(body_key)
        self._start = start
        self._end = end
        self._missing = end - start
        self._chunk = _NOTHING
        self._failure: BaseException | None = None
        self.opened_count = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` verified bytes, or the rest; `b""` only at the proved end.

        Raises:
            SegmentAuthenticationError: A segment is not the writer's.
            TruncatedObjectError: The answer does not carry a segment that it must.
        """
        if self._failure is not None:
            raise self._failure
        wanted = self._missing if size is None or size < 0 else min(size, self._missing)
        try:
            released = self._release(wanted) if wanted <= _RESERVED_SIZE else self._release_blocks(wanted)
            # INVARIANT: the last wanted byte leaves only after every segment was opened, the empty one at the end too:
            # a caller that stops at the claimed length must not be told a length that nobody proved.
            if self._missing == 0:
                while self._open_next(_NOTHING) is not None:
                    pass
        except BaseException as error:
            # Whatever it was, also a broken connection or Ctrl-C: what follows in the source is not in order any more.
            self._fail(error)
            raise
        return released

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
        self._chunk = _NOTHING

    def _release_blocks(self, wanted: int) -> bytes:
        """Return many bytes. The buffer grows with what was verified: the size is only a claim of the server."""
        released = io.BytesIO(bytes(_RESERVED_SIZE))
        while released.tell() < wanted and (block := self._release(min(wanted - released.tell(), _BLOCK_SIZE))):
            released.write(block)
        # INVARIANT: what was reserved and not written does not leave as if it were plaintext.
        released.truncate()
        return released.getvalue()

    def _release(self, wanted: int) -> bytes:
        if wanted <= SEGMENT_SIZE:
            return self._release_little(wanted)
        buffer = ResultBuffer(wanted)
        filled = 0
        while filled < wanted:
            if not self._chunk:
                count = self._open_next(buffer.view[filled:], wanted)
                if count is None:
                    break
                filled += count
            piece = self._chunk[: wanted - filled]
            buffer.view[filled : filled + len(piece)] = piece
            self._chunk = self._chunk[len(piece) :]
            filled += len(piece)
        self._missing -= filled
        return buffer.take(filled)

    def _release_little(self, wanted: int) -> bytes:
        """Return bytes of at most two segments, for which a buffer would cost more than it saves."""
        pieces, left = [], wanted
        while left and (self._chunk or self._open_next(_NOTHING, wanted) is not None):
            piece = self._chunk[:left]
            self._chunk = self._chunk[len(piece) :]
            pieces.append(piece)
            left -= len(piece)
        self._missing -= wanted - left
        return b"".join(pieces)

    def _open_next(self, out: memoryview, wanted: int = 0) -> int | None:
        """Open the next segment: to `out` if it is wanted as a whole and fits, else to the chunk.

        Args:
            wanted: How many bytes the caller is going to release at once.

        Returns:
            The number of bytes in `out`; `None` at the end, after every segment was opened.
        """
        segment = next(self._segments, None)
        if segment is None:
            self._finish()
            return None
        if self._opener is None:
            raise DecryptionError("the stream has ended")
        size, plaintext_start = segment.plaintext_size, segment.plaintext_start
        sealed = self._sealed(segment, size + SEGMENT_OVERHEAD, wanted)
        first = max(self._start - plaintext_start, 0)
        last = max(self._end - plaintext_start, 0)
        if first == 0 and 0 < size <= min(last, len(out)):
            # INVARIANT: `out` is a buffer of this stream. It is given to the caller after every segment in it opened.
            self._opener.open_into(segment.run.number, segment.index, sealed, out[:size])
            self.opened_count += 1
            return size
        self._chunk = memoryview(self._opener.open(segment.run.number, segment.index, sealed))[first:last]
        self.opened_count += 1
        return 0

    def _needed(self, segment: Segment, wanted: int) -> int:
        """Return how many bytes of ciphertext, of this segment and of those behind it, a release takes at least."""
        run, goal = segment.run, self._end - self._missing + wanted - segment.run.plaintext_start
        if goal >= run.plaintext_size:
            return run_size(run.plaintext_size) - segment.index * SEALED_SEGMENT_SIZE
        return ((goal - 1) // SEGMENT_SIZE + 1 - segment.index) * SEALED_SEGMENT_SIZE

    def _sealed(self, segment: Segment, size: int, wanted: int) -> memoryview:
        start = segment.ciphertext_start
        sealed = self._body.at_hand(start, size)
        if sealed is None:
            sealed = self._body.take(start, size, self._needed(segment, wanted))
        pinned = segment.run.nonce_start
        if pinned is not None and sealed[:NONCE_SIZE] != segment_nonce(pinned, segment.index):
            raise SegmentAuthenticationError("a segment of the object is from a superseded upload of its part")
        return sealed

    def _finish(self) -> None:
        if self._opener is not None:
            self._body.finish()
        self._opener = None
