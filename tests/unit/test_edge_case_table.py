"""The table of EDGE_CASES.md names tests that exist, some for every row, and all tests of the edge cases."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.named_tests import names_of_tests

ROOT = Path(__file__).parent.parent.parent
FILES = {
    "E": sorted((ROOT / "tests" / "s3" / "edge_cases").glob("test_*.py")),
    "S": sorted((ROOT / "tests" / "s3").glob("test_*.py")),
    "C": sorted((ROOT / "tests" / "caches").glob("test_*.py")),
}
ROW_COUNT = 40
_ROW = re.compile(r"\| (\d+) \| (.*) \| (.*) \|")
_TEST = re.compile(r"([ESC]) `(test_\w+)`")


@dataclass(frozen=True, slots=True)
class Row:
    """One edge case of the table."""

    number: int
    tests: str


def _rows() -> list[Row]:
    text = (ROOT / "s3envelope" / "spec" / "EDGE_CASES.md").read_text()
    matches = [_ROW.fullmatch(line) for line in text.splitlines()]
    return [Row(int(match[1]), match[3]) for match in matches if match is not None]


@functools.cache
def _functions(kind: str) -> list[str]:
    return names_of_tests(FILES[kind])


ROWS = [pytest.param(row, id=f"{row.number:02}") for row in _rows()]


def test_table_when_read_then_it_has_the_40_edge_cases_in_order() -> None:
    assert [row.number for row in _rows()] == list(range(1, ROW_COUNT + 1))


@pytest.mark.parametrize("row", ROWS)
def test_row_when_it_names_tests_then_it_names_some_and_they_exist(row: Row) -> None:
    named = _TEST.findall(row.tests)

    assert named
    assert _TEST.sub("", row.tests).strip(", ") == ""
    for kind, name in named:
        assert _functions(kind).count(name) == 1, f"{kind} {name} is not there once"


def test_tests_of_edge_cases_when_they_exist_then_the_table_names_them() -> None:
    named = {name for row in _rows() for kind, name in _TEST.findall(row.tests) if kind == "E"}

    assert set(_functions("E")) == named
