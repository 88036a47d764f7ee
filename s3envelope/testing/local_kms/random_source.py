"""Where the service takes keys, nonces and names from."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable

Random = Callable[[int], bytes]


def random_source(seed: int | None) -> Random:
    """Return the system's randomness, or a stream that is the same in every run with the same seed."""
    if seed is None:
        return os.urandom
    # `next` on a counter is atomic, so that threads never get the same bytes twice.
    counter = itertools.count()

    def seeded(size: int) -> bytes:
        return hashlib.shake_256(f"LocalKms/{seed}/{next(counter)}".encode()).digest(size)

    return seeded
