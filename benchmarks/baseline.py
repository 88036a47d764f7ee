"""What must not become worse: ratios to plain boto3, and counts of instructions, in `baseline.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import instructions
from benchmarks.clients import OURS, PLAIN
from benchmarks.harness import measure
from benchmarks.report import ratios
from benchmarks.surroundings import working_folder
from benchmarks.work import GIB, Plan, quick_plan, unweighed

BASELINE = Path(__file__).parent / "baseline.json"
TOLERANCE = 0.15
_ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Regression:
    """One figure that is worse than it was."""

    name: str
    before: float
    now: float

    def __str__(self) -> str:
        return f"{self.name}: {self.now:g}, was {self.before:g} ({self.now / self.before - 1:+.0%})"


def regressions(
    before: Mapping[str, float], now: Mapping[str, float], *, higher_is_better: bool, tolerance: float = TOLERANCE
) -> list[Regression]:
    """Return the figures that are worse by more than the tolerance; what is on one side only is not compared."""
    found = []
    for name, known in before.items():
        if name not in now:
            continue
        worst = known * (1 - tolerance if higher_is_better else 1 + tolerance)
        if now[name] < worst if higher_is_better else now[name] > worst:
            found.append(Regression(name, known, now[name]))
    return found


def load(file: Path = BASELINE) -> dict[str, Any]:
    """Return the baseline, or an empty one."""
    if not file.exists():
        return {"ratios": {}, "instructions": {}}
    known: dict[str, Any] = json.loads(file.read_text())
    return known


def store(
    plan: str,
    speeds: Mapping[str, float],
    counted: Mapping[str, int],
    about: Mapping[str, Any],
    file: Path = BASELINE,
) -> None:
    """Replace what is known of a plan, and the counts of instructions if there are any."""
    known = load(file)
    known["ratios"][plan] = {"measured_on": dict(about), "values": dict(speeds)}
    if counted:
        known["instructions"] = {"measured_on": dict(about), "values": dict(counted)}
    file.write_text(json.dumps(known, indent=2) + "\n")


def write(about: Mapping[str, Any], tell: Callable[[str], None]) -> None:
    """Measure what `check` measures, and keep it as the baseline."""
    plan = quick_plan(_ROUNDS)
    store(plan.name, _ratios(plan, tell), _instructions(tell), {"date": about["date"], "machine": about["machine"]})


def check(tell: Callable[[str], None], file: Path = BASELINE) -> int:
    """Measure, compare with the baseline, and print what is worse; return how the program should end."""
    plan, known = quick_plan(_ROUNDS), load(file)
    if plan.name not in known["ratios"]:
        print("baseline.json has nothing to compare with; make it with --write-baseline")
        return 1
    before: dict[str, float] = known["ratios"][plan.name]["values"]
    found = regressions(before, _ratios(plan, tell), higher_is_better=True)
    if found:
        # A machine that did something else for a moment is no regression: what is one is slow the second time too.
        tell("again, what seems to be worse")
        names = [one.name for one in found]
        groups = tuple(
            group for group in plan.groups if any(case.name in name for case in group.cases for name in names)
        )
        again = _ratios(replace(plan, groups=groups), tell)
        found = regressions({name: before[name] for name in names}, again, higher_is_better=True)
    counted = _instructions(tell)
    if known["instructions"] and counted:
        found += regressions(known["instructions"]["values"], counted, higher_is_better=False)
    for one in found:
        print(one)
    print(
        f"{len(before)} ratios and {len(counted)} counts of instructions compared, {len(found)} worse by more than 15 %"
    )
    return 1 if found else 0


def _ratios(plan: Plan, tell: Callable[[str], None]) -> dict[str, float]:
    found: dict[str, float] = {}
    for transport in ("http", "https"):
        with working_folder(GIB // 2) as folder:
            measured = measure(unweighed(plan), (PLAIN, OURS), transport, kms_seconds=0.0, folder=folder, report=tell)
        found.update(ratios(measured.rows))
    return found


def _instructions(tell: Callable[[str], None]) -> dict[str, int]:
    if not instructions.is_available():
        tell("no valgrind: instructions are not counted")
        return {}
    tell("instructions")
    return instructions.count()
