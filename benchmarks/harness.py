"""Starts servers and subjects, and lets the subjects take turns: A B C, A B C, and so on.

Each subject has a process of its own for all rounds of one transport, whose CPU time is the client's alone. What a
case needs in memory, and how many requests it takes with nothing cached, is measured once more in a new process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from benchmarks.clients import BUCKET, PLAIN, Place, make_client
from benchmarks.floor import seal_all
from benchmarks.memsink import COUNTS_PATH
from benchmarks.subjects import supports
from benchmarks.surroundings import child_environment, memory_sink
from benchmarks.work import GIB, KEPT_SIZE, MIB, Case, Group, Plan, cases_of
from benchmarks.worker import Assignment, object_key, source_file
from s3envelope.testing.local_kms import LocalKms

if TYPE_CHECKING:
    from typing_extensions import Self

_FLOOR_SIZE = 16 * MIB
_RANDOM_SIZE = 64 * MIB


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of one measurement: by the clock, and of the client on all cores."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Weight:
    """What one measurement takes in a new process, with nothing cached.

    Args:
        idle, peak: Bytes of memory, before it and at most.
        writes, reads: HTTP requests to S3, in the two classes that have prices.
        kms_calls: To KMS.
    """

    idle: int
    peak: int
    writes: int
    reads: int
    kms_calls: int


@dataclass(slots=True)
class Cell:
    """What was measured of one subject in one case; `requests` and `kms_calls` are those of the last round."""

    samples: list[Sample] = field(default_factory=list)
    requests: int = 0
    kms_calls: int = 0
    weight: Weight | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One case over one transport, by subject; a subject that cannot do it is not there."""

    case: Case
    transport: str
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that one transport gave; the AES floor in CPU seconds per GiB, a sample per round and group."""

    rows: list[Row]
    floors: list[float]


@dataclass(frozen=True, slots=True)
class _Answer:
    wall: float
    cpu: float
    idle: int
    peak: int
    kms_calls: int
    writes: int
    reads: int


class WorkerFailedError(Exception):
    """The process of a subject ended before it answered."""


class Child:
    """The process of one subject."""

    def __init__(self, assignment: Assignment) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", assignment.to_json()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(), text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def measure(self, case: Case, *, verify: bool) -> dict[str, float]:
        """Let the subject do a case.

        Raises:
            WorkerFailedError: It did not.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"case": dataclasses.asdict(case), "verify": verify}
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailedError(f"{case.name}: the process ended, with what it said above")
        answer: dict[str, float] = json.loads(line)
        return answer


class Run:
    """One transport's servers, and a process for each subject.

    Args:
        kinds: Of `subjects.SUBJECTS`.
        kms_seconds: Added to every answer of KMS, unless a case says otherwise.
        report: Told what is measured now.
    """

    def __init__(
        self,
        kms: LocalKms,
        place: Place,
        folder: Path,
        kinds: Sequence[str],
        *,
        kms_seconds: float,
        report: Callable[[str], None],
    ) -> None:
        self._kms = kms
        self._place = place
        self._folder = folder
        self._kms_seconds = kms_seconds
        self._report = report
        self._assignments = {kind: Assignment(kind, place, folder) for kind in kinds}
        self._plaintext = os.urandom(_FLOOR_SIZE)
        self._context = ssl.create_default_context(cafile=place.ca_file) if place.ca_file else None
        self._children: dict[str, Child] = {}
        self.floors: list[float] = []

    @contextlib.contextmanager
    def started(self) -> Iterator[Self]:
        """Have the processes of the subjects."""
        with contextlib.ExitStack() as stack:
            for kind, assignment in self._assignments.items():
                self._children[kind] = stack.enter_context(Child(assignment))
            yield self

    def group(self, group: Group, rounds: int, transport: str) -> list[Row]:
        """Measure the cases of a group; a round more, before the first, is not counted."""
        rows = [Row(case, transport, {}) for case in group.cases]
        for kind in self._assignments:
            for row in rows:
                if supports(kind, row.case.call, row.case.size):
                    row.cells[kind] = Cell()
        for number in range(rounds + 1):
            self._report(f"{transport}, {group.cases[0].name}, round {number} of {rounds}")
            for kind in self._assignments:
                self._turn(kind, rows, is_first=number == 0)
            self.floors.append(self._floor())
        return [row for row in rows if not row.case.prepares]

    def _turn(self, kind: str, rows: Sequence[Row], *, is_first: bool) -> None:
        """Let one subject do all cases of a group once."""
        own = [row for row in rows if kind in row.cells and (is_first or not row.case.prepares)]
        for row in own:
            cell = row.cells[kind]
            answer = self._measured(self._children[kind], row.case, verify=is_first)
            cell.requests = answer.writes + answer.reads
            cell.kms_calls = answer.kms_calls
            if not is_first:
                cell.samples.append(Sample(answer.wall, answer.cpu))
            elif row.case.weighed:
                with Child(self._assignments[kind]) as child:
                    weighed = self._measured(child, row.case, verify=False)
                cell.weight = Weight(weighed.idle, weighed.peak, weighed.writes, weighed.reads, weighed.kms_calls)
        if own and own[0].case.size > KEPT_SIZE:
            self._delete(kind, own[0].case)

    def _measured(self, child: Child, case: Case, *, verify: bool) -> _Answer:
        self._kms.faults.clear()
        seconds = case.kms_seconds or self._kms_seconds
        if seconds:
            self._kms.faults.latency(seconds)
        self._kms.clear_calls()
        self._take_counts()
        found = child.measure(case, verify=verify)
        return _Answer(
            found["wall"],
            found["cpu"],
            int(found["idle"]),
            int(found["peak"]),
            self._kms.count(),
            **self._take_counts(),
        )

    def _take_counts(self) -> dict[str, int]:
        with urllib.request.urlopen(self._place.s3_url + COUNTS_PATH, context=self._context) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts

    def _delete(self, kind: str, case: Case) -> None:
        client = make_client(PLAIN, self._place)
        client.delete_object(Bucket=BUCKET, Key=object_key(kind, case, 0))
        client.close()
        for target in self._folder.glob("target-*"):
            target.unlink()

    def _floor(self) -> float:
        started = time.process_time()
        seal_all(self._plaintext)
        return (time.process_time() - started) * GIB / _FLOOR_SIZE


def measure(
    plan: Plan, kinds: Sequence[str], transport: str, *, kms_seconds: float, folder: Path, report: Callable[[str], None]
) -> Measured:
    """Run a plan over one transport, http or https.

    Raises:
        WorkerFailedError: A subject failed.
    """
    make_sources(plan, folder)
    with LocalKms() as kms, memory_sink(folder, https=transport == "https") as (url, ca_file):
        place = Place(url, kms.endpoint_url, kms.create_key(), ca_file)
        run = Run(kms, place, folder, kinds, kms_seconds=kms_seconds, report=report)
        with run.started():
            rows = [row for group in plan.groups for row in run.group(group, plan.rounds, transport)]
        return Measured(rows, run.floors)


def make_sources(plan: Plan, folder: Path) -> None:
    """Make the files that are uploaded and compared with; very large ones are sparse, and cost no memory."""
    block = os.urandom(min(_RANDOM_SIZE, max(case.size for case in cases_of(plan))))
    for size in {case.size for case in cases_of(plan)}:
        with source_file(folder, size).open("wb") as file:
            for start in range(0, size if size <= GIB else 0, len(block)):
                file.write(block[: size - start])
            file.truncate(size)
