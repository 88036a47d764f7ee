"""Bytes that are produced in place and then given away."""

from __future__ import annotations

import io


class ResultBuffer:
    """A buffer of fixed size that is filled through `view` and then becomes `bytes`.

    `BytesIO` gives its bytes away without a copy when nobody else refers to them. A second buffer for the copy would
    cost more than the encryption: the allocator returns and fetches its pages again and again.

    Args:
        size: In bytes. They are allocated at once, so it must not be a claim of somebody else.
    """

    __slots__ = ("_file", "view")

    def __init__(self, size: int) -> None:
        self._file = io.BytesIO(bytes(size))
        self.view = self._file.getbuffer()

    def take(self, size: int) -> bytes:
        """Return the first `size` bytes, which nothing can change any more; the buffer is gone then."""
        self.view.release()
        self._file.truncate(size)
        result = self._file.getvalue()
        # INVARIANT: closing fails while somebody still has a writable view of what is given away.
        self._file.close()
        return result
