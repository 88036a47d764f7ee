"""What objects of a soak may contain: slices of one pool, so that the model keeps no bytes."""

from __future__ import annotations

import random
from dataclasses import dataclass

POOL_SIZE = 20 << 20
LARGEST = 12 << 20
# Prime: neighbours have nothing in common where it counts, and the offsets repeat after millions of contents.
_STRIDE = 7919


@dataclass(frozen=True, slots=True)
class Content:
    """The plaintext of one object.

    Args:
        slices: Of the pool: (offset, size), one after the other.
        slack_size: By how many bytes a listing may show it too large.
    """

    slices: tuple[tuple[int, int], ...]
    slack_size: int = 0

    @property
    def size(self) -> int:
        """Return the plaintext size in bytes."""
        return sum(size for _, size in self.slices)

    def cut(self, start: int, end: int) -> Content:
        """Return the bytes from `start` to `end`."""
        found, position = [], 0
        for offset, size in self.slices:
            first, last = max(start - position, 0), min(end - position, size)
            if first < last:
                found.append((offset + first, last - first))
            position += size
        return Content(tuple(found))


# What a key may hold; None is nothing.
State = Content | None


class Contents:
    """Makes contents that differ from each other, and their bytes."""

    def __init__(self, seed: int) -> None:
        self._pool = memoryview(random.Random(seed).randbytes(POOL_SIZE))
        self._serial = iter(range(1, 1 << 62))

    def new(self, size: int, *, slack_size: int = 0) -> Content:
        """Return a content of a size, `LARGEST` at most."""
        offset = next(self._serial) * _STRIDE % (POOL_SIZE - LARGEST)
        return Content(((offset, size),), slack_size)

    def read(self, content: Content) -> bytes:
        """Return the bytes."""
        return b"".join(self._pool[offset : offset + size] for offset, size in content.slices)


def joined(contents: list[Content]) -> Content:
    """Return the content of a multipart upload of these parts, with what its index may add to listings."""
    slices = tuple(piece for content in contents for piece in content.slices)
    return Content(slices, slack_size=52 * len(contents) + 4)
