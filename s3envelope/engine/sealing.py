"""The sealed form of one upload call: read it as often as you like, it is the same every time.

The SDK reads a body for a checksum, to sign it, to send it, and again for each retry. Ciphertext is made anew each
time, from the same nonces, and every tag is compared with the first one: a segment once produced is reproduced bit
for bit or not at all.  Source: FORMAT.md, section "Retry safety".
"""

from __future__ import annotations

import io
import threading
from typing import NoReturn, Protocol

from s3envelope.core.kdf import BodyKey
from s3envelope.core.ports import ProcessId
from s3envelope.core.segments import (
    NONCE_SIZE,
    SEALED_SEGMENT_SIZE,
    SEGMENT_OVERHEAD,
    SEGMENT_SIZE,
    TAG_SIZE,
    SegmentSealer,
    segment_nonce,
)
from s3envelope.engine.kept import PIECE_SIZE, Kept, KeptPool, plaintext_offset
from s3envelope.engine.sources import PlaintextSource
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError

# What is returned where more than a piece is asked for. botocore makes a chunk of it that fills, with its frame of 9
# bytes, one block of 128 KiB, as botocore lets urllib3 send them: other chunks are cut and copied again and again.
_BLOCK_SIZE = (128 << 10) - 9


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
        self._piece = _Piece()
        self._spare = _Piece()
        self._kept: Kept | None = None

    @property
    def size(self) -> int:
        """The ciphertext size in bytes."""
        return self._attempt.ciphertext_size

    @property
    def attempt(self) -> Attempt:
        return self._attempt

    def keep(self, pool: KeptPool) -> None:
        """Seal the body once for all passes until it is sent, as far as there are buffers; `drop` must follow.

        Later passes do not read the source, but take its reports of progress along.
        """
        with self._lock:
            self._kept = Kept(pool, self.size)

    def begin_sending(self) -> None:
        """Take note that the next pass is the one that is sent."""
        with self._lock:
            if self._kept is not None:
                self._kept.begin_sending()

    def drop(self) -> None:
        """Keep nothing any more. What is read afterwards is sealed anew."""
        with self._lock:
            kept, self._kept = self._kept, None
            if kept is not None:
                kept.drop()

    def read_at(self, position: int, size: int) -> bytes:
        """Return `size` bytes of ciphertext at `position`, or what is left; of more than 256 KiB perhaps fewer.

        Raises:
            SourceChangedError: The source gives other or fewer bytes than before; none of them is returned.
            UnsupportedOperationError: This is another process than the one that began the upload.
        """
        if size <= 0 or position >= self.size:
            return b""
        with self._lock:
            self._check_usable()
            if self._kept is not None:
                return self._read_kept(self._kept, position, min(position + size, self.size))
            return self._read(position, min(position + (size if size <= PIECE_SIZE else _BLOCK_SIZE), self.size))

    def _read(self, position: int, end: int) -> bytes:
        """Return ciphertext up to `end`, at most a piece away."""
        piece = self._piece
        if not piece.start <= position < piece.end:
            self._seal(position, end)
        if end <= piece.end:
            return piece.copy(position, end)
        begun = piece.view(position, end)
        # The next piece is sealed elsewhere: what was begun is not copied twice.
        self._piece, self._spare = self._spare, piece
        self._seal(piece.end, end)
        return b"".join((begun, self._piece.view(piece.end, end)))

    def _read_kept(self, kept: Kept, position: int, end: int) -> bytes:
        """Return what `_read` does, from the pieces that are kept where they are."""
        kept.begin()
        views: list[bytes | memoryview] = []
        while not views or 0 < end - position < PIECE_SIZE:
            number = position // PIECE_SIZE
            start = number * PIECE_SIZE
            piece_end = min(start + PIECE_SIZE, self.size)
            stop = min(end, piece_end)
            piece = kept.piece(number) or self._new_piece(kept, number, start, piece_end)
            if piece is None:
                views.append(self._read(position, stop))
            else:
                # Reading nothing there moves the progress of a transfer, and lets one that was cancelled end.
                self._source.read_at(min(plaintext_offset(stop), self._attempt.plaintext_size), 0)
                views.append(piece[position - start : stop - start])
            position = stop
        taken = bytes(views[0]) if len(views) == 1 else b"".join(views)
        # INVARIANT: a buffer is given back when nothing views it any more: the next body is sealed into it.
        kept.have_been_read(position // PIECE_SIZE + (position == self.size))
        return taken

    def _new_piece(self, kept: Kept, number: int, start: int, end: int) -> memoryview | None:
        """Seal a piece to keep, if there is a buffer for it."""
        buffer = kept.new_buffer()
        if buffer is None:
            return None
        try:
            self._seal_into(start, buffer[: end - start])
        except BaseException:
            kept.give_up(buffer)
            raise
        kept.add(number, buffer)
        return buffer

    def rewind(self, position: int) -> None:
        """Begin another pass at `position`: nothing kept of the earlier pass is used, the source is read again."""
        with self._lock:
            self._piece.forget()
            segment = min(position // SEALED_SEGMENT_SIZE, self._attempt.segment_count)
            self._source.rewind(min(segment * SEGMENT_SIZE, self._attempt.plaintext_size))

    def _check_usable(self) -> None:
        if self._process_id() != self._owner:
            raise UnsupportedOperationError("an upload that began before a fork cannot go on in the child process")
        if self._attempt.dead:
            self._attempt.die("changed in an earlier pass")

    def _seal(self, position: int, end: int) -> None:
        """Let the piece be the segments from `position` on, as many as it holds: nothing behind `end` is read."""
        start = position - position % SEALED_SEGMENT_SIZE
        wanted = -(-(end - start) // SEALED_SEGMENT_SIZE) * SEALED_SEGMENT_SIZE
        size = min(wanted, PIECE_SIZE, self.size - start)
        self._seal_into(start, self._piece.begin(size))
        self._piece.end_at(start, size)

    def _seal_into(self, start: int, out: memoryview) -> None:
        """Write whole segments to `out`; `start` is the position of the first one in the ciphertext."""
        first = start // SEALED_SEGMENT_SIZE
        last = first + (len(out) - 1) // SEALED_SEGMENT_SIZE
        plaintext = memoryview(self._plaintext(first, last))
        for index in range(first, last + 1):
            sealed, out = out[:SEALED_SEGMENT_SIZE], out[SEALED_SEGMENT_SIZE:]
            nonce = segment_nonce(self._attempt.nonce_start, index)
            self._sealer.seal_into(self._first_segment + index, nonce, plaintext[:SEGMENT_SIZE], sealed)
            plaintext = plaintext[SEGMENT_SIZE:]
            # INVARIANT: the tag is confirmed before a byte can be returned.
            self._attempt.confirm(index, bytes(sealed[-TAG_SIZE:]))

    def _plaintext(self, first: int, last: int) -> bytes | memoryview:
        """Return the plaintext of consecutive segments.

        Raises:
            SourceChangedError: The source has another size than before.
        """
        start = first * SEGMENT_SIZE
        wanted = min((last + 1) * SEGMENT_SIZE, self._attempt.plaintext_size) - start
        # INVARIANT: the plaintext of a segment is held in an immutable object before it is sealed, so that a source
        # that changes meanwhile cannot split ciphertext and tag.
        plaintext = self._source.read_at(start, wanted)
        if len(plaintext) != wanted:
            less = len(plaintext) < wanted
            self._attempt.die("has fewer bytes than when the call began" if less else "returns more than was asked for")
        return plaintext


class _Piece:
    """Consecutive sealed segments, in a buffer that is used again and again: fresh memory costs more than sealing.

    `start` and `end` are positions in the ciphertext; both are 0 while there is nothing that may be returned.
    """

    __slots__ = ("_buffer", "end", "start")

    def __init__(self) -> None:
        self.start = self.end = 0
        self._buffer = memoryview(b"")

    def begin(self, size: int) -> memoryview:
        """Return the buffer to write to."""
        # INVARIANT: what is half written, or written by a failed attempt, is never returned.
        self.forget()
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(size))
        return self._buffer[:size]

    def end_at(self, start: int, size: int) -> None:
        """Let what was written be the piece, at its place in the ciphertext."""
        self.start, self.end = start, start + size

    def view(self, position: int, end: int) -> memoryview:
        """Return what is here of a stretch that begins in the piece; it changes with the next piece."""
        return self._buffer[position - self.start : min(end, self.end) - self.start]

    def copy(self, position: int, end: int) -> bytes:
        """Return the same for good."""
        return bytes(self.view(position, end))

    def forget(self) -> None:
        """Let there be nothing."""
        self.start = self.end = 0


class FixedCiphertext(Protocol):
    """Ciphertext that is the same whenever it is read."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes at `position`: none only at the end, and all of them if they are few."""
        ...

    def rewind(self, position: int) -> None:
        """Begin another pass at `position`."""
        ...


class CiphertextReader:
    """A file-like cursor over fixed ciphertext: `read`, `seek`, `tell`, `len`.

    It inherits from nothing and has no `readinto`: some signers prefer `readinto` where a class inherits it, and
    would sign other bytes than are sent.
    """

    def __init__(self, run: FixedCiphertext) -> None:
        self._run = run
        self._position = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer at the end, or the rest; of more than 256 KiB perhaps fewer."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(self._run.size), b""))
        piece = self._run.read_at(self._position, size)
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
