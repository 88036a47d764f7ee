"""Places for anchors on this machine: a file, or a stream that somebody else keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from s3envelope.audit.chain import Head
from s3envelope.errors import AuditError

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class FileAnchorStore:
    """Appends anchors to a file, and waits until each is on the disk.

    Args:
        path: On another machine or disk than the log, or at least of another owner.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def put(self, head: Head, anchor: bytes) -> None:
        """See `AnchorStore`."""
        descriptor = os.open(self._path, _FLAGS, 0o600)
        try:
            # What an interrupted writer left would hide the next anchor, if that stood on the same line.
            if os.write(descriptor, b"\n" + anchor) != len(anchor) + 1:
                raise AuditError(f"{self._path} did not take the whole anchor")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class StreamAnchorStore:
    """Writes anchors to a binary stream: `sys.stdout.buffer` where a container's output is collected, for example."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def put(self, head: Head, anchor: bytes) -> None:
        """See `AnchorStore`."""
        self._stream.write(anchor)
        self._stream.flush()
