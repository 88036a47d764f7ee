"""What a command tells that works on many objects: a line of JSON for each, progress, and a summary."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from s3envelope.cli.output import plain, stdout
from s3envelope.rotation.run import Outcome

_MOST_SHOWN = 20


@dataclass(slots=True)
class Report:
    """Counts outcomes, and writes each as a line of JSON.

    Args:
        lines: Where to; `None`: nowhere.
    """

    lines: TextIO | None
    counts: Counter[str] = field(default_factory=Counter)
    plans: Counter[str] = field(default_factory=Counter)
    left: list[Outcome] = field(default_factory=list)
    left_count: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.counts[outcome.result] += 1
        self.plans[outcome.plan] += 1
        self.left_count += outcome.is_left
        if outcome.is_left and len(self.left) < _MOST_SHOWN:
            self.left.append(outcome)
        if self.lines is not None:
            self.lines.write(json.dumps(outcome.as_dict()) + "\n")
            self.lines.flush()

    def show(self, results: Sequence[str], plans: Sequence[str] = (), *, as_json: bool) -> None:
        """Print what is left and the counts of these results and plans; or the counts alone, as JSON."""
        summary = {name: self.counts[name] for name in results}
        planned = {name: self.plans[name] for name in plans}
        if as_json:
            click.echo(json.dumps({**summary, "plan": planned} if plans else summary))
            return
        console = stdout()
        for outcome in self.left:
            version = "" if outcome.version_id is None else f"?versionId={outcome.version_id}"
            is_plan = outcome.result == "planned" and outcome.plan
            reason = f"{outcome.plan}: {outcome.reason}" if is_plan else outcome.reason
            line = plain(f"{outcome.result}: s3://{outcome.bucket}/{outcome.key}{version}: {reason}")
            console.print(line, soft_wrap=True)
        console.print(_listed(summary), highlight=False)
        if plans:
            console.print(f"plan: {_listed(planned)}", highlight=False)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


@contextmanager
def counting(title: str, locations: Callable[[], Iterable[object]] | None = None) -> Iterator[Callable[[], None]]:
    """Show how many objects are done, how fast, and how long the rest takes, where there is someone to see it.

    Args:
        locations: Lists all that is to be done, once more and beside the work, to know how much it is. Without it the
            rest is not estimated.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    is_over = threading.Event()
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task, began = bar.add_task("", total=None, rate=""), time.monotonic()
        if locations is not None:
            arguments = (bar, task, locations, is_over)
            threading.Thread(target=_count, args=arguments, name="counting", daemon=True).start()

        def advance() -> None:
            elapsed = time.monotonic() - began
            bar.advance(task)
            bar.update(task, rate=f"{bar.tasks[0].completed / elapsed:.0f}/s" if elapsed > 1 else "")

        try:
            yield advance
        finally:
            is_over.set()


def _count(bar: Progress, task: TaskID, locations: Callable[[], Iterable[object]], is_over: threading.Event) -> None:
    """Tell a bar how much there is; a listing that fails is the work's to report."""
    count = 0
    try:
        for _ in locations():
            if is_over.is_set():
                return
            count += 1
    except (ClientError, BotoCoreError):
        return
    bar.update(task, total=count)
