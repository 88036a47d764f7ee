"""The figures as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import figures
from benchmarks.clients import OURS, PLAIN
from benchmarks.harness import Measured, Row
from benchmarks.work import MIB


def kinds_of(rows: Sequence[Row]) -> list[str]:
    """Return the subjects in the order in which they took turns."""
    return list(dict.fromkeys(kind for row in rows for kind in row.cells))


def tables(measured: Sequence[Measured]) -> str:
    """Return all tables of a run, each with a line that says how to read it."""
    rows = [row for each in measured for row in each.rows]
    floor = statistics.median(sample for each in measured for sample in each.floors)
    weighed = [row for row in rows if any(cell.weight for cell in row.cells.values())]
    prices = "1,000 PUT 0.005, 1,000 GET 0.0004, 10,000 calls of KMS 0.03"
    costs = (
        "Per call, when a new process with nothing cached makes all calls of a measurement: HTTP requests + calls of "
        f"KMS, and what a million of them cost in dollars. Prices of us-east-1 on {figures.PRICES_DATE}: {prices}."
    )
    # What differs between http and https is not the number of requests.
    asked = [row for row in weighed if row.transport == weighed[0].transport]
    parts = (
        ("Median (quartiles): MB/s, or ms per call.", rows, _speed),
        (
            "Speed beside plain boto3, median of the ratios of single rounds: above 1 is faster.",
            [row for row in rows if PLAIN in row.cells],
            _ratio,
        ),
        (f"CPU time of the client: s/GiB, or ms per call. The AES floor of this run is {floor:.3f} s/GiB.", rows, _cpu),
        (
            "Peak memory of a new process, MiB; in brackets what it has before the call.",
            [row for row in weighed if row.case.size >= MIB],
            _memory,
        ),
        (
            costs,
            asked,
            _cost,
        ),
    )
    return "\n\n".join(f"{title}\n\n{_table(chosen, cell)}" for title, chosen, cell in parts if chosen)


def _table(rows: Sequence[Row], cell: Callable[[Row, str], str]) -> str:
    """Return a Markdown table with a column for each subject."""
    kinds = kinds_of(rows)
    lines = [f"| call | | {' | '.join(kinds)} |", "|---|---|" + "---:|" * len(kinds)]
    for row in rows:
        shown = [cell(row, kind) if kind in row.cells else "–" for kind in kinds]
        lines.append(f"| `{row.case.name}` | {row.transport} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _speed(row: Row, kind: str) -> str:
    found = figures.figure(row, kind)
    if row.case.shows_rate:
        return f"{found.middle:.0f} MB/s ({found.low:.0f}–{found.high:.0f})"
    return f"{found.middle:.2f} ms ({found.low:.2f}–{found.high:.2f})"


def _ratio(row: Row, kind: str) -> str:
    return f"{figures.ratio(row, kind):.2f}"


def _cpu(row: Row, kind: str) -> str:
    if row.case.shows_rate:
        return f"{figures.cpu_per_gib(row, kind):.2f} s/GiB"
    return f"{figures.cpu_per_call(row, kind) * 1000:.2f} ms"


def _memory(row: Row, kind: str) -> str:
    weight = row.cells[kind].weight
    return "" if weight is None else f"{weight.peak / MIB:.0f} ({weight.idle / MIB:.0f})"


def _cost(row: Row, kind: str) -> str:
    weight = row.cells[kind].weight
    if weight is None:
        return ""
    requests, calls = (weight.writes + weight.reads) / row.case.count, weight.kms_calls / row.case.count
    return f"{requests:.4g} + {calls:.3g}, ${figures.dollars_per_million(row.case, weight):.2f}"


def to_json(measured: Measured) -> dict[str, Any]:
    """Return every sample of one transport, and what is computed from them."""
    rows = []
    for row in measured.rows:
        subjects = {kind: _subject(row, kind) for kind in row.cells}
        rows.append({"name": row.case.name, "transport": row.transport, **dataclasses.asdict(row.case), "of": subjects})
    return {"aes_floor_cpu_seconds_per_gib": statistics.median(measured.floors), "calls": rows}


def _subject(row: Row, kind: str) -> dict[str, Any]:
    cell = row.cells[kind]
    weight = None if cell.weight is None else dataclasses.asdict(cell.weight)
    found: dict[str, Any] = {
        "wall_seconds": [sample.wall for sample in cell.samples],
        "cpu_seconds": [sample.cpu for sample in cell.samples],
        "cpu_seconds_per_gib": figures.cpu_per_gib(row, kind),
        "warm_requests": cell.requests,
        "warm_kms_calls": cell.kms_calls,
        "new_process": weight,
    }
    if PLAIN in row.cells:
        found["speed_ratio"] = figures.ratio(row, kind)
        found["cpu_ratio"] = figures.cpu_ratio(row, kind)
    if cell.weight is not None:
        found["dollars_per_million"] = figures.dollars_per_million(row.case, cell.weight)
    return found


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return the ratios to plain boto3 that must not fall, by name; higher is better for all of them."""
    found = {}
    for row in rows:
        if OURS in row.cells and PLAIN in row.cells:
            name = f"{row.case.name}, {row.transport}"
            found[f"speed: {name}"] = round(figures.ratio(row, OURS), 3)
            found[f"cpu: {name}"] = round(figures.cpu_ratio(row, OURS), 3)
    return found


def scaling_table(rows: Sequence[Row]) -> str:
    """Return what a file costs, fitted: a fixed part, and a part for every GiB."""
    lines = [
        "| call | | fixed ms | s/GiB | fixed CPU ms | CPU s/GiB | peak MiB, smallest to largest |",
        "|---|---|" + "---:|" * 5,
    ]
    for call in ("upload", "download"):
        for kind in kinds_of(rows):
            points = scaling_points(rows, call, kind)
            if len(points) < 2:
                continue
            wall = figures.fit_line([(point.size, point.wall) for point in points])
            cpu = figures.fit_line([(point.size, point.cpu) for point in points])
            peaks = [point.peak / MIB for point in points]
            cells = [
                *(f"{line.fixed * 1000:.2f} | {line.slope * (1 << 30):.2f}" for line in (wall, cpu)),
                f"{peaks[0]:.0f} to {peaks[-1]:.0f}",
            ]
            lines.append(f"| `{call}_file` | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """What one call costs at a size: seconds, CPU seconds, and bytes of memory."""

    size: int
    wall: float
    cpu: float
    peak: int


def scaling_points(rows: Sequence[Row], call: str, kind: str) -> list[Point]:
    """Return the points of one subject, by size."""
    found = []
    for row in rows:
        cell = row.cells.get(kind)
        if row.case.call == call and cell is not None and cell.weight is not None:
            wall = statistics.median(sample.wall for sample in cell.samples) / row.case.count
            cpu = statistics.median(sample.cpu for sample in cell.samples) / row.case.count
            found.append(Point(row.case.size, wall, max(cpu, 1e-6), cell.weight.peak))
    return sorted(found, key=lambda point: point.size)


def threads_points(rows: Sequence[Row], call: str, kind: str) -> list[tuple[int, float]]:
    """Return (threads, calls per second) of one subject."""
    found = []
    for row in rows:
        if row.case.call == call and kind in row.cells:
            seconds = statistics.median(sample.wall for sample in row.cells[kind].samples)
            found.append((row.case.threads, row.case.count / seconds))
    return sorted(found)
