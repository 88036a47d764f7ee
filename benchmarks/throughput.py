"""The speed of s3envelope beside plain boto3, against a memory sink that costs next to nothing itself.

    python -m benchmarks.throughput [--quick] [--https] [--rounds 7] [--only TEXT] [--json FILE]

Both clients take turns in every round, so that what else the machine does hits both. One round more, before the first,
is not counted. The figures are medians with quartiles; the ratio is the median of the ratios of single rounds.

The AES floor is what encryption alone costs on this machine, measured between the rounds: AES-256-GCM over segments of
64 KiB into one buffer. The last column says how many times that s3envelope adds to the CPU time of the client. Over
http boto3 reads a body three times, for a checksum, to sign it and to send it, and it is sealed anew each time; over
https it reads it once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cases import FULL, QUICK, Case, Workload
from benchmarks.clients import KINDS, OURS, PLAIN, Place, make_client
from benchmarks.floor import seal_all
from benchmarks.machine import describe_machine
from benchmarks.surroundings import isolate, memory_sink, working_folder
from s3envelope.testing.local_kms import LocalKms

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of one measurement, by the clock and of this process on all cores."""

    wall: float
    cpu: float


@dataclass(slots=True)
class Row:
    """The samples of one case over one transport, by kind of client."""

    case: Case
    transport: str
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def figures(self, kind: str) -> tuple[float, float, float]:
        """Return median and quartiles: MB/s, or milliseconds per call."""
        moved = self.case.size * self.case.count
        if self.case.shows_rate:
            return _spread([moved / 1e6 / sample.wall for sample in self.samples[kind]])
        return _spread([sample.wall / self.case.count * 1000 for sample in self.samples[kind]])

    def cpu_per_gib(self, kind: str) -> float:
        """Return the median CPU seconds per GiB of plaintext."""
        moved = self.case.size * self.case.count
        return statistics.median(sample.cpu for sample in self.samples[kind]) * _GIB / moved

    def ratio(self) -> float:
        """Return how many times as long s3envelope takes."""
        pairs = zip(self.samples[PLAIN], self.samples[OURS], strict=True)
        return statistics.median(ours.wall / plain.wall for plain, ours in pairs)


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured over one transport; the AES floor in CPU seconds per GiB."""

    rows: list[Row]
    floor: float


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def _measure(work: Callable[[], object]) -> Sample:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Sample(time.perf_counter() - wall, time.process_time() - cpu)


def _repeat(case: Case, client: S3Client, owner: str) -> None:
    for number in range(case.count):
        case.run(client, owner, number)


def _run_rounds(rows: Sequence[Row], clients: dict[str, S3Client], plaintext: bytes, round_count: int) -> list[Sample]:
    """Fill the rows; return samples of the AES floor over the plaintext."""
    floor: list[Sample] = []
    for _ in range(round_count):
        for row in rows:
            for kind in KINDS:
                row.samples[kind].append(_measure(partial(_repeat, row.case, clients[kind], kind)))
        floor.append(_measure(partial(seal_all, plaintext)))
    return floor


def measure(workload: Workload, folder: Path, options: argparse.Namespace, *, https: bool) -> Result:
    """Measure every case over one transport."""
    with LocalKms() as kms, memory_sink(folder, https=https) as (url, ca_file):
        place = Place(url, kms.endpoint_url, kms.create_key(), ca_file)
        clients = {kind: make_client(kind, place) for kind in KINDS}
        rows = [Row(case, "https" if https else "http") for case in workload.cases()]
        # Not counted: it makes the objects, opens the connections, and touches the memory of the sink.
        _run_rounds([dataclasses.replace(row, samples={kind: [] for kind in KINDS}) for row in rows], clients, b"", 1)
        for kind, client in clients.items():
            workload.check(client, kind)
        chosen = [row for row in rows if options.only in row.case.name]
        floor = _run_rounds(chosen, clients, workload.plaintext, options.rounds)
        for client in clients.values():
            client.close()
        return Result(chosen, statistics.median(sample.cpu for sample in floor) * _GIB / len(workload.plaintext))


def table(results: Sequence[Result]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| call | | boto3 | s3envelope | time ratio | CPU s/GiB, boto3 | s3envelope | added, in AES floors |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        for row in result.rows:
            plain, ours = row.cpu_per_gib(PLAIN), row.cpu_per_gib(OURS)
            cells = [f"`{row.case.name}`", row.transport, _cell(row, PLAIN), _cell(row, OURS), f"{row.ratio():.2f}"]
            if row.case.shows_rate:
                cells += [f"{plain:.2f}", f"{ours:.2f}", f"{(ours - plain) / result.floor:.1f}"]
            else:
                cells += ["", "", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row, kind: str) -> str:
    middle, low, high = row.figures(kind)
    if row.case.shows_rate:
        return f"{middle:.0f} MB/s ({low:.0f}–{high:.0f})"
    return f"{middle:.2f} ms ({low:.2f}–{high:.2f})"


def _as_json(result: Result) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for row in result.rows:
        entry: dict[str, object] = {
            "call": row.case.name,
            "transport": row.transport,
            "size": row.case.size,
            "count": row.case.count,
            "ratio": row.ratio(),
            "aes_floor_cpu_per_gib": result.floor,
        }
        for kind in KINDS:
            entry[kind] = {
                "wall": [sample.wall for sample in row.samples[kind]],
                "cpu": [sample.cpu for sample in row.samples[kind]],
                "cpu_per_gib": row.cpu_per_gib(kind),
            }
        rows.append(entry)
    return rows


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description="Speed beside plain boto3.")
    parser.add_argument("--quick", action="store_true", help="small objects and 2 rounds: to see that it runs")
    parser.add_argument("--https", action="store_true", help="measure over https as well")
    parser.add_argument("--rounds", type=int, help="measurements of every call and client (default: 7)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only calls whose name contains TEXT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all samples to FILE")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 2 if options.quick else 7
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}; use at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    isolate(os.environ)
    scale = QUICK if options.quick else FULL
    machine = describe_machine()
    with working_folder(3 * scale.file) as folder:
        workload = Workload(scale, folder)
        transports = (False, True) if options.https else (False,)
        results = [measure(workload, folder, options, https=https) for https in transports]
    floors = " and ".join(f"{result.floor:.2f}" for result in results)
    print(f"{options.rounds} rounds on {machine.line()}. AES floor: {floors} CPU s/GiB.\n")
    print(table(results))
    if options.json is not None:
        rows = [row for result in results for row in _as_json(result)]
        figures = {"machine": dataclasses.asdict(machine), "rounds": options.rounds, "calls": rows}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
