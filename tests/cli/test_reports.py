"""What is shown of a command that works on many objects, where somebody sees it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from s3envelope.cli.reports import counting


class Terminal(io.StringIO):
    """Standard error of somebody who looks."""

    def isatty(self) -> bool:
        return True


@contextmanager
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Let standard error be a terminal. Only in the test itself: pytest puts its own there after the fixtures."""
    shown = Terminal()
    with monkeypatch.context() as changed:
        changed.setenv("TERM", "xterm")
        changed.setenv("COLUMNS", "120")
        changed.setattr("sys.stderr", shown)
        yield shown


def test_counting_when_the_objects_are_listed_shows_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    is_listed = threading.Event()

    def listing() -> Iterator[int]:
        yield from range(3)
        is_listed.set()

    with looked_at(monkeypatch) as terminal, counting("rotating", listing) as advance:
        assert is_listed.wait(10)
        _wait_for_counter()
        for _ in range(3):
            advance()

    assert "3/3" in terminal.getvalue()


def test_counting_when_the_listing_fails_goes_on_without_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    def listing() -> Iterator[int]:
        yield 1
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")

    with looked_at(monkeypatch) as terminal, counting("rotating", listing) as advance:
        _wait_for_counter()
        advance()

    assert "1/?" in terminal.getvalue()


def test_counting_when_nobody_looks_lists_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("rotating", lambda: pytest.fail("it was listed")) as advance:
        advance()

    assert capsys.readouterr().err == ""


def _wait_for_counter() -> None:
    for thread in threading.enumerate():
        if thread.name == "counting":
            thread.join(10)
