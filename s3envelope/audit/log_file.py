"""One file of a log, to which several processes append: its lock, its end, and its older parts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from s3envelope.audit.canonical import Record
from s3envelope.audit.chain import CHAIN_SIZE, MOST_LINE, NO_HASH, Entry, Head, chain_line, parse_line
from s3envelope.core.ports import Random
from s3envelope.errors import AuditError, ConfigurationError
from s3envelope.private_files import exclusively

_BLOCK = 1 << 16
_NUMBER_LENGTH = 12
_ABOUT_WRITER = ("schema", "time", "actor", "host", "process")
_DAY_LENGTH = len("2027-01-31")
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is put aside and a new one begun; the chain goes on. Names end with the number of the last record.

    Args:
        most_bytes: A file grows no larger, but for a single record.
        daily: Whether a file holds the records of one day (UTC).
    """

    most_bytes: int | None = None
    daily: bool = False

    def __post_init__(self) -> None:
        if self.most_bytes is not None and self.most_bytes < 1:
            raise ConfigurationError(f"most_bytes is {self.most_bytes}; use a positive number of bytes, or None")


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a file.

    Args:
        last: Its newest whole record; `None` if there is none.
        size: Up to the end of that record.
        torn: What an interrupted writer left behind it: its size, and its SHA-256.
    """

    last: Entry | None
    size: int
    torn: tuple[int, str] | None


@dataclass(slots=True)
class _Position:
    """Where the chain stands in the file; valid while the file is the same and as long."""

    head: Head | None
    day: str
    file: tuple[int, int, int]


class LogFile:
    """Appends records to the newest file of a log. Use it from one thread at a time.

    Args:
        path: Of the newest file. Its folder is made with mode 0700 if there is none.
        random: For the name of a new chain.

    Raises:
        ConfigurationError: The folder cannot be made, or others can write to it.
    """

    def __init__(self, path: Path, rotation: Rotation, random: Random) -> None:
        self._path = path
        self._random = random
        self._rotation = rotation
        self._descriptor: int | None = None
        self._position: _Position | None = None
        # The newest record that this process wrote: it is not forgotten when the file is not what it was.
        self._known: Head | None = None
        _prepare_folder(path.parent)

    def append(self, record: Record) -> Head:
        """Append a record; return the head of the chain.

        Raises:
            AuditError: It was not written; or the end of the log is not one that this class writes.
            OSError: A file cannot be opened, read or written.
        """
        with self._locked():
            last = self._current(record)
            line, head = chain_line(last, record)
            if self._is_due(len(line), record):
                self._put_aside(last)
            self._write(line, head, record)
        return head

    def sync(self) -> None:
        """Have the operating system write everything to the disk.

        Raises:
            OSError: It cannot.
        """
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; the next record opens it again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Opened for each record: a lock on a descriptor that was opened earlier is shared with every forked child. The
        # lock file is never removed, so nobody can hold the lock of a file that is gone.
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), _FLAGS, 0o600)
        try:
            with exclusively(lock):
                yield
        finally:
            os.close(lock)

    def _current(self, record: Record) -> Head:
        """Return the head of the chain, whoever wrote last; mend the file, or begin a chain."""
        position, self._position = self._position, None
        file = _identity(self._path)
        if position is not None and position.head is not None and position.file == file:
            self._position = position
            return position.head
        descriptor = self._descriptor
        if descriptor is None or file is None or _identity_of(descriptor)[:2] != file[:2]:
            descriptor = self._open()
        tail = read_tail(descriptor, self._path)
        if tail.torn is not None:
            os.ftruncate(descriptor, tail.size)
        last = tail.last or _newest_aside(self._path)
        found = None if last is None else last.head
        self._position = _Position(found, "" if last is None else _day(last.content), _identity_of(descriptor))
        head = self._reconciled(found, record)
        if tail.torn is not None:
            size, digest = tail.torn
            head = self._tell(head, record, "log-repair", [["removed_bytes", str(size)], ["removed_sha256", digest]])
        return head

    def _reconciled(self, found: Head | None, record: Record) -> Head:
        """Return where to go on, given what this process remembers of the chain and what the file says."""
        known = self._known
        if known is None:
            return found or self._begin(record)
        # INVARIANT: a chain that lost records that this process knows of goes on from these, so that whoever verifies
        # it finds the gap.
        if found is None or (found.chain == known.chain and found.sequence <= known.sequence):
            return known
        if found.chain == known.chain:
            return found
        details = [["lost_chain", known.chain], ["lost_sequence", str(known.sequence)], ["lost_hash", known.hash]]
        return self._tell(found, record, "log-replace", details)

    def _begin(self, record: Record) -> Head:
        return self._tell(Head(self._random(CHAIN_SIZE).hex(), 0, NO_HASH), record, "log-begin", [])

    def _tell(self, head: Head, record: Record, operation: str, details: list[list[str]]) -> Head:
        """Write a record about the log itself, by the writer and at the time of another."""
        kept: Record = {name: record[name] for name in _ABOUT_WRITER if name in record}
        about: Record = {**kept, "operation": operation, "outcome": "success"}
        if details:
            about["details"] = details
        line, head = chain_line(head, about)
        self._write(line, head, about)
        return head

    def _write(self, line: bytes, head: Head, record: Record) -> None:
        descriptor = self._open() if self._descriptor is None else self._descriptor
        device, inode, size = _identity_of(descriptor)
        try:
            written_count = os.write(descriptor, line)
            if written_count != len(line):
                raise AuditError(f"only {written_count} of {len(line)} bytes of a record could be written")
        except (OSError, AuditError):
            # What was written of it goes again; if it cannot, the next writer finds it and says so.
            self._position = None
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        self._known = head
        self._position = _Position(head, _day(record), (device, inode, size + len(line)))

    def _is_due(self, size: int, record: Record) -> bool:
        position, rotation = self._position, self._rotation
        if position is None or position.file[2] == 0:
            return False
        is_full = rotation.most_bytes is not None and position.file[2] + size > rotation.most_bytes
        # A clock that is behind does not put a file aside for an earlier day.
        return is_full or (rotation.daily and _day(record) > position.day)

    def _put_aside(self, last: Head) -> None:
        self.sync()
        aside = self._path.with_name(f"{self._path.name}.{last.sequence:0{_NUMBER_LENGTH}d}")
        if os.path.lexists(aside):
            raise AuditError(f"{aside} is there already; move it away, it is no part of this log")
        # Closed first, because Windows renames no file that is open.
        self.close()
        self._position = None
        os.rename(self._path, aside)
        self._open()

    def _open(self) -> int:
        self.close()
        is_new = not os.path.lexists(self._path)
        descriptor = self._descriptor = os.open(self._path, _FLAGS, 0o600)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or (os.name == "posix" and mode & 0o022):
            self.close()
            raise AuditError(f"the audit log {self._path} is no file, or others can write to it; chmod it to 600")
        if is_new:
            sync_folder(self._path.parent)
        return descriptor


def read_tail(descriptor: int, path: Path) -> Tail:
    """Read the end of a file of a log, and no more of it than its last records.

    Raises:
        AuditError: The last whole line is not a record.
        OSError: It cannot be read.
    """
    size = os.fstat(descriptor).st_size
    end = _behind_last_newline(descriptor, size)
    torn = None if end == size else (size - end, _digest(descriptor, end, size))
    if end == 0:
        return Tail(None, 0, torn)
    start = _behind_last_newline(descriptor, end - 1)
    if end - start > MOST_LINE:
        raise AuditError(f"the last record of {path} is too long to be one; verify the log, and move the file away")
    line = _read(descriptor, start, end)
    try:
        return Tail(parse_line(line, file=str(path)), end, torn)
    except AuditError as error:
        raise AuditError(f"the last record of {path} is not whole; verify the log, and move the file away") from error


def _newest_aside(newest: Path) -> Entry | None:
    """Return the last record of the file that was put aside last."""
    pattern = re.compile(re.escape(newest.name) + rf"\.[0-9]{{{_NUMBER_LENGTH}}}")
    names = [name for name in os.listdir(newest.parent) if pattern.fullmatch(name)]
    if not names:
        return None
    path = newest.with_name(max(names))
    with path.open("rb", buffering=0) as file:
        return read_tail(file.fileno(), path).last


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _behind_last_newline(descriptor: int, end: int) -> int:
    while end > 0:
        start = max(0, end - _BLOCK)
        found = _read(descriptor, start, end).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _read(descriptor: int, start: int, end: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    pieces = []
    while start < end:
        piece = os.read(descriptor, end - start)
        if not piece:
            raise AuditError("the log was cut while it was read")
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _digest(descriptor: int, start: int, end: int) -> str:
    digest = hashlib.sha256()
    while start < end:
        piece = _read(descriptor, start, min(end, start + _BLOCK))
        digest.update(piece)
        start += len(piece)
    return digest.hexdigest()


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_size


def _identity_of(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size


def _day(record: Record) -> str:
    return str(record.get("time", ""))[:_DAY_LENGTH]


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise ConfigurationError(f"the folder {folder} of the audit log cannot be used: {error.strerror}") from error
    if os.name != "posix":
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(f"the folder {folder} of the audit log belongs to another user; use one of your own")
    if status.st_mode & 0o022:
        raise ConfigurationError(f"others can write to the folder {folder} of the audit log; chmod it to 700")
