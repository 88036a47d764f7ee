"""Plaintext sources that behave as badly as files may, big ones that cost no memory, and a sink that hashes.

All sources but `TextSource` have `read(size=-1)`; all but `NonSeekableSource` have `seek` and `tell` too.
"""

import hashlib
import io
import random
from collections.abc import Callable, Sequence

from s3envelope.errors import ConfigurationError
from s3envelope.testing.pattern import PatternStream

__all__ = [
    "ChangingSource",
    "FailingSource",
    "HashingSink",
    "MemorySource",
    "NonSeekableSource",
    "OverlongSource",
    "PatternStream",
    "ResizingSource",
    "ShortReadSource",
    "SilentSeekSource",
    "StrictEndSource",
    "TextSource",
]


class MemorySource:
    """Serve bytes like a well-behaved binary file, and count the passes over them.

    A pass ends with a seek to the start after anything was read; `pass_count` is 1 in the first.
    """

    def __init__(self, plaintext: bytes) -> None:
        self._plaintext = plaintext
        self._position = 0
        self._has_read = False
        self.pass_count = 1

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes; all that is left for None or a negative size."""
        plaintext = self._plaintext_of_pass(self.pass_count)
        end = len(plaintext) if size is None or size < 0 else self._position + size
        piece = plaintext[self._position : end]
        self._position += len(piece)
        self._has_read = self._has_read or bool(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int | None:
        """Move, as a file does; positions after the end are legal.

        Raises:
            ValueError: The position would be negative.
        """
        size = len(self._plaintext_of_pass(self.pass_count))
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        if position == 0 and self._has_read:
            self.pass_count += 1
            self._has_read = False
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

    def _plaintext_of_pass(self, pass_number: int) -> bytes:
        """Return the content in a pass; the hook of the sources that change."""
        return self._plaintext


class ShortReadSource(MemorySource):
    """Return between 1 and `longest` bytes from each read, as sockets and pipes do."""

    def __init__(self, plaintext: bytes, *, longest: int = 7, seed: int = 0) -> None:
        super().__init__(plaintext)
        self._longest = longest
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret

    def read(self, size: int | None = -1) -> bytes:
        """Return some of the bytes asked for, at least one before the end."""
        allowed = self._random.randint(1, self._longest)
        return super().read(allowed if size is None or size < 0 else min(size, allowed))


class OverlongSource(MemorySource):
    """Return more bytes than asked for, as broken wrappers do."""

    def __init__(self, plaintext: bytes, *, excess_size: int = 1) -> None:
        super().__init__(plaintext)
        self._excess_size = excess_size

    def read(self, size: int | None = -1) -> bytes:
        """Return `excess_size` bytes too many, as far as there are any."""
        return super().read(-1 if size is None or size < 0 else size + self._excess_size)


class StrictEndSource(MemorySource):
    """Tell the end by an empty read only, and refuse to be read after it until the next seek."""

    def __init__(self, plaintext: bytes) -> None:
        super().__init__(plaintext)
        self._has_ended = False

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, or b"" once.

        Raises:
            AssertionError: The end has been told already.
        """
        if self._has_ended:
            raise AssertionError("read again after the end of the stream")
        piece = super().read(size)
        self._has_ended = not piece and size != 0
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int | None:
        """Move; the end may be told again."""
        self._has_ended = False
        return super().seek(offset, whence)


class NonSeekableSource:
    """Serve bytes with `read` alone: no seek, no tell, no length, like a pipe."""

    def __init__(self, plaintext: bytes) -> None:
        self._source = MemorySource(plaintext)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes."""
        return self._source.read(size)


class SilentSeekSource(MemorySource):
    """Return None from seek, as `tempfile.SpooledTemporaryFile` did and many wrappers do."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int | None:
        """Move, and say nothing."""
        super().seek(offset, whence)
        return None


class ChangingSource(MemorySource):
    """Change one byte for all passes after the first `stable_passes`."""

    def __init__(self, plaintext: bytes, *, offset: int, stable_passes: int = 1) -> None:
        super().__init__(plaintext)
        self._stable_passes = stable_passes
        changed = bytearray(plaintext)
        changed[offset] ^= 0x01
        self._changed = bytes(changed)

    def _plaintext_of_pass(self, pass_number: int) -> bytes:
        return self._plaintext if pass_number <= self._stable_passes else self._changed


class ResizingSource(MemorySource):
    """Have another length in each pass: cut, or grown by zeros; the last of the sizes stays."""

    def __init__(self, plaintext: bytes, *, sizes: Sequence[int]) -> None:
        super().__init__(plaintext)
        if not sizes:
            raise ConfigurationError("sizes is empty; name the size of the first pass at least")
        self._sizes = tuple(sizes)

    def _plaintext_of_pass(self, pass_number: int) -> bytes:
        size = self._sizes[min(pass_number, len(self._sizes)) - 1]
        return self._plaintext[:size].ljust(size, b"\0")


class FailingSource(MemorySource):
    """Raise when the byte at `offset` would be read, after giving what comes before it."""

    def __init__(
        self,
        plaintext: bytes,
        *,
        offset: int,
        make_error: Callable[[], Exception] = OSError,
        good_passes: int = 0,
    ) -> None:
        super().__init__(plaintext)
        self._offset = offset
        self._make_error = make_error
        self._good_passes = good_passes

    def read(self, size: int | None = -1) -> bytes:
        """Return bytes before the offset; raise at it, unless the pass is one of the first good ones."""
        if self.pass_count <= self._good_passes:
            return super().read(size)
        left = max(0, self._offset - self.tell())
        if left == 0 and size != 0:
            raise self._make_error()
        return super().read(left if size is None or size < 0 else min(size, left))


class TextSource(io.StringIO):
    """Return str from read: a file opened without "b", which an upload must refuse."""


class HashingSink:
    """Hash and count what is written, and keep nothing; it cannot seek, so writers must come in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes | bytearray | memoryview) -> int:
        """Take the next bytes; returns their number."""
        self._hash.update(piece)
        size = len(memoryview(piece).cast("B"))
        self.size += size
        return size

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def hexdigest(self) -> str:
        """Return the SHA-256 of everything so far."""
        return self._hash.hexdigest()
