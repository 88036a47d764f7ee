"""One request to the key service for all who want the same at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from s3envelope.errors import KeyServiceUnavailableError


class _Flight:
    """One request to the key service, and those who wait for it."""

    __slots__ = ("failure", "lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.failure: KeyServiceUnavailableError | None = None


class KeyedLocks:
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
