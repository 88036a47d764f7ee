"""The sealed form of one upload call: read it as often as you like, it is the same every time.

The SDK reads a body for a checksum, to sign it, to send it, and again for each retry. Ciphertext is made anew each
time, from the same nonces, and every tag is compared with the first one: a segment once produced is reproduced bit
for bit or not at all.  Source: FORMAT.md, section "Retry safety".
"""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Iterator
from typing import NoReturn

from s3envelope.core.kdf import BodyKey
from s3envelope.core.ports import ByteSource, ProcessId
from s3envelope.core.segments import (
    NONCE_SIZE,
    SEALED_SEGMENT_SIZE,
    SEGMENT_OVERHEAD,
    SEGMENT_SIZE,
    TAG_SIZE,
    SegmentSealer,
    segment_nonce,
)
from s3envelope.engine.buffers import ResultBuffer
from s3envelope.engine.sources import PlaintextSource, read_fully
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError

# How many segments the source is read for at once. More would save little, and keep the allocator busy.
_BATCH_COUNT = 4


class Attempt:
    """The nonces, the shape and the tags of one upload call; a repeated call for a plain part continues it."""

    __slots__ = ("_seen", "_tags", "dead", "ends_run", "nonce_start", "plaintext_size", "segment_count")

    def __init__(self, nonce_start: bytes, plaintext_size: int, *, ends_run: bool) -> None:
        """Take 12 random bytes that no other attempt has, and a size in bytes."""
        if len(nonce_start) != NONCE_SIZE:
            raise ValueError(f"a nonce has {NONCE_SIZE} bytes")
        if not ends_run and plaintext_size % SEGMENT_SIZE:
            raise ConfigurationError(f"only the last part may have a size that is no multiple of {SEGMENT_SIZE}")
        self.nonce_start = nonce_start
        self.plaintext_size = plaintext_size
        self.ends_run = ends_run
        self.segment_count = plaintext_size // SEGMENT_SIZE + ends_run
        self.dead = False
        self._tags = bytearray()
        self._seen = bytearray()

    @property
    def ciphertext_size(self) -> int:
        """In bytes."""
        return self.plaintext_size + SEGMENT_OVERHEAD * self.segment_count

    def sealed_size(self, index: int) -> int:
        """Return the size of a segment in bytes; the last one is shorter."""
        return min(SEGMENT_SIZE, self.plaintext_size - index * SEGMENT_SIZE) + SEGMENT_OVERHEAD

    def confirm(self, index: int, tag: bytes) -> None:
        """Remember the tag of a segment that was just produced, or compare it with the remembered one.

        Raises:
            SourceChangedError: It differs. The attempt is dead for good.
        """
        if index >= len(self._seen):
            missing = index + 1 - len(self._seen)
            self._seen.extend(bytes(missing))
            self._tags.extend(bytes(missing * TAG_SIZE))
        place = slice(index * TAG_SIZE, (index + 1) * TAG_SIZE)
        if not self._seen[index]:
            self._tags[place] = tag
            self._seen[index] = 1
        elif self._tags[place] != tag:
            self.die("gives other bytes than in an earlier pass")

    def die(self, what: str) -> NoReturn:
        """Refuse this attempt from now on."""
        self.dead = True
        raise SourceChangedError(
            f"the source of the upload {what}; nothing of the changed content was sent. "
            "Upload it again, and keep it unchanged while the call runs"
        )


