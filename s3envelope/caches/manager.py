"""A materials manager with data keys in memory, in front of a keyring.

It belongs to one keyring object: what one principal may open is never lent to another.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from s3envelope.caches.limits import CacheLimits
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey, Keyring, Result, SystemPorts
from s3envelope.core.secret import SecretBytes
from s3envelope.core.trial import try_data_keys
from s3envelope.errors import HeaderAuthenticationError, KeyServiceUnavailableError

_MOST_ENTRIES = 1024
_Name = tuple[bytes, bytes]
_Key = TypeVar("_Key")
_Entry = TypeVar("_Entry")


@dataclass(slots=True, repr=False)
class _Sealing:
    data_key: DataKey
    made_at: float
    object_count: int = 0


@dataclass(slots=True, repr=False)
class _Opened:
    plaintext: SecretBytes
    stored_at: float


class CachingMaterialsManager:
    """Share data keys between objects of one encryption context, within limits; remember opened ones for a while.

    Concurrent misses for one object's keys make one request. A forked child starts empty.

    Args:
        keyring: Asked on a miss.
        limits: See `CacheLimits`.
        ports: Clock and process of this machine.
    """

    def __init__(self, keyring: Keyring, limits: CacheLimits, ports: SystemPorts) -> None:
        self._keyring = keyring
        self._limits = limits
        self._ports = ports
        self._reset()

    def _reset(self) -> None:
        self._owner = self._ports.process_id()
        self._lock = threading.Lock()
        self._sealing: OrderedDict[bytes, _Sealing] = OrderedDict()
        self._opened: OrderedDict[_Name, _Opened] = OrderedDict()
        self._flights = _KeyedLocks()

    def data_key_for_sealing(self, context: EncryptionContext) -> DataKey:
        """Return a copy of the context's current data key, or of a new one."""
        self._check_process()
        # Only callers with the same context wait while the key service is asked.
        with self._flights.holding(("seal", context.canonical)):
            with self._lock:
                shared = self._sealing.get(context.canonical)
            if shared is None or not self._may_seal(shared):
                shared = _Sealing(self._keyring.generate_data_key(context), self._ports.clock())
                with self._lock:
                    _store(self._sealing, context.canonical, shared)
            shared.object_count += 1
            return DataKey(shared.data_key.plaintext.copy(), shared.data_key.encrypted)

    def open_with_data_key(
        self,
        keys: Sequence[EncryptedDataKey],
        context: EncryptionContext,
        attempt: Callable[[SecretBytes], Result],
    ) -> Result:
        """See `MaterialsManager`."""
        self._check_process()
        names = [_name(key, context) for key in keys]
        with self._flights.holding(("open", *names)):
            for name in names:
                known = self._known(name)
                if known is None:
                    continue
                with known:
                    try:
                        return attempt(known)
                    except HeaderAuthenticationError:
                        # The entry may open another object: the rest of this object's keys decides.
                        continue
            return try_data_keys(self._keyring, keys, context, attempt, keep=self._keeper(context))[0]

    def _may_seal(self, shared: _Sealing) -> bool:
        age = self._ports.clock() - shared.made_at
        return 0 <= age < self._limits.max_age_seconds and shared.object_count < self._limits.max_objects

    def _known(self, name: _Name) -> SecretBytes | None:
        with self._lock:
            entry = self._opened.get(name)
            if entry is None:
                return None
            if not 0 <= self._ports.clock() - entry.stored_at < self._limits.fresh_for_seconds:
                del self._opened[name]
                return None
            self._opened.move_to_end(name)
            return entry.plaintext.copy()

    def _keeper(self, context: EncryptionContext) -> Callable[[EncryptedDataKey, SecretBytes], None]:
        def keep(key: EncryptedDataKey, plaintext: SecretBytes) -> None:
            if self._limits.fresh_for_seconds > 0:
                with self._lock:
                    _store(self._opened, _name(key, context), _Opened(plaintext.copy(), self._ports.clock()))

        return keep

    def _check_process(self) -> None:
        if self._ports.process_id() != self._owner:
            self._reset()


class _Flight:
    """One request to the key service, and those who wait for it."""

    __slots__ = ("failure", "lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.failure: KeyServiceUnavailableError | None = None


class _KeyedLocks:
    """Locks by name, each existing while somebody wants it: the others wait for the first."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._flights: dict[object, _Flight] = {}

    @contextmanager
    def holding(self, name: object) -> Iterator[None]:
        """Hold the lock of `name` in this block.

        When the key service fails for one, it has failed for all who waited meanwhile: they would else time out one
        after another.
        """
        with self._guard:
            flight = self._flights.setdefault(name, _Flight())
            flight.users += 1
        try:
            with flight.lock:
                if flight.failure is not None:
                    raise flight.failure
                yield
        except KeyServiceUnavailableError as error:
            flight.failure = error
            raise
        finally:
            with self._guard:
                flight.users -= 1
                # Whoever comes after a failure begins a new flight.
                if (not flight.users or flight.failure is not None) and self._flights.get(name) is flight:
                    del self._flights[name]


def _name(key: EncryptedDataKey, context: EncryptionContext) -> _Name:
    return hashlib.sha256(key.hint + key.ciphertext).digest(), context.canonical


def _store(entries: OrderedDict[_Key, _Entry], name: _Key, entry: _Entry) -> None:
    entries[name] = entry
    entries.move_to_end(name)
    while len(entries) > _MOST_ENTRIES:
        entries.popitem(last=False)
