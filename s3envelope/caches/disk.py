"""The cache that survives the process: opened data keys in a folder, sealed under a key that is kept elsewhere."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import diskcache
import platformdirs

from s3envelope.caches.database import Database, check_folder, discard
from s3envelope.caches.key_sources import CacheKeySource, default_key_source
from s3envelope.caches.sealed import CLOCK_TOLERANCE_SECONDS, CachedSecret, EntrySealer, Moment, digest_of
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import CacheError, ConfigurationError

FOLDER_VARIABLE = "S3ENVELOPE_CACHE_DIR"
_LOGGER = logging.getLogger("s3envelope.cache")
_LEAST_BYTES = 256 * 1024
# After a failure of the folder, how long to go without it.
_PAUSE_SECONDS = 1.0
_LOG_INTERVAL_SECONDS = 60.0
_STAMP_INTERVAL_SECONDS = 60.0
_CLOCK = digest_of((b"latest reading of the clock",))
# Where the folder, the machine or the configuration is at fault, and not what lies in the database.
_OUTSIDE = (OSError, sqlite3.OperationalError, diskcache.Timeout, CacheError, ConfigurationError)
# What diskcache and SQLite raise for content that neither of them wrote.
_DAMAGE = (sqlite3.Error, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
_FAILURES = (*_OUTSIDE, *_DAMAGE)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What lies in a cache.

    Args:
        folder: Where it is.
        entry_count: Data keys and resolved aliases.
        stored_bytes: Of the database.
        max_entries, max_bytes: The limits.
    """

    folder: Path
    entry_count: int
    stored_bytes: int
    max_entries: int
    max_bytes: int


@dataclass(slots=True, repr=False)
class _Opened:
    database: Database
    sealer: EntrySealer
    latest: float = 0.0
    stamped_at: float | None = None