class SealedRun:
    """The ciphertext of one upload call, readable at any position by any number of readers.

    Args:
        source: The plaintext.
        attempt: Made for a source of this size.
        body_key: Of the object; not kept.
        run: The run's number, 0 in the plain layout.
        first_segment: The index, within the run, of this call's first segment.
        process_id: To refuse a forked child, where the tags of the parent would not be seen.
    """

    def __init__(
        self,
        source: PlaintextSource,
        attempt: Attempt,
        body_key: BodyKey,
        *,
        run: int,
        first_segment: int,
        process_id: ProcessId,
    ) -> None:
        if source.size != attempt.plaintext_size:
            attempt.die(f"has {source.size} bytes, not {attempt.plaintext_size} as before")
        self._source = source
        self._attempt = attempt
        self._sealer = SegmentSealer(body_key, run)
        self._first_segment = first_segment
        self._process_id = process_id
        self._owner = process_id()
        self._lock = threading.RLock()
        self._kept_index = -1
        self._kept = b""

    @property
    def size(self) -> int:
        """The ciphertext size in bytes."""
        return self._attempt.ciphertext_size

    @property
    def attempt(self) -> Attempt:
        return self._attempt

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes of ciphertext at `position`.

        Raises:
            SourceChangedError: The source gives other or fewer bytes than before; none of them is returned.
            UnsupportedOperationError: This is another process than the one that began the upload.
        """
        end = min(position + size, self.size)
        if position >= end:
            return b""
        with self._lock:
            self._check_usable()
            first, offset = divmod(position, SEALED_SEGMENT_SIZE)
            if end <= (first + 1) * SEALED_SEGMENT_SIZE:
                return self._segment(first)[offset : offset + end - position]
            return self._many(position, end)

    def rewind(self, position: int) -> None:
        """Begin another pass at `position`: nothing kept of the earlier pass is used, the source is read again."""
        with self._lock:
            self._kept_index, self._kept = -1, b""
            segment = min(position // SEALED_SEGMENT_SIZE, self._attempt.segment_count)
            self._source.rewind(min(segment * SEGMENT_SIZE, self._attempt.plaintext_size))

    def _check_usable(self) -> None:
        if self._process_id() != self._owner:
            raise UnsupportedOperationError("an upload that began before a fork cannot go on in the child process")
        if self._attempt.dead:
            self._attempt.die("changed in an earlier pass")

    def _many(self, position: int, end: int) -> bytes:
        """Return ciphertext of several segments."""
        buffer = ResultBuffer(end - position)
        index, offset = divmod(position, SEALED_SEGMENT_SIZE)
        batch = _Batch(self._source, self._attempt, (end - 1) // SEALED_SEGMENT_SIZE)
        filled = 0
        while filled < end - position:
            sealed_size = self._attempt.sealed_size(index)
            out = buffer.view[filled : filled + sealed_size - offset]
            if len(out) == sealed_size:
                self._produce(index, batch.segment(index), out)
            else:
                out[:] = self._segment(index, batch)[offset : offset + len(out)]
            filled += len(out)
            index, offset = index + 1, 0
            out.release()
        return buffer.take(filled)

    def _segment(self, index: int, batch: _Batch | None = None) -> bytes:
        """Return a whole sealed segment, kept for the next small read."""
        if index != self._kept_index:
            plaintext = (batch or _Batch(self._source, self._attempt, index)).segment(index)
            buffer = ResultBuffer(self._attempt.sealed_size(index))
            self._produce(index, plaintext, buffer.view)
            self._kept_index, self._kept = index, buffer.take(len(buffer.view))
        return self._kept

    def _produce(self, index: int, plaintext: bytes | memoryview, out: memoryview) -> None:
        # INVARIANT: the tag is confirmed before a byte is returned.
        nonce = segment_nonce(self._attempt.nonce_start, index)
        self._sealer.seal_into(self._first_segment + index, nonce, plaintext, out)
        self._attempt.confirm(index, bytes(out[-TAG_SIZE:]))


class _Batch:
    """The plaintext of consecutive segments, for one read of ciphertext; the source is read for many at a time.

    Args:
        last_index: Of the last segment that is needed; nothing behind it is read.
    """

    def __init__(self, source: PlaintextSource, attempt: Attempt, last_index: int) -> None:
        self._source = source
        self._attempt = attempt
        self._last_index = last_index
        self._first = self._end = 0
        self._plaintext = memoryview(b"")

    def segment(self, index: int) -> memoryview:
        """Return the plaintext of a segment.

        Raises:
            SourceChangedError: The source has another size than before.
        """
        if not self._first <= index < self._end:
            self._read(index)
        start = (index - self._first) * SEGMENT_SIZE
        return self._plaintext[start : start + SEGMENT_SIZE]

    def _read(self, index: int) -> None:
        end = min(index + _BATCH_COUNT, self._last_index + 1)
        start = index * SEGMENT_SIZE
        wanted = min(end * SEGMENT_SIZE, self._attempt.plaintext_size) - start
        # INVARIANT: the plaintext of a segment is held in an immutable object before it is sealed, so that a source
        # that changes meanwhile cannot split ciphertext and tag.
        plaintext = self._source.read_at(start, wanted)
        if len(plaintext) != wanted:
            less = len(plaintext) < wanted
            self._attempt.die("has fewer bytes than when the call began" if less else "returns more than was asked for")
        self._first, self._end, self._plaintext = index, end, memoryview(plaintext)


class CiphertextReader:
    """A file-like cursor over fixed ciphertext: `read`, `seek`, `tell`, `len`.

    It inherits from nothing and has no `readinto`: some signers prefer `readinto` where a class inherits it, and
    would sign other bytes than are sent.
    """

    def __init__(self, run: SealedRun) -> None:
        self._run = run
        self._position = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or the rest."""
        wanted = self._run.size - self._position if size is None or size < 0 else size
        piece = self._run.read_at(self._position, wanted)
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte position; reading happens later."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._run.size}[whence]
        position = max(0, base + offset)
        if position != self._position:
            self._run.rewind(position)
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def __len__(self) -> int:
        return self._run.size

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("the body of an upload cannot be copied or pickled")


def sealed_segments(source: ByteSource, body_key: BodyKey, nonce_start: bytes, *, run: int = 0) -> Iterator[bytes]:
    """Yield the segments of a run for a stream that is read once, of any length.

    Args:
        source: Read to its end.
        nonce_start: 12 random bytes that nothing else uses.

    Raises:
        ConfigurationError: The stream returns more bytes than it was asked for.
    """
    sealer = SegmentSealer(body_key, run)
    for index in itertools.count():
        plaintext = read_fully(source, SEGMENT_SIZE)
        if len(plaintext) > SEGMENT_SIZE:
            raise ConfigurationError("Body returns more bytes than it is asked for; use a stream that obeys read(size)")
        out = bytearray(len(plaintext) + SEGMENT_OVERHEAD)
        sealer.seal_into(index, segment_nonce(nonce_start, index), plaintext, memoryview(out))
        yield bytes(out)
        if len(plaintext) < SEGMENT_SIZE:
            return
