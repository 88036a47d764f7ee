"""Reproducible plaintext of any size that is never in memory as a whole."""

import hashlib
import io
import random

from s3envelope.errors import ConfigurationError

_BLOCK_SIZE = 1024 * 1024
_LABEL_SIZE = 32
_HASH_PIECE_SIZE = 1024 * 1024


class PatternStream:
    """Generate `size` reproducible bytes with a canary at regular offsets; seekable, in about 2 MiB of memory.

    Each MiB is the same random block, turned by another amount and led by a label of its own, so no two are
    equal and none compresses.

    Args:
        seed: Streams with one seed and one canary are prefixes of each other.
        canary: Stands at `canary_offset`, and again every `canary_interval` bytes. Empty for none.

    Raises:
        ConfigurationError: A size is negative, or the canaries would overlap.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int = 0,
        canary: bytes = b"",
        canary_interval: int = 65_536,
        canary_offset: int = 100,
    ) -> None:
        if size < 0 or canary_offset < 0:
            raise ConfigurationError(f"size {size} and canary_offset {canary_offset} must not be negative")
        if canary_interval <= len(canary):
            raise ConfigurationError(f"canary_interval {canary_interval} must exceed the canary's {len(canary)}")
        self.size = size
        self._seed = seed
        self._canary = memoryview(canary)
        self._canary_interval = canary_interval
        self._canary_offset = canary_offset
        block = random.Random(seed).randbytes(_BLOCK_SIZE)  # noqa: S311 - reproducible, not secret
        # Twice in a row, so that a turned block is one slice.
        self._doubled = memoryview(block * 2)
        self._position = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes; all that is left for None or a negative size."""
        end = self.size if size is None or size < 0 else min(self.size, self._position + size)
        pieces = []
        while self._position < end:
            piece = self._piece(self._position, end)
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as a file does; positions after the end are legal.

        Raises:
            ValueError: The position would be negative.
        """
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def sha256_hex(self) -> str:
        """Return the SHA-256 of the whole stream; the position stays."""
        position = self.tell()
        self.seek(0)
        digest = hashlib.sha256()
        while piece := self.read(_HASH_PIECE_SIZE):
            digest.update(piece)
        self.seek(position)
        return digest.hexdigest()

    def _piece(self, position: int, end: int) -> memoryview:
        """Return the longest run from a position that one source has: canary, label or block."""
        if self._canary and position >= self._canary_offset:
            into_interval = (position - self._canary_offset) % self._canary_interval
            if into_interval < len(self._canary):
                return self._canary[into_interval : into_interval + end - position]
            end = min(end, position - into_interval + self._canary_interval)
        elif self._canary:
            end = min(end, self._canary_offset)
        block_index, into_block = divmod(position, _BLOCK_SIZE)
        size = min(end - position, _BLOCK_SIZE - into_block)
        label = self._label(block_index)
        if into_block < _LABEL_SIZE:
            return memoryview(label)[into_block : into_block + size]
        start = int.from_bytes(label[:8], "big") % _BLOCK_SIZE + into_block
        return self._doubled[start : start + size]

    def _label(self, block_index: int) -> bytes:
        return hashlib.sha256(f"{self._seed}/{block_index}".encode()).digest()
