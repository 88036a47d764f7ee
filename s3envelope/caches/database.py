"""The database of the disk cache: diskcache without everything that trusts what lies in the folder.

diskcache unpickles what a row's `mode` and `raw` columns tell it to, deletes the file that a row names, and runs the
settings rows as PRAGMAs. Whoever could write to the folder would run code in this process. Here a row is a 32-byte
name and a short byte string, inline, and everything else is refused.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import weakref
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

import diskcache
from diskcache.core import DBNAME, DEFAULT_SETTINGS, METADATA, MODE_RAW

from s3envelope.caches.sealed import DIGEST_SIZE, MAX_SEALED_SIZE
from s3envelope.errors import CacheError

# How long to wait for another process that holds the database. A miss is cheaper than a long wait.
_LOCK_SECONDS = 0.2
_SETTINGS = {
    "eviction_policy": "least-recently-stored",
    "cull_limit": 10,
    "statistics": 0,
    "tag_index": 0,
}
_SETTING_NAMES = frozenset({*DEFAULT_SETTINGS, *METADATA})
_SCHEMA_NAMES = frozenset(
    {
        *(("table", "Settings"), ("table", "Cache"), ("index", "sqlite_autoindex_Settings_1")),
        *(("index", "Cache_key_raw"), ("index", "Cache_expire_time"), ("index", "Cache_store_time")),
        *(("trigger", f"Settings_count_{event}") for event in ("insert", "delete")),
        *(("trigger", f"Settings_size_{event}") for event in ("insert", "update", "delete")),
    }
)
_COLUMNS = (
    *("rowid", "key", "raw", "store_time", "expire_time", "access_time", "access_count"),
    *("tag", "size", "mode", "filename", "value"),
)
_MOST_ROW_BYTES = 64 * 1024
# The limit in bytes goes by the size of the file, so it must shrink; that is decided when it is made.
_PRAGMAS = ("trusted_schema=OFF", "mmap_size=0", "auto_vacuum=FULL", "synchronous=OFF", "journal_mode=TRUNCATE")
_FULL_AUTO_VACUUM = 1
_OTHERS_MAY_WRITE = 0o022
_OTHERS_MAY_ANYTHING = 0o077


class HostileCacheError(ValueError):
    """Something lies in the database that this library never writes."""


class RawDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Stores byte strings in the database, under 32-byte names, and knows nothing else.

    INVARIANT: nothing is unpickled, and no file is opened or deleted, whatever a row says.
    """

    def put(self, key: object) -> tuple[memoryview, bool]:
        if not isinstance(key, bytes) or len(key) != DIGEST_SIZE:
            raise HostileCacheError("a name in the cache has 32 bytes")
        return sqlite3.Binary(key), True

    def get(self, key: object, raw: object) -> bytes:
        if raw != 1 or not isinstance(key, bytes) or len(key) != DIGEST_SIZE:
            raise HostileCacheError("a row of the cache has no name of 32 bytes")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, memoryview]:
        if read or not isinstance(value, bytes) or len(value) > MAX_SEALED_SIZE:
            raise HostileCacheError(f"a value in the cache has at most {MAX_SEALED_SIZE} bytes")
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        if mode != MODE_RAW or filename is not None or read or not isinstance(value, bytes):
            raise HostileCacheError("a row of the cache is not of the kind that this library writes")
        return value

    def filename(self, key: object = None, value: object = None) -> NoReturn:
        raise HostileCacheError("the cache keeps no files")

    def remove(self, file_path: object) -> None:
        """Do nothing: a row that names a file is not ours, and neither is the file."""


