"""A stdin that Ctrl-C can end while another thread waits for it."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import BinaryIO, cast

_LOOK_SECONDS = 0.2


class InterruptedStream:
    """Reads a pipe or a terminal; every read that waits ends soon after `interrupt`.

    A transfer reads in a thread of its own, and Python delivers Ctrl-C to the main thread only: it would wait for
    the transfer, which waits for input that may never come.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()
        self._is_interrupted = threading.Event()

    def interrupt(self) -> None:
        """Let the waiting read and all later ones fail."""
        self._is_interrupted.set()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; all that is left for a negative size.

        Raises:
            InterruptedError: The stream was interrupted.
        """
        pieces: list[bytes] = []
        left = size
        while left:
            while not select.select([self._descriptor], [], [], _LOOK_SECONDS)[0]:
                self._check()
            self._check()
            piece = os.read(self._descriptor, 1 << 20 if left < 0 else min(left, 1 << 20))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

    def _check(self) -> None:
        if self._is_interrupted.is_set():
            raise InterruptedError("interrupted")


@contextmanager
def interruptible(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a stream whose reads Ctrl-C ends, where the platform and the stream allow that; else the stream itself."""
    if os.name != "posix" or stream.seekable() or threading.current_thread() is not threading.main_thread():
        yield stream
        return
    waiting = InterruptedStream(stream)

    def stop(number: int, frame: FrameType | None) -> None:
        waiting.interrupt()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        # Of a file, an upload of a stream that cannot seek uses `read` alone.
        yield cast("BinaryIO", waiting)
    finally:
        signal.signal(signal.SIGINT, before)
