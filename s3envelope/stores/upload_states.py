"""States of unfinished uploads in a folder, so that another process on this machine can go on.

A state is not secret, but authentic: its tag is verified by whoever reads it. What lies here is ciphertext,
metadata and names of objects.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from s3envelope.errors import ConfigurationError
from s3envelope.private_files import exclusively

_MOST_TEXT = 64 << 20
_PART_NAME = re.compile(r"part-([0-9]{1,5})-[0-9a-f]{16}", re.ASCII)


def default_state_dir() -> Path:
    """Return the folder for upload states of this user; it is made when it is used."""
    return platformdirs.user_state_path("s3envelope", appauthor=False) / "uploads"


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """A state as it lies in the store.

    Args:
        text, tag: See `core.upload_state`.
        small_parts: Ciphertext of parts below 5 MiB, by number, each with its ETag.
    """

    text: bytes
    tag: str
    small_parts: Mapping[int, tuple[str, bytes]]


class DirectoryUploadStates:
    """Keeps one folder per upload, named by a hash: nothing that a server sends becomes a path.

    Args:
        folder: Made with mode 0700 when it is first used.

    Raises:
        ConfigurationError: The folder cannot be made, or others can write to it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    @contextmanager
    def locked(self, name: tuple[str, ...]) -> Iterator[UploadEntry]:
        """Hold the lock of the folder, over threads and processes, while one upload is read and written."""
        self.prepare()
        # One lock file for all uploads: it is never removed, so nobody can hold the lock of a file that is gone.
        with open(self._folder / "lock", "ab") as lock, exclusively(lock.fileno()):
            yield UploadEntry(self._folder / _file_name(name))

    def is_gone(self, name: tuple[str, ...]) -> bool:
        """Tell whether there is a folder, and nothing in it of an upload: it was ended, or somebody removed it."""
        # Not `Path.exists`, which raises where the folder may not be searched.
        return os.path.exists(self._folder / "lock") and not os.path.exists(self._folder / _file_name(name))

    def prepare(self) -> None:
        """Make the folder, if it is not there, and see that nobody else can write to it.

        Raises:
            ConfigurationError: It cannot be made, or others can.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._folder.stat()
        except OSError as error:
            raise ConfigurationError(f"the state folder {self._folder} cannot be used: {error.strerror}") from error
        if os.name != "posix":
            return
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(f"the state folder {self._folder} belongs to another user; use one of your own")
        if status.st_mode & 0o022:
            raise ConfigurationError(f"others can write to the state folder {self._folder}; chmod it to 700")


class UploadEntry:
    """What is stored of one upload; use it only while its lock is held."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> StoredUpload | None:
        """Return what is stored, unverified; `None` if nothing is.

        Raises:
            OSError: It cannot be read.
        """
        try:
            content = (self._path / "state").read_bytes()
        except FileNotFoundError:
            return None
        tag, _, text = content[:_MOST_TEXT].partition(b"\n")
        return StoredUpload(text, tag.decode("ascii", "replace"), self._read_small())

    def write(self, text: bytes, tag: str, small_parts: Mapping[int, tuple[str, bytes]]) -> None:
        """Replace what is stored, atomically; small parts first, so that the state never names a missing one."""
        self._path.mkdir(mode=0o700, exist_ok=True)
        kept = set()
        for number, (etag, ciphertext) in small_parts.items():
            name = _part_name(number, etag)
            kept.add(name)
            if not (self._path / name).exists():
                _replace(self._path / name, etag.encode() + b"\n" + ciphertext)
        _replace(self._path / "state", tag.encode("ascii") + b"\n" + text)
        for _, stale in self._part_files():
            if stale.name not in kept:
                stale.unlink(missing_ok=True)

    def delete(self) -> None:
        """Remove everything that is stored of the upload.

        Raises:
            OSError: Something cannot be removed.
        """
        if self._path.is_dir():
            shutil.rmtree(self._path)

    def _read_small(self) -> dict[int, tuple[str, bytes]]:
        parts = {}
        for number, file in self._part_files():
            etag, _, ciphertext = file.read_bytes().partition(b"\n")
            parts[number] = (etag.decode("utf-8", "replace"), ciphertext)
        return parts

    def _part_files(self) -> Iterator[tuple[int, Path]]:
        """Yield what this class wrote; whatever else lies there is somebody else's."""
        for file in sorted(self._path.glob("part-*")):
            match = _PART_NAME.fullmatch(file.name)
            if match is not None and file.is_file():
                yield int(match.group(1)), file


def _file_name(name: tuple[str, ...]) -> str:
    encoded = [part.encode("utf-8", "surrogatepass") for part in name]
    return hashlib.sha256(b"".join(struct.pack(">I", len(part)) + part for part in encoded)).hexdigest()


def _part_name(number: int, etag: str) -> str:
    return f"part-{number}-{hashlib.sha256(etag.encode()).hexdigest()[:16]}"


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
