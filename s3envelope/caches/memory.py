"""The cache that ends with the client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryCache:
    """Keep data keys in the memory of each client, and nowhere else.

    They serve while the key service cannot be reached, like those on disk, but only the client that opened them.
    """
