"""Which keys hold which objects: counted while the objects are looked at, and drawn."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from s3envelope.cli.dependencies import KeyNames, SeenObject

NO_KEY, UNKNOWN = "no envelope", "not understood"
_MOST_GROUPS = 12
_OTHERS = "(other folders)"
_ROW, _TOP, _LEFT, _RIGHT, _WIDTH = 44, 24, 300, 660, 960
_THINNEST, _THICKEST = 1.5, 14.0


@dataclass(slots=True)
class Dependencies:
    """What was seen of the objects under a prefix.

    Args:
        keys: How many objects have a data key under the key of each hint.
        only: How many have no other data key.
        links: The same as `keys` for each folder: pairs of hint and folder.
        folders: How many objects are in each folder.
        combinations: How many objects have exactly these hints.
    """

    objects: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    only: Counter[str] = field(default_factory=Counter)
    links: Counter[tuple[str, str]] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    combinations: Counter[tuple[str, ...]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Dependencies:
        """Return what was seen until now; it does not change any more."""
        with self.lock:
            counts = (self.keys, self.only, self.links, self.folders, self.combinations)
            return Dependencies(self.objects, *(count.copy() for count in counts))  # type: ignore[arg-type]

    def add_all(self, seen: Iterable[SeenObject], prefix: str, stops: Callable[[], bool]) -> None:
        """Count objects until there are no more, or `stops`."""
        for one in seen:
            if stops():
                return
            self._add(one, prefix)

    def _add(self, seen: SeenObject, prefix: str) -> None:
        hints = seen.hints or [NO_KEY if seen.is_understood else UNKNOWN]
        folder = _folder(seen.location.key, prefix)
        with self.lock:
            self.objects += 1
            self.keys.update(hints)
            self.links.update((hint, folder) for hint in hints)
            self.folders[folder] += 1
            self.combinations[tuple(seen.hints)] += 1
            if len(seen.hints) == 1:
                self.only.update(seen.hints)

    def progress(self, target: str) -> tuple[int, int]:
        """Return how many objects have data keys under one key only, and how many have an envelope at all."""
        enveloped = sum(count for hints, count in self.combinations.items() if hints)
        return self.combinations[(target,)], enveloped


def _folder(key: str, prefix: str) -> str:
    base = prefix[: prefix.rfind("/") + 1]
    name, slash, _ = key[len(base) :].partition("/")
    return base + name + slash if slash else base or "/"


@dataclass(frozen=True, slots=True)
class Box:
    """A key or a folder in the picture."""

    label: str
    note: str
    kind: str
    y: int


@dataclass(frozen=True, slots=True)
class Line:
    """That objects of a folder have data keys under a key."""

    path: str
    width: float
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Keys at the left, folders at the right, and lines between; in pixels."""

    width: int
    height: int
    left: int
    right: int
    keys: list[Box]
    folders: list[Box]
    lines: list[Line]


def key_label(hint: str, names: KeyNames) -> str:
    """Return the names of a key; its hint where it has none here."""
    known = names.get(hint)
    if known:
        return ", ".join(name.key for name in known)
    return hint if hint in (NO_KEY, UNKNOWN) else f"hint {hint}"


def picture(found: Dependencies, names: KeyNames) -> Picture:
    """Return the picture of what was counted; folders beyond the largest are drawn as one."""
    shown = [folder for folder, _ in found.folders.most_common(_MOST_GROUPS)]
    sizes = {folder: found.folders[folder] for folder in sorted(shown)}
    if len(found.folders) > len(shown):
        sizes[_OTHERS] = found.objects - sum(sizes.values())
    merged: Counter[tuple[str, str]] = Counter()
    for (hint, folder), count in found.links.items():
        merged[hint, folder if folder in shown else _OTHERS] += count
    folders = list(sizes)
    hints = [hint for hint, _ in found.keys.most_common()]
    height = 2 * _TOP + _ROW * max(len(hints), len(folders), 1)
    key_y, folder_y = _spread(len(hints), height), _spread(len(folders), height)
    most = max(merged.values(), default=1)
    return Picture(
        width=_WIDTH,
        height=height,
        left=_LEFT,
        right=_RIGHT,
        keys=[
            Box(key_label(hint, names), f"{found.keys[hint]:,}", _kind(hint), y)
            for hint, y in zip(hints, key_y, strict=True)
        ],
        folders=[
            Box(folder, f"{count:,}", "folder", y) for (folder, count), y in zip(sizes.items(), folder_y, strict=True)
        ],
        lines=[
            Line(
                _curve(key_y[hints.index(hint)], folder_y[folders.index(folder)]),
                _thickness(count, most),
                f"{key_label(hint, names)}: {count:,} objects in {folder}",
                _kind(hint),
            )
            for (hint, folder), count in sorted(merged.items())
        ],
    )


def _kind(hint: str) -> str:
    return {NO_KEY: "plain", UNKNOWN: "unknown"}.get(hint, "key")


def _spread(count: int, height: int) -> list[int]:
    """Return the middles of evenly spread rows."""
    step = (height - 2 * _TOP) / max(count, 1)
    return [round(_TOP + step * (number + 0.5)) for number in range(count)]


def _thickness(count: int, most: int) -> float:
    """Return a width in pixels that grows with the logarithm, so that few objects are seen beside very many."""
    share = math.log1p(count) / math.log1p(most)
    return round(_THINNEST + share * (_THICKEST - _THINNEST), 1)


def _curve(start: int, end: int) -> str:
    middle = (_LEFT + _RIGHT) // 2
    return f"M{_LEFT},{start} C{middle},{start} {middle},{end} {_RIGHT},{end}"
