"""What the commands print, and where: results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

_MIB = 1 << 20
Advance = Callable[[int], None]


def printable(value: str) -> str:
    """Return text of foreign origin without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in value)


def plain(value: object) -> Text:
    """Return foreign text for rich: neither markup nor control characters mean anything in it."""
    return Text(printable(str(value)))


def size(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count:,} bytes" if count < _MIB else f"{count:,} bytes ({count / _MIB:.1f} MiB)"


def complain(line: str) -> None:
    """Print one line to stderr."""
    print(f"s3envelope: {printable(' '.join(line.split()))}", file=sys.stderr)


def stdout() -> Console:
    """Return the console of results."""
    return Console()


def _ignore(_: int) -> None:
    """Count nothing."""


@contextmanager
def progress(console: Console, title: str, total: int | None, *, shown: bool = True) -> Iterator[Advance]:
    """Show a bar while the block runs; yields what counts bytes, from any thread."""
    if not shown:
        yield _ignore
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(printable(title).replace("[", r"\["), total=total)

        def advance(count: int) -> None:
            bar.advance(task, count)

        yield advance
