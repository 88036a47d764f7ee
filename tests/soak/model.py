"""What each key may hold: a write that failed may have happened or not, and the next read must show one of both."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.soak.contents import Content, State


@dataclass(slots=True, eq=False)
class Watch:
    """The states of a key that a reader may have met."""

    states: set[State] = field(default_factory=set)

    @property
    def contents(self) -> list[Content]:
        """Return those that are not nothing."""
        return [state for state in self.states if state is not None]

    @property
    def may_be_missing(self) -> bool:
        """Tell whether there may have been nothing."""
        return None in self.states


class KeyModel:
    """One key: who writes to it holds `writing`, who reads watches it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.writing = threading.Lock()
        self._lock = threading.Lock()
        self._possible: frozenset[State] = frozenset({None})
        self._watches: set[Watch] = set()

    @property
    def possible(self) -> frozenset[State]:
        """Return what the key may hold now."""
        with self._lock:
            return self._possible

    def certain(self) -> State:
        """Return what the key holds, if that is certain and something."""
        possible = self.possible
        return next(iter(possible)) if len(possible) == 1 else None

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Learn in this block what the key may have held."""
        watch = Watch()
        with self._lock:
            watch.states.update(self._possible)
            self._watches.add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)

    @contextmanager
    def becoming(self, *new: State, refused: Callable[[Exception], bool] = lambda _: False) -> Iterator[None]:
        """Write in this block, with `writing` held; the key then holds one of `new`.

        Args:
            new: What it may hold afterwards.
            refused: Tells of an error whether nothing was written for certain.
        """
        before = self.possible
        self._set(before | set(new))
        try:
            yield
        except Exception as error:
            if refused(error):
                self._set(before)
            raise
        self._set(frozenset(new))

    def _set(self, possible: frozenset[State]) -> None:
        with self._lock:
            self._possible = possible
            for watch in self._watches:
                watch.states |= possible


class Model:
    """All keys of a soak.

    Args:
        key_count: They lie in groups of 25, for listings.
    """

    def __init__(self, key_count: int) -> None:
        self.keys = [KeyModel(f"group-{index // 25:03d}/key {index}") for index in range(key_count)]

    @property
    def groups(self) -> list[str]:
        """Return the prefixes."""
        return sorted({group_of(key) for key in self.keys})

    @contextmanager
    def written(self, rng: random.Random, count: int = 1) -> Iterator[list[KeyModel]]:
        """Hold `writing` of some keys that nobody else writes to."""
        held: list[KeyModel] = []
        try:
            while len(held) < count:
                key = rng.choice(self.keys)
                # Without waiting, so in any order: nobody can wait in a circle.
                if key not in held and key.writing.acquire(blocking=False):
                    held.append(key)
            yield held
        finally:
            for key in held:
                key.writing.release()


def group_of(key: KeyModel) -> str:
    """Return the prefix of a key."""
    return key.name.partition("/")[0] + "/"
