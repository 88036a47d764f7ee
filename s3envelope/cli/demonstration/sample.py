"""The file of the demonstration, and what can be said of its bytes."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
_LINE = "2031-{month:02}-{day:02}T08:{minute:02}:00Z,order-{number:06},customer-{customer:04},EUR,{amount}.00\n"


@dataclass(frozen=True, slots=True)
class Sample:
    """A file: the first half compressible text, the second random.

    Args:
        line: Text that stands in it many times.
        sha256: Of the whole, in hexadecimal.
    """

    path: Path
    size: int
    line: bytes
    sha256: str


def make_sample(path: Path, size: int, *, random: Callable[[int], bytes] = os.urandom) -> Sample:
    """Write the file; `size` in bytes, a multiple of 1 MiB."""
    text = _text()
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, MIB // 2):
            piece = text[: MIB // 2] if start < size // 2 else random(MIB // 2)
            digest.update(piece)
            file.write(piece)
    return Sample(path, size, text.partition(b"\n")[0], digest.hexdigest())


def _text() -> bytes:
    lines = []
    size = 0
    for number in range(MIB):
        fields = {"month": number % 12 + 1, "day": number % 28 + 1, "minute": number % 60, "number": number}
        lines.append(_LINE.format(**fields, customer=number * 37 % 4000, amount=number * 131 % 900).encode("ascii"))
        size += len(lines[-1])
        if size >= MIB // 2:
            break
    return b"".join(lines)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


def read_at(path: Path, start: int, size: int) -> bytes:
    """Return a slice of a file."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def contains(path: Path, wanted: bytes) -> bool:
    """Tell whether a file holds a byte sequence anywhere."""
    with path.open("rb") as file:
        window = b""
        while piece := file.read(MIB):
            window = window[-len(wanted) :] + piece
            if wanted in window:
                return True
    return False


def entropy(sample: bytes) -> float:
    """Return the entropy of the distribution of the bytes, in bits per byte; 8 is the most there is."""
    total = len(sample)
    return -sum(count / total * math.log2(count / total) for count in Counter(sample).values()) if total else 0.0
