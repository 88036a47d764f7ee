"""Sizes and addresses: where each plaintext byte lies in the ciphertext, and back.

Source: FORMAT.md, sections "Segments and runs" and "Layouts".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from s3envelope.core.segments import (
    MAX_SEGMENT_COUNT,
    SEALED_SEGMENT_SIZE,
    SEGMENT_OVERHEAD,
    SEGMENT_SIZE,
)
from s3envelope.errors import ConfigurationError, TruncatedObjectError

MIB = 1 << 20
MAX_PART_NUMBER = 10_000
MIN_PART_SIZE = 5 * MIB
MAX_PUT_SIZE = 5 << 30  # of S3, counted in ciphertext
MAX_PART_SEGMENTS = 81_884
MAX_PART_SIZE = MAX_PART_SEGMENTS * SEGMENT_SIZE


def run_size(plaintext_size: int) -> int:
    """Return the stored size of a run.

    Args:
        plaintext_size: In bytes. Zero is legal: an empty run is one empty segment.

    Returns:
        Bytes: the plaintext plus 28 per segment.

    Source: FORMAT.md, section "Segments and runs".
    """
    return plaintext_size + SEGMENT_OVERHEAD * (plaintext_size // SEGMENT_SIZE + 1)


def plaintext_size(ciphertext_size: int) -> int:
    """Return the plaintext size of a run, and so of an object in the plain layout, from its stored size.

    Args:
        ciphertext_size: In bytes, as S3 stores and lists it.

    Raises:
        TruncatedObjectError: No run has this size: the object was cut, or was not written in the plain layout.

    Source: FORMAT.md, section "Segments and runs".
    """
    full, rest = divmod(ciphertext_size, SEALED_SEGMENT_SIZE)
    if ciphertext_size < SEGMENT_OVERHEAD or rest < SEGMENT_OVERHEAD or full >= MAX_SEGMENT_COUNT:
        raise TruncatedObjectError(
            f"the object has {ciphertext_size} stored bytes, which no complete object has: it was cut or extended"
        )
    return full * SEGMENT_SIZE + rest - SEGMENT_OVERHEAD


def check_part_size(part_size: object) -> int:
    """Return `part_size` if a plain multipart upload can use it.

    Raises:
        ConfigurationError: It is not a multiple of 65536 between 5 MiB and 5,366,349,824 bytes.
    """
    if not isinstance(part_size, int) or isinstance(part_size, bool):
        raise ConfigurationError(f"part_size is a {type(part_size).__name__}; use a number of bytes")
    if part_size % SEGMENT_SIZE or not MIN_PART_SIZE <= part_size <= MAX_PART_SIZE:
        raise ConfigurationError(
            f"part_size is {part_size} bytes; use a multiple of {SEGMENT_SIZE}, at least 5 MiB "
            f"and at most {MAX_PART_SIZE}"
        )
    return part_size


def round_up_part_size(part_size: int) -> int:
    """Return the nearest legal part size that is not smaller, or the largest one."""
    rounded = -(-max(part_size, MIN_PART_SIZE) // SEGMENT_SIZE) * SEGMENT_SIZE
    return min(rounded, MAX_PART_SIZE)


@dataclass(frozen=True, slots=True)
class Run:
    """A sequence of segments with an authenticated end, and where it lies in its object.

    Args:
        number: 0 in the plain layout, the part number in the indexed one.
        nonce_start: The nonce that segment 0 must carry; `None` where the layout does not pin it.
        plaintext_start, plaintext_size: In bytes of the object's plaintext.
        ciphertext_start: In bytes of the stored object.
    """

    number: int
    nonce_start: bytes | None
    plaintext_start: int
    plaintext_size: int
    ciphertext_start: int

    @property
    def segment_count(self) -> int:
        """At least 1: the last segment is always short, and may be empty."""
        return self.plaintext_size // SEGMENT_SIZE + 1


@dataclass(frozen=True, slots=True)
class Segment:
    """The address of one segment: what must be read, and what it must open to."""

    run: Run
    index: int

    @property
    def ciphertext_start(self) -> int:
        return self.run.ciphertext_start + self.index * SEALED_SEGMENT_SIZE

    @property
    def plaintext_start(self) -> int:
        return self.run.plaintext_start + self.index * SEGMENT_SIZE

    @property
    def plaintext_size(self) -> int:
        return min(SEGMENT_SIZE, self.run.plaintext_size - self.index * SEGMENT_SIZE)

    @property
    def sealed_size(self) -> int:
        return self.plaintext_size + SEGMENT_OVERHEAD


@dataclass(frozen=True, slots=True)
class Layout:
    """The runs of one object, in order.

    Args:
        runs: At least one.
        ciphertext_size: Of the whole object, in bytes.
        indexed: Whether the runs come from an authenticated index; else the sizes are the server's claim until the
            last segment has opened.
    """

    runs: tuple[Run, ...]
    ciphertext_size: int
    indexed: bool

    @classmethod
    def plain(cls, ciphertext_size: int) -> Layout:
        """Return the layout of a plain object of this stored size.

        Raises:
            TruncatedObjectError: No plain object has this size.
        """
        return cls((Run(0, None, 0, plaintext_size(ciphertext_size), 0),), ciphertext_size, indexed=False)

    @classmethod
    def of_parts(cls, parts: Sequence[tuple[int, bytes, int]], ciphertext_size: int) -> Layout:
        """Return the layout of (part number, nonce start, plaintext size) rows of a verified index."""
        runs: list[Run] = []
        plaintext_start = ciphertext_start = 0
        for number, nonce_start, size in parts:
            runs.append(Run(number, nonce_start, plaintext_start, size, ciphertext_start))
            plaintext_start += size
            ciphertext_start += run_size(size)
        return cls(tuple(runs), ciphertext_size, indexed=True)

    @property
    def plaintext_size(self) -> int:
        last = self.runs[-1]
        return last.plaintext_start + last.plaintext_size

    def all_segments(self) -> Iterator[Segment]:
        """Yield every segment of the object, lazily: a claimed size never makes a list."""
        for run in self.runs:
            for index in range(run.segment_count):
                yield Segment(run, index)

    def segments(self, start: int, end: int) -> Iterator[Segment]:
        """Yield, lazily and in order, the segments that prove plaintext `[start, end)`.

        Args:
            start, end: Half-open, within the plaintext. If `end` is the end of the object, the last segment of the
                last run is among them even if it is empty: its shortness is the proof of the end.
        """
        for run, first, last in self._pieces(start, end):
            for index in range(first, last + 1):
                yield Segment(run, index)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the ciphertext interval, half-open, from the first to the last of `segments(start, end)`."""
        pieces = list(self._pieces(start, end))
        (first_run, first, _), (last_run, _, last) = pieces[0], pieces[-1]
        final = Segment(last_run, last)
        return Segment(first_run, first).ciphertext_start, final.ciphertext_start + final.sealed_size

    def _pieces(self, start: int, end: int) -> Iterator[tuple[Run, int, int]]:
        """Yield (run, first segment, last segment) for every run that is touched."""
        total = self.plaintext_size
        for run in self.runs:
            low = max(start - run.plaintext_start, 0)
            high = min(end - run.plaintext_start, run.plaintext_size)
            # INVARIANT: an answer that reaches the end of the object opens the last segment.
            proves_end = end == total and run is self.runs[-1]
            if low >= high and not proves_end:
                continue
            first = min(low, run.plaintext_size) // SEGMENT_SIZE
            yield run, first, run.segment_count - 1 if proves_end else (high - 1) // SEGMENT_SIZE
