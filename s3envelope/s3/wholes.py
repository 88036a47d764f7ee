"""Verified wholes of one client: an object that is read in ranges is fetched, opened and verified once.

Only ranges share a whole. It is given back when all of it was handed out and nobody reads any more, when others take
its place, or when it was idle for a minute and the client reads something else.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, cast

from s3envelope.core.ports import Clock, ProcessId
from s3envelope.engine.wholes import Place, WholeReader
from s3envelope.errors import S3EnvelopeError

_MOST_WHOLES = 4
_MOST_NAMES = 1024
_IDLE_SECONDS = 60.0


class Whole(Protocol):
    """What was verified, and what it was verified from."""

    @property
    def place(self) -> Place:
        """The plaintext."""
        ...


AnyWhole = TypeVar("AnyWhole", bound=Whole)


@dataclass(slots=True, eq=False)
class _Entry:
    whole: Whole
    users: int = 0
    served_size: int = 0
    idle_since: float = 0.0


@dataclass(slots=True, eq=False)
class _Shelf:
    """The state of one process: a forked child starts with an empty one, for its parent's threads are not there."""

    process_id: int
    # Reentrant: collecting garbage may close a forgotten stream in the middle of this.
    lock: threading.RLock = field(default_factory=threading.RLock)
    entries: OrderedDict[Hashable, _Entry] = field(default_factory=OrderedDict)
    flights: dict[Hashable, Future[S3EnvelopeError | None]] = field(default_factory=dict)
    names: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)


class Wholes:
    """Verified wholes by the version of the object, for all threads of a client.

    Args:
        process_id: Tells whether this is a forked child.
        memory_size: How many bytes of plaintext may stay in memory while nobody reads them.
    """

    def __init__(self, clock: Clock, process_id: ProcessId, memory_size: int) -> None:
        self._clock = clock
        self._process_id = process_id
        self._memory_size = memory_size
        self._state = _Shelf(process_id())

    def expect(self, bucket: str, key: str) -> None:
        """Take note that an object is of a format that is read whole."""
        shelf = self._shelf()
        with shelf.lock:
            shelf.names[bucket, key] = None
            shelf.names.move_to_end((bucket, key))
            if len(shelf.names) > _MOST_NAMES:
                shelf.names.popitem(last=False)

    def expect_other(self, bucket: str, key: str) -> None:
        """Take note that an object is of another format now."""
        shelf = self._shelf()
        with shelf.lock:
            shelf.names.pop((bucket, key), None)

    def is_expected(self, bucket: str, key: str) -> bool:
        """Tell whether the object was of such a format when it was seen last; it may be another one by now."""
        shelf = self._shelf()
        with shelf.lock:
            return (bucket, key) in shelf.names

    def lease(self, name: Hashable, load: Callable[[], AnyWhole]) -> Lease[AnyWhole]:
        """Return the use of a whole: the one that is at hand, or what `load` gives, called by one thread only.

        Raises:
            S3EnvelopeError: What `load` raised, here or in the thread that was first: the object is what it is.
        """
        shelf = self._shelf()
        while True:
            with shelf.lock:
                self._drop_idle(shelf)
                entry = shelf.entries.get(name)
                if entry is not None:
                    entry.users += 1
                    shelf.entries.move_to_end(name)
                    return Lease(self, shelf, name, entry)
                flight = shelf.flights.get(name)
                if flight is None:
                    mine = shelf.flights[name] = Future()
                    break
            failure = flight.result()
            if failure is not None:
                raise _again(failure)
            # Whoever was first has it now, or failed for a reason of its own, such as a broken connection.
        return self._load(shelf, name, load, mine)

    def _load(
        self, shelf: _Shelf, name: Hashable, load: Callable[[], AnyWhole], flight: Future[S3EnvelopeError | None]
    ) -> Lease[AnyWhole]:
        failure: S3EnvelopeError | None = None
        try:
            entry = _Entry(load(), users=1)
            with shelf.lock:
                shelf.entries[name] = entry
                self._drop_idle(shelf)
            return Lease(self, shelf, name, entry)
        except S3EnvelopeError as error:
            failure = _again(error)
            raise
        finally:
            with shelf.lock:
                del shelf.flights[name]
            flight.set_result(failure)

    def _give_back(self, shelf: _Shelf, name: Hashable, entry: _Entry, served_size: int) -> None:
        with shelf.lock:
            entry.users -= 1
            entry.served_size += served_size
            entry.idle_since = self._clock()
            if not entry.users and entry.served_size >= entry.whole.place.size:
                # A transfer has all of it: what would be kept now is hardly asked for again.
                shelf.entries.pop(name, None)
                entry.whole.place.close()
            self._drop_idle(shelf)

    def _drop_idle(self, shelf: _Shelf) -> None:
        now = self._clock()
        idle = [(name, entry) for name, entry in shelf.entries.items() if not entry.users]
        held_size = sum(entry.whole.place.memory_size for _, entry in idle)
        for name, entry in idle:
            is_old = now - entry.idle_since > _IDLE_SECONDS
            if is_old or len(shelf.entries) > _MOST_WHOLES or held_size > self._memory_size:
                held_size -= entry.whole.place.memory_size
                shelf.entries.pop(name, None)
                entry.whole.place.close()

    def _shelf(self) -> _Shelf:
        process_id = self._process_id()
        if self._state.process_id != process_id:
            self._state = _Shelf(process_id)
        return self._state


class Lease(Generic[AnyWhole]):
    """The use of a whole: it stays as long as there is one. End it by `end`, or by reading or closing what it gives."""

    def __init__(self, wholes: Wholes, shelf: _Shelf, name: Hashable, entry: _Entry) -> None:
        self._wholes = wholes
        self._shelf = shelf
        self._name = name
        self._entry = entry
        self._is_over = False

    @property
    def whole(self) -> AnyWhole:
        """What is leased."""
        return cast(AnyWhole, self._entry.whole)

    def reader(self, start: int, end: int) -> WholeReader:
        """Return a stream of a range of it, half-open; the lease ends with that."""
        return WholeReader(self._entry.whole.place, start, end, self.end)

    def end(self, served_size: int = 0) -> None:
        """Give it back; harmless when repeated."""
        if not self._is_over:
            self._is_over = True
            self._wholes._give_back(self._shelf, self._name, self._entry, served_size)


def _again(error: S3EnvelopeError) -> S3EnvelopeError:
    """Return the error for another thread: each has a traceback of its own."""
    return copy.copy(error)
