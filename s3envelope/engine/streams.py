"""Plaintext, released segment by segment, each verified first.

Source: FORMAT.md, section "Reading".
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import Segment
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
from s3envelope.engine.sources import read_fully
from s3envelope.errors import DecryptionError, SegmentAuthenticationError, TruncatedObjectError

_SKIP_SIZE = 65536
# How much ciphertext is read at once. More would save little, and keep the allocator busy.
_AHEAD_SIZE = 4 * SEALED_SEGMENT_SIZE
# From which size on a buffer grows with what was verified.
_BLOCK_SIZE = 1 << 20
_NOTHING = memoryview(b"")


class _AnswerBody:
    """The body of one answer, by offsets in the stored object, from front to back."""

    def __init__(self, source: ByteSource, extent: Extent) -> None:
        self._source = source
        self._extent = extent
        self._position = extent.start
        self._ahead = _NOTHING

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
        """Let the transport check its own checksum and length, if nearly all of the body was taken."""
        # A range asks for 28 bytes more in case the object ends there. Where it does not, they are read all the same:
        # with a rest, the connection could not be used again. Of a whole object, sent for a range, the rest stays.
        rest = self._extent.end - self._position
        if rest <= SEGMENT_OVERHEAD:
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
            released = self._release(wanted) if wanted <= _BLOCK_SIZE else self._release_blocks(wanted)
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
        released = io.BytesIO()
        while released.tell() < wanted and (block := self._release(min(wanted - released.tell(), _BLOCK_SIZE))):
            released.write(block)
        return released.getvalue()

    def _release(self, wanted: int) -> bytes:
        if wanted <= len(self._chunk):
            # Small reads are many.
            released = bytes(self._chunk[:wanted])
            self._chunk = self._chunk[wanted:]
            self._missing -= wanted
            return released
        buffer = ResultBuffer(wanted)
        filled = 0
        while filled < wanted:
            if not self._chunk:
                count = self._open_next(buffer.view[filled:])
                if count is None:
                    break
                filled += count
            piece = self._chunk[: wanted - filled]
            buffer.view[filled : filled + len(piece)] = piece
            self._chunk = self._chunk[len(piece) :]
            filled += len(piece)
        self._missing -= filled
        return buffer.take(filled)

    def _open_next(self, out: memoryview) -> int | None:
        """Open the next segment: to `out` if it is wanted as a whole and fits, else to the chunk.

        Returns:
            The number of bytes in `out`; `None` at the end, after every segment was opened.
        """
        segment = next(self._segments, None)
        if segment is None:
            self._finish()
            return None
        if self._opener is None:
            raise DecryptionError("the stream has ended")
        sealed = self._sealed(segment, needed=len(out) // SEGMENT_SIZE * SEALED_SEGMENT_SIZE)
        first = max(self._start - segment.plaintext_start, 0)
        last = max(self._end - segment.plaintext_start, 0)
        size = segment.plaintext_size
        if first == 0 and 0 < size <= min(last, len(out)):
            # INVARIANT: `out` is a buffer of this stream. It is given to the caller after every segment in it opened.
            self._opener.open_into(segment.run.number, segment.index, sealed, out[:size])
            return size
        self._chunk = memoryview(self._opener.open(segment.run.number, segment.index, sealed))[first:last]
        return 0

    def _sealed(self, segment: Segment, *, needed: int) -> memoryview:
        sealed = self._body.take(segment.ciphertext_start, segment.sealed_size, needed)
        pinned = segment.run.nonce_start
        if pinned is not None and sealed[:NONCE_SIZE] != segment_nonce(pinned, segment.index):
            raise SegmentAuthenticationError("a segment of the object is from a superseded upload of its part")
        return sealed

    def _finish(self) -> None:
        if self._opener is not None:
            self._body.finish()
        self._opener = None