class DiskCache:
    """Keep opened data keys on disk, for all processes of this user.

    Values are sealed with AES-256-GCM under a cache key, names are keyed hashes: the folder shows neither keys nor what
    they are for. Whatever is wrong with the folder is a miss and a line in the log `s3envelope.cache`, never an error.
    Nothing is opened before the first use.

    Args:
        folder: By default what `S3ENVELOPE_CACHE_DIR` says, or the user's cache folder. It is made with mode 0700, and
            not used if somebody else owns it or can write to it.
        key: Where the cache key comes from; by default the environment variable `S3ENVELOPE_CACHE_KEY` if it is set,
            else a key file in the user's data folder.
        max_bytes, max_entries: Beyond them the entries go that were stored, or used, longest ago.

    Raises:
        ConfigurationError: A limit is too small or `key` is no source of keys.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        key: CacheKeySource | None = None,
        max_bytes: int = 16 << 20,
        max_entries: int = 10_000,
    ) -> None:
        limits: dict[str, tuple[object, int]] = {
            "max_bytes": (max_bytes, _LEAST_BYTES),
            "max_entries": (max_entries, 1),
        }
        for name, (limit, least) in limits.items():
            if not isinstance(limit, int) or limit < least:
                raise ConfigurationError(f"{name} is {limit!r}; use a whole number, {least} or more")
        if key is not None and not isinstance(key, CacheKeySource):
            raise ConfigurationError(f"key is a {type(key).__name__}; pass a source of cache keys")
        self._folder = None if folder is None else Path(folder)
        self._source = key
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._abandoned: list[_Opened] = []
        self._opened: _Opened | None = None
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        if self._opened is not None:
            # A connection of the parent process must not even be closed here.
            self._abandoned.append(self._opened)
        self._opened = None
        self._paused_until = 0.0
        self._logged: dict[str, float] = {}
        # Last, so that another thread of a forked child does not take the old lock, which nobody will release.
        self._owner = os.getpid()

    @property
    def folder(self) -> Path:
        """Where the cache lies."""
        if self._folder is not None:
            return self._folder
        named = os.environ.get(FOLDER_VARIABLE)
        return Path(named) if named else platformdirs.user_cache_path("s3envelope", appauthor=False) / "keys"

    # ---- for the materials manager: nothing here raises ----

    def read(self, digest: bytes, now: Moment) -> CachedSecret | None:
        """Return the entry for a digest; `None` if there is none that opens."""
        return self._attempt(lambda opened: self._read(opened, digest, now), None)

    def write(self, digest: bytes, secret: SecretBytes, now: Moment, keep_seconds: float) -> None:
        """Keep a secret that the key service has just given out, in the place of an older one."""

        def work(opened: _Opened) -> None:
            self._check_clock(opened, now.wall)
            self._put(opened, digest, now, secret, keep_seconds)
            clock = opened.sealer.name(_CLOCK)
            opened.database.drop_oldest(self._max_entries + int(clock in opened.database), but=clock)

        self._attempt(work, None)

    def remove(self, digest: bytes) -> None:
        """Drop the entry for a digest."""
        self._attempt(lambda opened: opened.database.delete(opened.sealer.name(digest)), None)

    # ---- for people ----

    def stats(self) -> CacheStats:
        """Return what lies in the cache.

        Raises:
            CacheError: The cache cannot be used.
        """

        def work(opened: _Opened) -> CacheStats:
            count, size = _entry_count(opened), int(opened.database.volume())
            return CacheStats(self.folder, count, size, self._max_entries, self._max_bytes)

        return self._demand(work)

    def clear(self) -> int:
        """Drop all entries and return how many there were.

        Raises:
            CacheError: The cache cannot be used.
        """

        def work(opened: _Opened) -> int:
            count = _entry_count(opened)
            opened.database.clear()
            return count

        return self._demand(work)

    def rekey(self) -> int:
        """Seal all entries under a new cache key, and return how many there are.

        Other processes that have the cache open go on with the old key, and miss, until they end. Interrupted, it loses
        the entries.

        Raises:
            CacheError: The cache cannot be used, or its key cannot be changed from here.
        """
        now = time.time()

        def take_all(opened: _Opened) -> list[tuple[CachedSecret, float]]:
            found = []
            for name in list(opened.database.iterkeys()):
                sealed, expires_at = opened.database.get(name, default=b"", expire_time=True)
                entry = opened.sealer.open(name, sealed)
                if entry is not None:
                    found.append((entry, (expires_at or now) - now))
            return found

        entries = self._demand(take_all)
        (self._source or default_key_source()).replace(self.folder)
        with self._lock:
            self._close()

        def put_all(opened: _Opened) -> int:
            with opened.database.transact():
                opened.database.clear()
                for entry, keep_seconds in entries:
                    with entry.secret:
                        self._put(opened, entry.digest, entry.verified, entry.secret, keep_seconds)
            return sum(entry.digest != _CLOCK for entry, _ in entries)

        return self._demand(put_all)

    # ---- inside ----

    def _attempt(self, work: Callable[[_Opened], _Result], otherwise: _Result) -> _Result:
        """Do something with the cache; whatever fails is logged, and the cache left alone for a moment."""
        if os.getpid() != self._owner:
            self._reset()
        with self._lock:
            if time.monotonic() < self._paused_until:
                return otherwise
            try:
                return work(self._opened or self._open())
            except _FAILURES as error:
                self._fail(error)
                return otherwise

    def _demand(self, work: Callable[[_Opened], _Result]) -> _Result:
        if os.getpid() != self._owner:
            self._reset()
        with self._lock:
            try:
                return work(self._opened or self._open())
            except CacheError:
                raise
            except _FAILURES as error:
                self._fail(error)
                raise CacheError(f"the data-key cache in {self.folder} cannot be used: {_in_words(error)}") from error

    def _open(self) -> _Opened:
        folder = self.folder
        if self._folder is None and not folder.is_absolute():
            raise CacheError(f"there is no home folder to keep data keys in; set {FOLDER_VARIABLE} to a whole path")
        check_folder(folder)
        with (self._source or default_key_source()).load(folder) as cache_key:
            sealer = EntrySealer(cache_key, os.urandom)
        try:
            database = Database(folder, self._max_bytes)
        except _DAMAGE as error:
            if isinstance(error, _OUTSIDE):
                raise
            self._log(f"the database in {folder} is made anew: {_in_words(error)}")
            discard(folder)
            check_folder(folder)
            database = Database(folder, self._max_bytes)
        self._opened = _Opened(database, sealer)
        return self._opened

    def _read(self, opened: _Opened, digest: bytes, now: Moment) -> CachedSecret | None:
        self._check_clock(opened, now.wall)
        name = opened.sealer.name(digest)
        sealed, expires_at, stamped_at = opened.database.get(name, expire_time=True, tag=True)
        if sealed is None:
            return None
        entry = opened.sealer.open(name, sealed)
        if entry is None or entry.digest != digest:
            self._log("an entry does not open under the cache key: it was changed, and is dropped")
            opened.database.delete(name)
            return None
        # Eviction goes by the time of storing. A note at every read would cost ten times the read.
        real_now = time.time()
        if not isinstance(stamped_at, float) or not 0 <= real_now - stamped_at < _STAMP_INTERVAL_SECONDS:
            keep_seconds = expires_at - real_now if isinstance(expires_at, float) else 0.0
            opened.database.set(name, sealed, expire=keep_seconds, tag=real_now)
        return entry

    def _put(self, opened: _Opened, digest: bytes, verified: Moment, secret: SecretBytes, keep_seconds: float) -> None:
        sealed = opened.sealer.seal(digest, verified, secret)
        opened.database.set(opened.sealer.name(digest), sealed, expire=keep_seconds, tag=time.time())

    def _check_clock(self, opened: _Opened, now: float) -> None:
        """Drop everything when the clock was set back: ages cannot be told any more, and none may get younger."""
        if (
            opened.stamped_at is None
            or now < opened.latest - CLOCK_TOLERANCE_SECONDS
            or now - opened.stamped_at >= _STAMP_INTERVAL_SECONDS
        ):
            self._stamp_clock(opened, now)
        opened.latest = max(opened.latest, now)

    def _stamp_clock(self, opened: _Opened, now: float) -> None:
        """Compare the clock with the latest reading of any process, and note this one at most once a minute."""
        name = opened.sealer.name(_CLOCK)
        entry = opened.sealer.open(name, opened.database.get(name, default=b""))
        latest = max(opened.latest, 0.0 if entry is None else entry.verified.wall)
        was_set_back = now < latest - CLOCK_TOLERANCE_SECONDS
        if was_set_back:
            self._log("the clock was set back: all entries are dropped")
            opened.database.clear()
            opened.latest = now
        if entry is None or was_set_back or now - entry.verified.wall >= _STAMP_INTERVAL_SECONDS:
            with SecretBytes(b"") as nothing:
                opened.database.set(name, opened.sealer.seal(_CLOCK, Moment(now, 0.0), nothing), tag=time.time())
        opened.stamped_at = now

    def _fail(self, error: BaseException) -> None:
        self._close()
        if isinstance(error, _OUTSIDE):
            self._log(f"it is not used for a moment: {_in_words(error)}")
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            return
        self._log(f"the database in {self.folder} is damaged and removed: {_in_words(error)}")
        try:
            discard(self.folder)
        except OSError:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.sealer.wipe()
            try:
                opened.database.close()
            except sqlite3.Error:
                # It is forgotten all the same.
                return

    def _log(self, what: str) -> None:
        now = time.monotonic()
        if now - self._logged.get(what, -_LOG_INTERVAL_SECONDS) < _LOG_INTERVAL_SECONDS:
            return
        if len(self._logged) > 100:
            self._logged.clear()
        self._logged[what] = now
        _LOGGER.warning("data-key cache: %s", what)

    def __repr__(self) -> str:
        return f"DiskCache({str(self.folder)!r})"


def _entry_count(opened: _Opened) -> int:
    return len(opened.database) - int(opened.sealer.name(_CLOCK) in opened.database)


def _in_words(error: BaseException) -> str:
    if isinstance(error, diskcache.Timeout):
        return "another process holds the database"
    return f"{type(error).__name__}: {error}" if not isinstance(error, CacheError) else str(error)