class Database(diskcache.Cache):  # type: ignore[misc]
    """One connection to the database. Not for two threads at once; not to be used after a fork.

    Args:
        folder: Checked by `check_folder`.
        max_bytes: When the database is larger, the entries that were stored longest ago are dropped.

    Raises:
        HostileCacheError: The database has tables, triggers or settings that this library does not make.
        sqlite3.Error: It is no database, or cannot be read or written.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._path = folder / DBNAME
        self._connection: sqlite3.Connection | None = None
        _inspect(self._path)
        # Only `_con` uses the path. diskcache would take a "$" or "~" in it for a variable or a home.
        try:
            super().__init__(os.curdir, timeout=_LOCK_SECONDS, disk=RawDisk, size_limit=max_bytes, **_SETTINGS)
        except BaseException:
            self.close()
            raise

    # What follows replaces parts of diskcache that run the settings rows, connect once per thread, and try for 60
    # seconds when another process holds the database.

    @property
    def _con(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
            # A cache that nobody uses any more gives its connection back; not at the end, when a fork may share it.
            self._closing = weakref.finalize(self, self._connection.close)
            self._closing.atexit = False
        return self._connection

    @property
    def _sql_retry(self) -> object:
        return self._sql

    def close(self) -> None:
        if self._connection is not None:
            self._connection = None
            self._closing()

    def reset(self, key: str, value: object = diskcache.core.ENOVAL, update: bool = True) -> object:
        """Set an attribute; PRAGMAs are those of `_connect`, and nothing is written to the settings."""
        if value is diskcache.core.ENOVAL:
            return super().reset(key)
        if not key.startswith(("sqlite_", "disk_")):
            setattr(self, key, value)
        return value

    def drop_oldest(self, max_entries: int, but: bytes) -> None:
        """Drop the entries that were stored longest ago beyond a number, except the one of a name."""
        excess = len(self) - max_entries
        if excess > 0:
            oldest = "SELECT rowid FROM Cache WHERE key != ? ORDER BY store_time LIMIT ?"
            self._sql(f"DELETE FROM Cache WHERE rowid IN ({oldest})", (sqlite3.Binary(but), excess))  # noqa: S608


def check_folder(folder: Path) -> None:
    """Make the folder of a cache, and the empty file of the database, for the owner alone.

    Raises:
        CacheError: Somebody else owns them or can write to them, or they are not a folder and a file.
        OSError: They cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(folder, folder.lstat(), stat.S_ISDIR, 0o700)
    path = folder / DBNAME
    # SQLite gives its journal the mode of the database, so no file is ever open to others.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for name in (DBNAME, f"{DBNAME}-journal", f"{DBNAME}-wal", f"{DBNAME}-shm"):
        with suppress(FileNotFoundError):
            _check_owner(folder / name, (folder / name).lstat(), stat.S_ISREG, 0o600)


def discard(folder: Path) -> None:
    """Remove the files of a database, of whatever content."""
    for name in (DBNAME, f"{DBNAME}-journal", f"{DBNAME}-wal", f"{DBNAME}-shm"):
        with suppress(FileNotFoundError):
            (folder / name).unlink()


def _check_owner(path: Path, status: os.stat_result, is_kind: Callable[[int], bool], mode: int) -> None:
    if not is_kind(status.st_mode):
        raise CacheError(f"{path} is a link or something else that does not belong into the folder of the cache")
    if os.name != "posix":
        return
    if status.st_uid != os.geteuid():
        raise CacheError(f"{path} belongs to another user; name another folder for the data-key cache")
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise CacheError(f"others can write to {path}; remove it, or chmod it to {mode:o} if you trust what is in it")
    if status.st_mode & _OTHERS_MAY_ANYTHING:
        path.chmod(mode)


def _connect(path: Path) -> sqlite3.Connection:
    # The file exists, so a link that is put there meanwhile is not followed to make another.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # No expression in a hostile schema may do more than compute. No memory map: cutting the file would end the
        # process. What is lost with the machine is a miss, so nothing waits for the disk.
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_ROW_BYTES)
    except BaseException:
        connection.close()
        raise
    return connection


def _inspect(path: Path) -> None:
    """Look at a database before diskcache does."""
    with closing(_connect(path)) as connection:
        found = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        if not found:
            return
        (auto_vacuum,) = connection.execute("PRAGMA auto_vacuum").fetchone()
        if not set(found) <= _SCHEMA_NAMES or auto_vacuum != _FULL_AUTO_VACUUM:
            raise HostileCacheError("the database of the cache has tables or triggers that are not the cache's")
        if ("table", "Settings") not in found:
            raise HostileCacheError("the database of the cache has no settings, which are made first")
        columns = tuple(row[1] for row in connection.execute("PRAGMA table_info(Cache)"))
        if columns not in ((), _COLUMNS):
            raise HostileCacheError("the database of the cache has other columns than the cache's")
        names = {name for (name,) in connection.execute("SELECT key FROM Settings")}
        if not names <= _SETTING_NAMES:
            raise HostileCacheError("the database of the cache has settings that are not the cache's")
