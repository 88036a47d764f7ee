"""What became of each file, and what a command prints of it: lines of JSON, or a summary and the failures."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import click

from s3envelope.cli.failures import explain
from s3envelope.cli.output import complain, printable
from s3envelope.cli.transferring.items import Place

Action = Literal["upload", "download", "copy", "delete"]
Result = Literal["done", "skipped", "planned", "failed", "interrupted"]
_RESULTS: tuple[Result, ...] = ("done", "skipped", "planned", "failed", "interrupted")


@dataclass(frozen=True, slots=True)
class Job:
    """One file to transfer, or to delete.

    Args:
        source: `None` for a deletion.
        size: Of the plaintext, as far as it is known.
        seconds: When the source was last modified, in whole seconds.
        is_below: Whether the target lies below a folder that is transferred, and its own folder is made.
        is_needed: Tells, at some cost, whether the target is not yet what it is to be.
    """

    action: Action
    source: Place | None
    target: Place
    size: int
    seconds: int = 0
    is_below: bool = False
    is_needed: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Args:
        reason: Why it was skipped or failed.
        error: What failed.
    """

    action: Action
    source: str | None
    target: str | None
    size: int
    result: Result
    reason: str | None = None
    error: BaseException | None = None

    @classmethod
    def of(cls, job: Job, result: Result, reason: str | None = None) -> Outcome:
        """Return the outcome of a job."""
        source = None if job.source is None else str(job.source)
        return cls(job.action, source, str(job.target), job.size, result, reason)

    @classmethod
    def failure(cls, job: Job, error: BaseException) -> Outcome:
        """Return the outcome of a job that failed."""
        source = None if job.source is None else str(job.source)
        return cls(job.action, source, str(job.target), job.size, "failed", explain(error).line, error)

    def as_line(self) -> str:
        """Return the line of JSON: these names, in this order."""
        document = {
            "action": self.action,
            "source": self.source,
            "target": self.target,
            "bytes": self.size,
            "result": self.result,
            "reason": self.reason,
        }
        return json.dumps(document)

    def __str__(self) -> str:
        # A deletion has no source, and what cannot be transferred has no target.
        return " to ".join(place for place in (self.source, self.target) if place is not None)


@dataclass(slots=True)
class Outcomes:
    """Counts outcomes, and prints them.

    Args:
        as_json: A line of JSON for each, and one with the summary.
    """

    as_json: bool
    counts: Counter[str] = field(default_factory=Counter)
    byte_count: int = 0
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one, and print what is to be seen at once."""
        self.counts[outcome.result] += 1
        if outcome.result in ("done", "planned"):
            self.byte_count += outcome.size
        if outcome.result == "failed":
            self.failures.append(outcome)
        if self.as_json:
            click.echo(outcome.as_line())
            sys.stdout.flush()
        elif outcome.result == "planned":
            click.echo(printable(f"would {outcome.action}: {outcome}"))

    @property
    def exit_code(self) -> int:
        """1 if anything failed."""
        return 1 if self.failures else 0

    def show(self, *, is_quiet: bool = False) -> None:
        """Print the summary, and on stderr a line for every failure.

        Args:
            is_quiet: Print nothing for people; a single file that was copied needs no words.
        """
        if self.as_json:
            counts = {name: self.counts[name] for name in _RESULTS}
            click.echo(json.dumps({"summary": {**counts, "bytes": self.byte_count}}))
        if is_quiet:
            return
        for failure in self.failures:
            complain(f"{failure}: {failure.reason}")
        if not self.as_json:
            told = [f"{self.counts[name]:,} {name}" for name in _RESULTS if self.counts[name] or name == "done"]
            click.echo(f"{', '.join(told)}; {self.byte_count:,} bytes")
