"""Find a secret in a byte stream, in the spellings in which it usually leaks."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from s3envelope.errors import ConfigurationError

MINIMUM_CANARY_SIZE = 12


@dataclass(frozen=True, slots=True)
class Needle:
    """One spelling of a canary: the bytes to look for, and the name of the spelling."""

    canary: bytes
    encoding: str
    pattern: bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """One needle that a scanner met, and where it began in the scanned stream."""

    needle: Needle
    offset: int


def needles_of(canary: bytes) -> tuple[Needle, ...]:
    """Return every spelling of a canary: raw, hex in both cases, base64 in all alignments and both alphabets.

    Args:
        canary: At least 12 bytes: shorter ones are met by chance, above all in base64.

    Raises:
        ConfigurationError: The canary is too short.
    """
    if len(canary) < MINIMUM_CANARY_SIZE:
        raise ConfigurationError(
            f"the canary is {len(canary)} bytes; use at least {MINIMUM_CANARY_SIZE}: chance must not match"
        )
    spellings = {"raw": canary, "hex": canary.hex().encode(), "HEX": canary.hex().upper().encode()}
    for alignment in range(3):
        standard = _base64_core(canary, alignment)
        spellings[f"base64+{alignment}"] = standard
        spellings[f"base64url+{alignment}"] = standard.replace(b"+", b"-").replace(b"/", b"_")
    # The alphabets agree on most canaries: each distinct pattern is searched once, under its first name.
    by_pattern: dict[bytes, Needle] = {}
    for encoding, pattern in spellings.items():
        by_pattern.setdefault(pattern, Needle(canary, encoding, pattern))
    return tuple(by_pattern.values())


def _base64_core(canary: bytes, alignment: int) -> bytes:
    """Return the base64 characters that depend on the canary alone when `alignment` bytes precede it."""
    encoded = b64encode(bytes(alignment) + canary)
    first = -(-8 * alignment // 6)
    last = 8 * (alignment + len(canary)) // 6
    return encoded[first:last]


class StreamScanner:
    """Search one stream, handed over in pieces of any size, for needles; each is reported once."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        self._needles = list(needles)
        self._overlap = max((len(needle.pattern) for needle in needles), default=1) - 1
        self._tail = b""
        self._size = 0

    def feed(self, piece: bytes) -> list[Sighting]:
        """Search the next piece, and its seam with the ones before."""
        if not self._needles or not piece:
            return []
        # The piece is not joined to its forerunner: that would copy all of it. Only the seam is.
        seam = self._tail + piece[: self._overlap]
        seam_offset = self._size - len(self._tail)
        found = []
        for needle in self._needles:
            index = seam.find(needle.pattern)
            offset = seam_offset + index
            if index < 0:
                index = piece.find(needle.pattern)
                offset = self._size + index
            if index >= 0:
                found.append(Sighting(needle, offset))
        for sighting in found:
            self._needles.remove(sighting.needle)
        self._size += len(piece)
        self._tail = (seam if len(piece) <= self._overlap else piece)[-self._overlap :]
        return found
