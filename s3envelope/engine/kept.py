"""Ciphertext that is kept for the next pass over a body, within a budget that all uploads of a client share."""

from __future__ import annotations

import threading

from s3envelope.core.segments import NONCE_SIZE, SEALED_SEGMENT_SIZE, SEGMENT_SIZE


class KeptBudget:
    """How many bytes of ciphertext may be kept at once.

    Args:
        size: In bytes; 0 keeps nothing.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def reserve(self, size: int) -> int:
        """Return how many bytes of `size` may be kept: all of them, or the whole segments that are left."""
        with self._lock:
            granted = size if size <= self._left else self._left - self._left % SEALED_SEGMENT_SIZE
            self._left -= granted
            return granted

    def give_back(self, size: int) -> None:
        """Return bytes that were reserved."""
        with self._lock:
            self._left += size


class Kept:
    """The first part of the ciphertext of one call, or all of it.

    Args:
        budget: What it was reserved from.
        size: Bytes that were reserved.
    """

    def __init__(self, budget: KeptBudget, size: int) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self.size = size
        self.ciphertext: memoryview | None = None

    def drop(self) -> None:
        """Forget the ciphertext and give its place back; a second call does nothing."""
        with self._lock:
            size, self.size = self.size, 0
            self.ciphertext = None
        self._budget.give_back(size)


def plaintext_offset(position: int) -> int:
    """Return how many bytes of plaintext the ciphertext up to a position inside a run stands for, at most."""
    index, offset = divmod(position, SEALED_SEGMENT_SIZE)
    return index * SEGMENT_SIZE + min(max(0, offset - NONCE_SIZE), SEGMENT_SIZE)
