"""Which checks speak for which control of which framework, and the scores that follow.

The table is `controls.csv` beside this file: a line per control. A table of one's own has the same columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3envelope.compliance.catalogue import check_ids
from s3envelope.compliance.model import Result, Status
from s3envelope.errors import ConfigurationError

TABLE = Path(__file__).with_name("controls.csv")
FORMULA = "100 x passed / (passed + failed + not assessed), over the checks of the framework, each counted once"
_COLUMNS = ["framework", "control", "title", "oscal_id", "checks"]
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Control:
    """One control, and the ids of the checks that speak for it.

    Args:
        oscal_id: A token of OSCAL: that of the published catalogue where there is one.
    """

    framework: str
    number: str
    title: str
    oscal_id: str
    checks: tuple[str, ...]

    def counts(self, results: Mapping[str, Result]) -> Counts:
        """Count its checks by what came of them."""
        return count(results[check] for check in self.checks)


@dataclass(frozen=True, slots=True)
class Counts:
    """Checks by what came of them."""

    passed: int
    failed: int
    not_assessed: int

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.not_assessed

    @property
    def status(self) -> Status:
        """Passed if all are; failed if any is."""
        if self.failed:
            return Status.FAILED
        return Status.NOT_ASSESSED if self.not_assessed else Status.PASSED


@dataclass(frozen=True, slots=True)
class Score:
    """How much of a framework is satisfied.

    Args:
        percent: By `FORMULA`, rounded down: 100 means that every check passed.
    """

    framework: str
    counts: Counts
    percent: int

    @property
    def formula(self) -> str:
        """The formula with its numbers."""
        found = self.counts
        return f"100 x {found.passed} / ({found.passed} + {found.failed} + {found.not_assessed})"


def read_controls(path: Path = TABLE) -> tuple[Control, ...]:
    """Read a table of controls.

    Raises:
        ConfigurationError: It cannot be read, has other columns, a control twice, or a check that does not exist.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} is not a table: {error}") from error
    if columns != _COLUMNS:
        raise ConfigurationError(f"{path} has other columns than {', '.join(_COLUMNS)}")
    controls = tuple(_control(path, row) for row in rows)
    if not controls or len({control.oscal_id for control in controls}) != len(controls):
        raise ConfigurationError(f"{path} is empty, or has an oscal_id twice")
    return controls


def _control(path: Path, row: Mapping[str | None, str | list[str] | None]) -> Control:
    values = [row.get(name) for name in _COLUMNS]
    texts = [value.strip() for value in values if isinstance(value, str)]
    if None in row or len(texts) != len(_COLUMNS) or not all(texts):
        raise ConfigurationError(f"{path} has a line without exactly {len(_COLUMNS)} values")
    framework, number, title, oscal_id, checks = texts
    if _TOKEN.fullmatch(oscal_id) is None or "\n" in framework + number + title:
        raise ConfigurationError(f"{path} has the oscal_id {oscal_id!r}; use a letter, then letters, digits, '.-_'")
    ids = tuple(dict.fromkeys(checks.split()))
    check_ids(ids)
    return Control(framework, number, title, oscal_id, ids)


def count(results: Iterable[Result]) -> Counts:
    """Count results."""
    statuses = [result.status for result in results]
    return Counts(*(statuses.count(status) for status in (Status.PASSED, Status.FAILED, Status.NOT_ASSESSED)))


def scores(controls: Sequence[Control], results: Sequence[Result]) -> tuple[Score, ...]:
    """Return the score of each framework, in the order of the table."""
    by_id = {result.id: result for result in results}
    found = []
    for framework in dict.fromkeys(control.framework for control in controls):
        ids = {check for control in controls if control.framework == framework for check in control.checks}
        counts = count(by_id[check] for check in ids)
        # INVARIANT: what was not assessed counts like what failed; nobody gains by not looking.
        found.append(Score(framework, counts, 100 * counts.passed // counts.total))
    return tuple(found)
