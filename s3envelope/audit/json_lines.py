"""A log of JSON lines in a file, which several threads and processes may share."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

from s3envelope.audit.anchors import Anchoring
from s3envelope.audit.event import AuditEvent
from s3envelope.audit.log_file import LogFile, Rotation
from s3envelope.audit.ports import machine_ports
from s3envelope.core.ports import SystemPorts
from s3envelope.errors import AuditError, ConfigurationError

Fsync = Literal["always", "interval", "never"]


class JsonLinesAuditSink:
    """Append events to a file, each chained to the one before, whichever process wrote that.

    What an interrupted writer left is taken away by the next one, which writes down that it did.

    Args:
        path: Of the file; its folder must be writable for its owner alone. Beside it lie a lock file and, with
            `rotation`, the older files.
        fsync: "always": an event is on the disk when `write` returns. "interval": with the first event after
            `fsync_seconds`, and when the sink is closed; a crash of the machine may lose what came since. "never": when
            the operating system likes.
        rotation: When a new file is begun.
        anchors: Signs the head of the chain now and then, so that a cut end is found.
        ports: Clocks and process number.

    Raises:
        ConfigurationError: An argument is not legal, or others can write to the folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync: Fsync = "interval",
        fsync_seconds: float = 1.0,
        rotation: Rotation | None = None,
        anchors: Anchoring | None = None,
        ports: SystemPorts | None = None,
    ) -> None:
        if fsync not in get_args(Fsync):
            raise ConfigurationError(f"fsync is {fsync!r}; use one of {', '.join(get_args(Fsync))}")
        self._path = Path(path)
        self._ports = ports or machine_ports()
        self._file = LogFile(self._path, rotation or Rotation(), self._ports.random)
        self._fsync = fsync
        self._fsync_seconds = fsync_seconds
        self._anchors = anchors
        self._synced_at = self._ports.clock()
        self._lock = threading.Lock()
        self._owner = self._ports.process_id()

    @property
    def is_buffered(self) -> bool:
        """Return false: an event that is written survives the end of this process."""
        return False

    def write(self, event: AuditEvent) -> None:
        """Append an event.

        Raises:
            AuditError: It was not written, or its anchor was not.
        """
        self._check_process()
        record = event.to_record()
        with self._lock:
            try:
                head = self._file.append(record)
                if self._must_sync():
                    self._file.sync()
                    self._synced_at = self._ports.clock()
            except OSError as error:
                raise AuditError(f"the audit log {self._path} cannot be written: {error.strerror}") from error
        if self._anchors is not None:
            self._anchors.see(head)

    def close(self) -> None:
        """Write everything to the disk, and an anchor for the end. The next event opens the file again.

        Raises:
            AuditError: It cannot be written.
        """
        self._check_process()
        with self._lock:
            try:
                if self._fsync != "never":
                    self._file.sync()
            except OSError as error:
                raise AuditError(f"the audit log {self._path} cannot be written: {error.strerror}") from error
            finally:
                self._file.close()
        if self._anchors is not None:
            self._anchors.finish()

    def __enter__(self) -> JsonLinesAuditSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _must_sync(self) -> bool:
        if self._fsync == "interval":
            return self._ports.clock() - self._synced_at >= self._fsync_seconds
        return self._fsync == "always"

    def _check_process(self) -> None:
        if self._ports.process_id() != self._owner:
            # In a forked child: another thread of the parent may have held the lock, and nobody would release it here.
            self._lock = threading.Lock()
            self._owner = self._ports.process_id()
