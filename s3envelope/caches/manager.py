"""A materials manager that remembers data keys, in front of a keyring.

What is in memory belongs to one keyring object, and what is on disk to one partition: what one principal may open is
never lent to another.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from s3envelope.caches.circuit import Circuit
from s3envelope.caches.disk import DiskCache
from s3envelope.caches.entries import Candidate, Name, Opened, Sealing, Wanted, moment, name_of
from s3envelope.caches.flights import KeyedLocks
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.partition import CacheScope, Partition
from s3envelope.caches.sealed import Moment
from s3envelope.core.context import EncryptionContext
from s3envelope.core.key_uses import arns_of, key_use, opened_with, tell_made, tell_one
from s3envelope.core.occurrences import ObjectName, Occurrence, Source
from s3envelope.core.ports import (
    AuditSink,
    DataKey,
    DataKeyStatus,
    EncryptedDataKey,
    Keyring,
    Result,
    SystemPorts,
)
from s3envelope.core.secret import SecretBytes, wipe_all
from s3envelope.core.trial import try_data_keys
from s3envelope.errors import (
    AuditError,
    HeaderAuthenticationError,
    KeyAccessError,
    KeyServiceUnavailableError,
    add_lost_record,
)

_LOGGER = logging.getLogger("s3envelope.cache")
_MOST_ENTRIES = 1024
_Key = TypeVar("_Key")
_Entry = TypeVar("_Entry")


class CachingMaterialsManager:
    """Share data keys between objects of one encryption context, within limits; remember opened ones for a while.

    Within `fresh_for_seconds` an opened key answers alone. After that the key service is asked first, and only while it
    cannot be reached the key answers, until `offline_for_seconds`; a denial drops it at once. Concurrent misses for one
    object's keys make one request. A forked child starts with an empty memory.

    Args:
        keyring: Asked on a miss.
        limits: See `CacheLimits`.
        ports: Clocks, randomness and process of this machine.
        disk: Where opened keys are kept as well; only those of a `RemoteKeyring` are.
        scope: What entries on disk are for.
        audit: Is told of every use, and of what is dropped.
    """

    def __init__(
        self,
        keyring: Keyring,
        limits: CacheLimits,
        ports: SystemPorts,
        *,
        disk: DiskCache | None = None,
        scope: CacheScope | None = None,
        audit: AuditSink | None = None,
    ) -> None:
        self._keyring = keyring
        self._limits = limits
        self._ports = ports
        self._audit = audit
        self._keep_seconds = max(limits.fresh_for_seconds, limits.offline_for_seconds)
        # No method of this object: nothing that it holds may refer to it, so that it is freed, and wiped, at once.
        self._now = functools.partial(moment, ports)
        self._disk = Partition(keyring, limits, self._now, disk, scope or CacheScope())
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._sealing: OrderedDict[bytes, Sealing] = OrderedDict()
        self._opened: OrderedDict[Name, Opened] = OrderedDict()
        self._flights = KeyedLocks()
        self._circuit = Circuit(self._ports.clock, self._ports.random)
        # Last, so that another thread of a forked child does not take the old locks, which nobody will release.
        self._owner = self._ports.process_id()

    def data_key_for_sealing(self, context: EncryptionContext, *, about: ObjectName | None = None) -> DataKey:
        """Return a copy of the context's current data key, or of a new one."""
        self._check_process()
        # Most calls find one, and have nobody to wait for.
        found = self._reused(context, about)
        if found is not None:
            return found
        # Only callers with the same context wait while the key service is asked.
        with self._flights.holding(("seal", context.canonical)):
            found = self._reused(context, about)
            if found is not None:
                return found
            made = self._new_data_key(context, about)
            copy = DataKey(made.plaintext.copy(), made.encrypted)
            shared = Sealing(made, context, self._ports.clock(), object_count=1)
            with self._lock:
                dropped = _store(self._sealing, context.canonical, shared)
            self._tell_evicted("full", dropped)
            return copy

    def open_with_data_key(
        self,
        keys: Sequence[EncryptedDataKey],
        context: EncryptionContext,
        attempt: Callable[[SecretBytes], Result],
        *,
        about: ObjectName | None = None,
    ) -> Result:
        """See `MaterialsManager`."""
        self._check_process()
        wanted = Wanted(keys, context, about)
        names = [name_of(key, context) for key in keys]
        # What is fresh in memory needs no flight: nobody is asked, and there is nobody to wait for.
        served = self._serve_remembered(names, wanted, attempt)
        if served is not None:
            return served[0]
        with self._flights.holding(("open", *names)):
            self._resolve_aliases()
            stale: list[Candidate] = []
            try:
                for key, name in zip(keys, names, strict=True):
                    found = self._find(key, name, context)
                    if found is None:
                        continue
                    if found.age >= self._limits.fresh_for_seconds:
                        stale.append(found)
                        continue
                    served = self._serve(found, attempt, wanted, "cache")
                    if served is not None:
                        return served[0]
                return self._ask(wanted, attempt, stale)
            finally:
                for candidate in stale:
                    candidate.plaintext.wipe()

    def status_of(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext) -> DataKeyStatus | None:
        """See `MaterialsManager`."""
        self._check_process()
        for key in keys:
            name = name_of(key, context)
            found = self._find(key, name, context)
            if found is not None:
                found.plaintext.wipe()
                with self._lock:
                    entry = self._opened.get(name)
                is_fresh = found.age < self._limits.fresh_for_seconds
                return DataKeyStatus(found.age, is_fresh, entry is not None and entry.served_offline)
        return None

    def forget(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext) -> None:
        """See `MaterialsManager`."""
        self._forget(keys, context, "forgotten")

    def _forget(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext, reason: str) -> None:
        self._check_process()
        dropped = []
        for key in keys:
            with self._lock:
                entry = self._opened.pop(name_of(key, context), None)
            if entry is not None:
                entry.plaintext.wipe()
                dropped.append(entry)
            self._disk.remove(key, context)
        self._tell_evicted(reason, dropped)

    def _reused(self, context: EncryptionContext, about: ObjectName | None) -> DataKey | None:
        """Return a copy of the context's current data key, if it may seal one object more."""
        with self._lock:
            shared = self._sealing.get(context.canonical)
            if shared is None:
                return None
            age = self._ports.clock() - shared.made_at
            if not 0 <= age < self._limits.max_age_seconds or shared.object_count >= self._limits.max_objects:
                return None
            shared.object_count += 1
            copy = DataKey(shared.data_key.plaintext.copy(), shared.data_key.encrypted)
        if self._audit is not None:
            arns = arns_of(self._keyring, [key.hint for key in copy.encrypted])
            told = replace(key_use("reuse", "cache", context, about, age), key_arns=arns)
            tell_one(self._audit, copy.plaintext, told)
        return copy

    def _new_data_key(self, context: EncryptionContext, about: ObjectName | None) -> DataKey:
        self._resolve_aliases()
        with self._watching():
            made = self._keyring.generate_data_key(context)
        tell_made(self._audit, made, context, about)
        return made

    def _resolve_aliases(self) -> None:
        try:
            if not self._disk.resolve_aliases():
                self._circuit.failed()
        except KeyServiceUnavailableError:
            self._circuit.failed()
            raise

    def _ask(self, wanted: Wanted, attempt: Callable[[SecretBytes], Result], stale: Sequence[Candidate]) -> Result:
        """Ask the key service; if it cannot be reached, the stale keys serve."""
        keys, context = wanted.keys, wanted.context
        if stale and self._circuit.is_open():
            served = self._serve_offline(stale, wanted, attempt)
            if served is not None:
                return served[0]
        try:
            with self._watching():
                return try_data_keys(self._keyring, keys, context, attempt, keep=self._keeper(wanted))[0]
        except KeyServiceUnavailableError:
            served = self._serve_offline(stale, wanted, attempt)
            if served is None:
                raise
            return served[0]
        except KeyAccessError as error:
            # INVARIANT: a key service that says no is not overruled by what it said before.
            try:
                self._forget(keys, context, "refused")
            except AuditError as lost:
                add_lost_record(error, lost)
            raise

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Take note of whether the key service can be reached."""
        try:
            yield
        except KeyServiceUnavailableError:
            self._circuit.failed()
            raise
        except KeyAccessError:
            self._circuit.succeeded()
            raise
        else:
            self._circuit.succeeded()
        finally:
            self._disk.follow_aliases()

    def _serve(
        self, candidate: Candidate, attempt: Callable[[SecretBytes], Result], wanted: Wanted, source: Source
    ) -> tuple[Result] | None:
        with candidate.plaintext:
            try:
                result = attempt(candidate.plaintext)
            except HeaderAuthenticationError:
                # The entry may open another object: the rest of this object's keys decides.
                return None
        _LOGGER.debug("a data key of the cache was used (%s), %.0f seconds old", source, candidate.age)
        try:
            if self._audit is not None:
                hints = [key.hint for key in wanted.keys if name_of(key, wanted.context) == candidate.name]
                told = key_use("decrypt", source, wanted.context, wanted.about, candidate.age)
                self._audit.record(replace(told, key_arns=arns_of(self._keyring, hints)))
        except BaseException:
            wipe_all(result)
            raise
        return (result,)

    def _serve_remembered(
        self, names: Sequence[Name], wanted: Wanted, attempt: Callable[[SecretBytes], Result]
    ) -> tuple[Result] | None:
        for name in names:
            found = self._remembered(name)
            if found is None:
                continue
            if found.age >= self._limits.fresh_for_seconds:
                found.plaintext.wipe()
                continue
            served = self._serve(found, attempt, wanted, "cache")
            if served is not None:
                return served
        return None

    def _serve_offline(
        self, stale: Sequence[Candidate], wanted: Wanted, attempt: Callable[[SecretBytes], Result]
    ) -> tuple[Result] | None:
        for candidate in stale:
            if candidate.age >= self._limits.offline_for_seconds:
                continue
            served = self._serve(candidate, attempt, wanted, "offline")
            if served is None:
                continue
            with self._lock:
                entry = self._opened.get(candidate.name)
                if entry is not None:
                    entry.served_offline = True
            _LOGGER.warning(
                "the key service cannot be reached; an object was read offline, with a data key that it gave out "
                "%.0f seconds ago",
                candidate.age,
            )
            return served
        return None

    def _find(self, key: EncryptedDataKey, name: Name, context: EncryptionContext) -> Candidate | None:
        """Return a copy of a known key; of two, the one that was verified last."""
        found = self._remembered(name)
        if found is not None and found.age < self._limits.fresh_for_seconds:
            return found
        stored = self._disk.read(key, context)
        if stored is None:
            return found
        now = self._now()
        age = stored.verified.age(now)
        with stored.secret:
            is_older = found is not None and found.verified.wall >= stored.verified.wall
            if age is None or age >= self._keep_seconds or is_older:
                return found
            if found is not None:
                found.plaintext.wipe()
            # The monotonic clock may have begun anew since; here it counts from the age that was found.
            verified = Moment(stored.verified.wall, now.monotonic - age)
            with self._lock:
                dropped = _store(self._opened, name, Opened(stored.secret.copy(), context, verified))
            self._tell_evicted("full", dropped)
            return Candidate(name, stored.secret.copy(), verified, age)

    def _remembered(self, name: Name) -> Candidate | None:
        with self._lock:
            entry = self._opened.get(name)
            if entry is None:
                return None
            now = self._now()
            by_monotonic = now.monotonic - entry.verified.monotonic
            # A clock of the day that was set back is no reason to forget: the other one goes on.
            age = max(by_monotonic, now.wall - entry.verified.wall)
            if by_monotonic >= 0 and age < self._keep_seconds:
                self._opened.move_to_end(name)
                return Candidate(name, entry.plaintext.copy(), entry.verified, age)
            del self._opened[name]
            entry.plaintext.wipe()
        self._tell_evicted("expired", [entry])
        return None

    def _keeper(self, wanted: Wanted) -> Callable[[EncryptedDataKey, SecretBytes], None]:
        context = wanted.context

        def keep(key: EncryptedDataKey, plaintext: SecretBytes) -> None:
            # Told first: a key whose opening was not written down is not kept either.
            if self._audit is not None:
                self._audit.record(opened_with(key, context, wanted.about))
            if self._keep_seconds > 0:
                entry = Opened(plaintext.copy(), context, self._now())
                with self._lock:
                    dropped = _store(self._opened, name_of(key, context), entry)
                self._disk.write(key, context, plaintext)
                self._tell_evicted("full", dropped)

        return keep

    def _tell_evicted(self, reason: str, dropped: Sequence[Opened | Sealing]) -> None:
        """Tell of entries that are gone. Not with the lock held: a sink may take its time."""
        if self._audit is not None:
            for entry in dropped:
                self._audit.record(Occurrence(operation="evict", context=entry.context, details=(("reason", reason),)))

    def _check_process(self) -> None:
        if self._ports.process_id() != self._owner:
            self._reset()


def _store(entries: OrderedDict[_Key, _Entry], name: _Key, entry: _Entry) -> list[_Entry]:
    """Store an entry; return those that had to go."""
    entries[name] = entry
    entries.move_to_end(name)
    return [entries.popitem(last=False)[1] for _ in range(len(entries) - _MOST_ENTRIES)]
