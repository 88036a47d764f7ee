"""The arithmetic of the figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.clients import PLAIN
from benchmarks.harness import Row, Weight
from benchmarks.work import GIB, Case

# AWS's prices in us-east-1 on 2026-11-29, in dollars. Free tiers and data transfer are left out.
PRICES_DATE = "2026-11-29"
_WRITE_PRICE = 0.005 / 1_000
_READ_PRICE = 0.0004 / 1_000
_KMS_PRICE = 0.03 / 10_000
_OBJECTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its quartiles."""

    middle: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles; of one value, three times that value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def figure(row: Row, kind: str) -> Spread:
    """Return MB/s, or milliseconds per call, as the case has it."""
    case, walls = row.case, [sample.wall for sample in row.cells[kind].samples]
    if case.shows_rate:
        return spread([case.moved_size / 1e6 / wall for wall in walls])
    return spread([wall / case.count * 1000 for wall in walls])


def ratio(row: Row, kind: str, other: str = PLAIN) -> float:
    """Return how fast a subject is beside another: the median of the ratios of single rounds, above 1 if faster."""
    pairs = zip(row.cells[other].samples, row.cells[kind].samples, strict=True)
    return statistics.median(theirs.wall / own.wall for theirs, own in pairs)


def cpu_ratio(row: Row, kind: str, other: str = PLAIN) -> float:
    """Return the same of CPU time: above 1 if a subject needs less."""
    pairs = zip(row.cells[other].samples, row.cells[kind].samples, strict=True)
    # The clock of CPU time may have ticks: what is below one is no figure.
    return statistics.median(max(theirs.cpu, 1e-6) / max(own.cpu, 1e-6) for theirs, own in pairs)


def cpu_per_gib(row: Row, kind: str) -> float:
    """Return the median CPU seconds of the client per GiB of plaintext."""
    return statistics.median(sample.cpu for sample in row.cells[kind].samples) * GIB / row.case.moved_size


def cpu_per_call(row: Row, kind: str) -> float:
    """Return the median CPU seconds of the client per call."""
    return statistics.median(sample.cpu for sample in row.cells[kind].samples) / row.case.count


def dollars_per_million(case: Case, weight: Weight) -> float:
    """Return what requests and calls of KMS cost for a million calls, made by a process that had nothing cached."""
    spent = weight.writes * _WRITE_PRICE + weight.reads * _READ_PRICE + weight.kms_calls * _KMS_PRICE
    return spent / case.count * _OBJECTS


@dataclass(frozen=True, slots=True)
class Line:
    """A fixed cost, and a cost per unit."""

    fixed: float
    slope: float

    def at(self, x: float) -> float:
        """Return the cost at x."""
        return self.fixed + self.slope * x


def fit_line(points: Sequence[tuple[float, float]]) -> Line:
    """Return the line with the least squares of relative errors; neither part of a cost is below zero.

    Args:
        points: At least two different x, each with a y above zero.
    """
    weights = [(1 / (y * y), x, y) for x, y in points]
    total = math.fsum(w for w, _, _ in weights)
    mean_x = math.fsum(w * x for w, x, _ in weights) / total
    mean_y = math.fsum(w * y for w, _, y in weights) / total
    spread_x = math.fsum(w * (x - mean_x) ** 2 for w, x, _ in weights)
    if not spread_x:
        raise ValueError("a line needs two different x")
    slope = math.fsum(w * (x - mean_x) * (y - mean_y) for w, x, y in weights) / spread_x
    fixed = mean_y - slope * mean_x
    if slope < 0:
        return Line(mean_y, 0.0)
    if fixed < 0:
        # The best line through zero.
        return Line(0.0, math.fsum(w * x * y for w, x, y in weights) / math.fsum(w * x * x for w, x, _ in weights))
    return Line(fixed, slope)


def fit_power(points: Sequence[tuple[float, float]]) -> float:
    """Return the exponent of the power law that comes nearest: 1 where cost grows as size does."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    slope: float = statistics.linear_regression([x for x, _ in logs], [y for _, y in logs]).slope
    return slope
