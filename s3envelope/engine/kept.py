"""Ciphertext that is kept for the next pass over a body, in buffers that all uploads of a client share."""

from __future__ import annotations

import threading

from s3envelope.core.segments import NONCE_SIZE, SEALED_SEGMENT_SIZE, SEGMENT_SIZE

# A piece is what is sealed at once. More would save little, and not stay in the CPU's cache.
PIECE_COUNT = 4
PIECE_SIZE = PIECE_COUNT * SEALED_SEGMENT_SIZE
_PATIENCE = 0.25
# Of a body, in pieces, that takes no turn: 2 MiB.
_LITTLE = 8


class KeptPool:
    """Buffers of one piece each. They are made when they are needed first, and then used again and again.

    Large bodies take turns until they are sent: if all of them began at once, the buffers would suffice for a part of
    each, and the rest would be sealed in every pass. Nobody waits for one that is being sent, nor longer than a quarter
    of a second: others may have slow sources.

    Args:
        count: The most buffers there may be; 0 keeps nothing.
        share: The most that one body may have; by default all.
        turns: How many bodies may be between their first byte and the beginning of sending.
        patience: The longest time to wait for a turn, in seconds.
    """

    def __init__(self, count: int, *, share: int | None = None, turns: int = 1, patience: float = _PATIENCE) -> None:
        self._unmade = count
        self.share = count if share is None else share
        self._free: list[memoryview] = []
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(turns)
        self._patience = patience

    def begin_turn(self) -> bool:
        """Wait for a turn; tell whether it came and must be ended."""
        return self._turns.acquire(timeout=self._patience)

    def end_turn(self) -> None:
        """Let another body begin."""
        self._turns.release()

    def take(self) -> memoryview | None:
        """Return a buffer that nobody else has, or None."""
        with self._lock:
            if self._free:
                return self._free.pop()
            if not self._unmade:
                return None
            self._unmade -= 1
        return memoryview(bytearray(PIECE_SIZE))

    def give_back(self, buffers: list[memoryview]) -> None:
        """Take buffers back which nobody reads any more."""
        with self._lock:
            self._free.extend(buffers)


class Kept:
    """The pieces of one body that are kept, by their numbers. Not for several threads at once.

    Args:
        pool: Where their buffers come from.
        size: Of the body, in bytes.
    """

    def __init__(self, pool: KeptPool, size: int) -> None:
        self._pool = pool
        self._pieces: dict[int, memoryview] = {}
        self._has_begun = size <= _LITTLE * PIECE_SIZE
        self._has_turn = self._is_full = self._is_sent = False

    def begin(self) -> None:
        """Wait until it is this body's turn, if it has not begun."""
        if not self._has_begun:
            self._has_begun = True
            self._has_turn = self._pool.begin_turn()

    def begin_sending(self) -> None:
        """From now on pieces are given up as they are read, and no new ones kept."""
        self._is_sent = self._is_full = self._has_begun = True
        self._end_turn()

    def piece(self, number: int) -> memoryview | None:
        """Return a piece that is kept."""
        return self._pieces.get(number)

    def new_buffer(self) -> memoryview | None:
        """Return a buffer to seal a piece into, if there is one; `add` it or `give_up` it."""
        if self._is_full:
            return None
        buffer = self._pool.take() if len(self._pieces) < self._pool.share else None
        # Of what comes later nothing is kept: a source that is read again is read on from one place.
        self._is_full = buffer is None
        return buffer

    def add(self, number: int, piece: memoryview) -> None:
        """Keep a piece that is whole."""
        self._pieces[number] = piece

    def give_up(self, buffer: memoryview) -> None:
        """Return a buffer in which there is nothing to keep."""
        self._pool.give_back([buffer])

    def have_been_read(self, count: int) -> None:
        """Take note that the first pieces were read to their ends: what is sent is not needed any more."""
        if self._is_sent:
            done = [number for number in self._pieces if number < count]
            self._pool.give_back([self._pieces.pop(number) for number in done])

    def drop(self) -> None:
        """Give everything back; a second call does nothing."""
        self._end_turn()
        pieces, self._pieces = self._pieces, {}
        self._is_full = True
        self._pool.give_back(list(pieces.values()))

    def _end_turn(self) -> None:
        had_turn, self._has_turn = self._has_turn, False
        if had_turn:
            self._pool.end_turn()


def plaintext_offset(position: int) -> int:
    """Return how many bytes of plaintext the ciphertext up to a position inside a run stands for, at most."""
    index, offset = divmod(position, SEALED_SEGMENT_SIZE)
    return index * SEGMENT_SIZE + min(max(0, offset - NONCE_SIZE), SEGMENT_SIZE)
