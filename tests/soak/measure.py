"""Memory, descriptors and threads of this process; Linux only, as are the servers."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3envelope.engine.indexed_uploads import IndexedUpload

_M_ARENA_MAX = -8


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the process holds at a quiet moment."""

    rss_mib: float
    descriptor_count: int
    thread_count: int


@dataclass(frozen=True, slots=True)
class RememberedUploads:
    """The unfinished uploads in the memory of clients, among them those that another client has ended."""

    count: int
    small_parts_mib: float

    @classmethod
    def of(cls, clients: Iterable[Any]) -> RememberedUploads:
        """Count them, and the ciphertext that is kept for them."""
        known = [upload.upload for client in clients for upload in client._s3envelope.uploads._known.values()]
        sizes = [
            len(ciphertext)
            for upload in known
            if isinstance(upload, IndexedUpload)
            for _, ciphertext in upload.small_parts.values()
        ]
        return cls(len(known), round(sum(sizes) / (1 << 20), 1))


def share_the_heap() -> None:
    """Let all threads allocate from two arenas.

    glibc gives threads arenas of their own, up to eight per core, and each keeps what its largest moment took: with
    threads that come and go, as those of transfers do, memory grows for minutes although nothing is held.
    """
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def rss_mib() -> float:
    """Return the resident set in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)


def footprint() -> Footprint:
    """Measure now, without garbage and without what the allocator keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    # The listing itself holds one.
    return Footprint(rss_mib(), len(os.listdir("/proc/self/fd")) - 1, threading.active_count())


def rise(samples: list[float]) -> float:
    """Return by how much the median of the last third lies above that of the first."""
    third = len(samples) // 3
    if third == 0:
        return 0.0
    first, last = sorted(samples[:third]), sorted(samples[-third:])
    return round(last[third // 2] - first[third // 2], 1)
