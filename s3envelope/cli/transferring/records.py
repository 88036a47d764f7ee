"""Records of unfinished uploads of files: which source, which target, which upload of S3.

What lets an upload go on is the state that the library keeps beside them; a record only finds it. It holds names and
times, and nothing of a file's content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from s3envelope.cli.locations import S3Location
from s3envelope.errors import ConfigurationError
from s3envelope.private_files import try_lock
from s3envelope.stores.upload_states import DirectoryUploadStates

_VERSION = 1
_MOST_BYTES = 64 << 10
_SUFFIX = ".json"
_FOLDER = "resumable"
Fingerprint = tuple[int, int, int, int, int]


def fingerprint(status: os.stat_result) -> Fingerprint:
    """Return what tells one state of a file from another.

    The time of the last change cannot be set back by whoever changes the content and then the time of modification.
    """
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an upload is of, and where it goes.

    Args:
        source: The absolute path.
        arguments: Of the new object: its headers and its encryption context.
    """

    source: str
    endpoint_url: str
    bucket: str
    key: str
    fingerprint: Fingerprint
    arguments: dict[str, Any]

    @property
    def target(self) -> S3Location:
        return S3Location(self.bucket, self.key)


@dataclass(frozen=True, slots=True)
class Record:
    """An unfinished upload.

    Args:
        upload_id: Empty before S3 has answered.
        part_size: Of every part but the last, in bytes.
        begun_seconds: When S3 was asked for it, since the epoch.
    """

    wanted: Wanted
    upload_id: str
    part_size: int
    begun_seconds: int

    @classmethod
    def parse(cls, content: bytes) -> Record | None:
        """Read a record; `None` if it is none, as after a crash in the middle of writing it."""
        try:
            document = json.loads(content)
            wanted = document["wanted"]
            sizes = tuple(int(number) for number in wanted["fingerprint"])
            if document["version"] != _VERSION or len(sizes) != 5:
                return None
            names = {name: str(wanted[name]) for name in ("source", "endpoint_url", "bucket", "key")}
            described = Wanted(**names, fingerprint=sizes, arguments=dict(wanted["arguments"]))
            return cls(
                described, str(document["upload_id"]), int(document["part_size"]), int(document["begun_seconds"])
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def serialise(self) -> bytes:
        """Return what `parse` reads."""
        return json.dumps({"version": _VERSION, **asdict(self)}, sort_keys=True).encode("ascii")


class Entry:
    """The place of one record; use it only while its lock is held."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

    def read(self) -> Record | None:
        """Return the record; `None` if there is none."""
        self._file.seek(0)
        return Record.parse(self._file.read(_MOST_BYTES))

    def write(self, record: Record) -> None:
        """Put a record here, on the disk when this returns."""
        self._replace(record.serialise())

    def clear(self) -> None:
        """Forget the record; its file goes when the lock does, for the file is the lock."""
        self._replace(b"")

    def close(self) -> None:
        """Remove the file of no record."""
        if self.read() is None:
            # Windows removes no open file; an empty one is no record either.
            with suppress(OSError):
                self._path.unlink()

    def _replace(self, content: bytes) -> None:
        self._file.seek(0)
        # INVARIANT: one write, for the file has no buffer of its own: what is half written is no record.
        self._file.write(content)
        # INVARIANT: only now. A process that is killed between the two must not lose the id of an upload that S3 keeps:
        # a record gets longer by it, so that nothing of the shorter one is left behind it.
        self._file.truncate()
        os.fsync(self._file.fileno())


class Records:
    """The records in the folder of upload states.

    Args:
        state_dir: Of the library.
    """

    def __init__(self, state_dir: str | os.PathLike[str]) -> None:
        self._folder = Path(state_dir) / _FOLDER

    def prepare(self) -> None:
        """Make the folder, if it is not there, and see that nobody else can write to it.

        Raises:
            ConfigurationError: It cannot be made, or others can.
        """
        for folder in (self._folder.parent, self._folder):
            DirectoryUploadStates(folder).prepare()

    @contextmanager
    def locked(self, source: str, endpoint_url: str, place: S3Location) -> Iterator[Entry | None]:
        """Hold the place of one upload; `None` if another process has it.

        Raises:
            ConfigurationError: The folder cannot be used.
        """
        with self._opened(self._path(source, endpoint_url, place)) as entry:
            yield entry

    def has(self, source: str, endpoint_url: str, place: S3Location) -> bool:
        """Tell whether there may be a record of an upload."""
        # Not `Path.exists`, which raises where the folder may not be searched.
        return os.path.exists(self._path(source, endpoint_url, place))

    def _path(self, source: str, endpoint_url: str, place: S3Location) -> Path:
        name = "\0".join((source, endpoint_url, place.bucket, place.key))
        return self._folder / f"{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}{_SUFFIX}"

    @contextmanager
    def all(self) -> Iterator[Iterator[Entry]]:
        """Yield the place of every upload that no process has at the moment, each locked while it is looked at."""

        def entries() -> Iterator[Entry]:
            for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                with self._opened(path) as entry:
                    if entry is not None:
                        yield entry

        yield entries()

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Entry | None]:
        self.prepare()
        try:
            file = os.fdopen(
                os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b", buffering=0
            )
        except OSError as error:
            raise ConfigurationError(f"the state folder {self._folder} cannot be used: {error.strerror}") from error
        with file:
            # A file that another process has removed meanwhile locks nobody out any more.
            if not try_lock(file.fileno()) or not _is_there(path, file):
                yield None
                return
            entry = Entry(path, file)
            try:
                yield entry
            finally:
                entry.close()


def _is_there(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
