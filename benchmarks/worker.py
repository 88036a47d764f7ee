"""One subject in a process of its own: reads orders as lines of JSON, carries them out, and answers with figures.

Started by `benchmarks.harness`. That the servers are other processes keeps their CPU time out of the figures.
"""

from __future__ import annotations

import filecmp
import json
import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clients import Place
from benchmarks.memory_child import peak_size
from benchmarks.subjects import Subject, make_subject
from benchmarks.work import RANGE_SIZE, Case


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is started with.

    Args:
        kind: Of `subjects.SUBJECTS`; it names the objects as well.
        folder: Where the source files are, and downloads go.
    """

    kind: str
    place: Place
    folder: Path

    def to_json(self) -> str:
        """Return it as an argument of a command."""
        place = {name: getattr(self.place, name) for name in ("s3_url", "kms_url", "kms_key_id", "ca_file")}
        return json.dumps({"kind": self.kind, "place": place, "folder": str(self.folder)})

    @classmethod
    def from_json(cls, text: str) -> Assignment:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(fields["kind"], Place(**fields["place"]), Path(fields["folder"]))


def source_file(folder: Path, size: int) -> Path:
    """Return where the plaintext of a size is."""
    return folder / f"source-{size}"


def object_key(kind: str, case: Case, number: int) -> str:
    """Return the key of the object that a call goes to."""
    return f"{kind.replace(' ', '-')}/{case.size}-{case.objects}/{number % case.objects}"


class Worker:
    """Makes the calls of cases with one subject."""

    def __init__(self, assignment: Assignment, subject: Subject) -> None:
        self._kind = assignment.kind
        self._folder = assignment.folder
        self._subject = subject
        self._plaintext = b""

    def prepare(self, case: Case) -> None:
        """Have the plaintext at hand where a call starts from memory."""
        wanted = case.size if case.call == "put" else 0
        if len(self._plaintext) != wanted:
            self._plaintext = source_file(self._folder, case.size).read_bytes() if wanted else b""

    def measure(self, case: Case) -> dict[str, float]:
        """Return seconds by the clock, and of this process and its children on all cores."""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        if case.threads == 1:
            for number in range(case.count):
                self._make(case, number)
        else:
            with ThreadPoolExecutor(case.threads) as pool:
                for _ in pool.map(partial(self._make, case), range(case.count)):
                    pass
        return {"wall": time.perf_counter() - wall, "cpu": _cpu_seconds() - cpu}

    def verify(self, case: Case) -> None:
        """Raise `AssertionError` unless an object is what was written."""
        key, source = object_key(self._kind, case, 0), source_file(self._folder, case.size)
        if case.call == "get":
            correct = self._subject.get(key) == source.read_bytes()
        elif case.call == "download":
            self._subject.download(key, self._target)
            correct = filecmp.cmp(self._target, source, shallow=False)
        elif case.call == "range":
            start = case.size // 3
            with source.open("rb") as file:
                file.seek(start)
                correct = self._subject.range(key, start, RANGE_SIZE) == file.read(RANGE_SIZE)
        else:
            return
        if not correct:
            raise AssertionError(f"{self._kind}: {case.name} gives other bytes than were written")

    @property
    def _target(self) -> Path:
        return self._folder / f"target-{self._kind.replace(' ', '-')}"

    def _make(self, case: Case, number: int) -> None:
        """Make one call, and check the size of what came back."""
        key = object_key(self._kind, case, number)
        found = case.size
        if case.call == "put":
            self._subject.put(key, self._plaintext)
        elif case.call == "get":
            found = len(self._subject.get(key))
        elif case.call == "upload":
            self._subject.upload(source_file(self._folder, case.size), key)
        elif case.call == "download":
            self._subject.download(key, self._target)
            found = self._target.stat().st_size
        elif case.call == "range":
            # Most ranges begin and end inside a segment. The sequence is the same for every subject.
            start = random.Random(number).randrange(case.size - RANGE_SIZE)
            found += len(self._subject.range(key, start, RANGE_SIZE)) - RANGE_SIZE
        else:
            self._subject.rewrap(key)
        if found != case.size:
            raise AssertionError(f"{self._kind}: {case.name} gave {found} bytes")


def _cpu_seconds() -> float:
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def _peak_size() -> int:
    """Return the most memory that this process, or a program that it ran, ever had, in bytes."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(peak_size(), children if sys.platform == "darwin" else children * 1024)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer orders until standard input ends."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    assignment = Assignment.from_json(text)
    subject = make_subject(assignment.kind, assignment.place)
    worker = Worker(assignment, subject)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        case = Case(**order["case"])
        worker.prepare(case)
        idle = _peak_size()
        figures = worker.measure(case)
        answer = {**figures, "idle": idle, "peak": _peak_size()}
        if order["verify"]:
            worker.verify(case)
        print(json.dumps(answer), flush=True)
    subject.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
