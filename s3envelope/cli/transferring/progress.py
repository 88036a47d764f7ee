"""One bar over everything that a command transfers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as Speed

from s3envelope.cli.output import printable


class Bar:
    """Counts bytes, from any thread, and shows them if there is a bar."""

    def __init__(self, shown: Progress | None = None, task: TaskID | None = None) -> None:
        self._shown, self._task = shown, task
        self._expected = 0
        self._lock = threading.Lock()

    @property
    def is_shown(self) -> bool:
        return self._shown is not None

    def expect(self, size: int) -> None:
        """Learn of more to do."""
        with self._lock:
            self._expected += size
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, total=self._expected)

    def advance(self, size: int) -> None:
        """Count bytes that are done; a transfer that begins anew takes some back."""
        if self._shown is not None and self._task is not None:
            self._shown.advance(self._task, size)


@contextmanager
def one_bar(title: str, *, is_wanted: bool) -> Iterator[Bar]:
    """Show a bar on stderr while the block runs, where there is someone to see it."""
    if not is_wanted or not sys.stderr.isatty():
        yield Bar()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        yield Bar(shown, shown.add_task(printable(title).replace("[", r"\["), total=None))
