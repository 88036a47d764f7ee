"""The table of THREATS.md says nothing that the tests and the exceptions do not have, and misses none of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from s3envelope import errors
from tests.support.named_tests import names_of_tests

ROOT = Path(__file__).parent.parent.parent
FILES = {
    "S": sorted((ROOT / "tests" / "s3").glob("test_threats*.py")),
    "U": sorted((ROOT / "tests" / "unit").glob("test_threats*.py")),
}
_ROW = re.compile(r"\| (\d+) \| (.*) \| (.*) \| (.*) \| (.*) \|")
_TEST = re.compile(r"([SU]) `(test_\w+)`")
_CLASS = re.compile(r"(botocore's )?`(\w+)`")


@dataclass(frozen=True, slots=True)
class Row:
    """One attack of the table."""

    number: int
    classes: str
    tests: str


def _rows() -> list[Row]:
    text = (ROOT / "s3envelope" / "spec" / "THREATS.md").read_text()
    matches = [_ROW.fullmatch(line) for line in text.splitlines()]
    return [Row(int(match[1]), match[4], match[5]) for match in matches if match is not None]


ROWS = [pytest.param(row, id=f"{row.number:02}") for row in _rows()]


def test_table_when_read_then_its_rows_are_numbered_from_1() -> None:
    assert [row.number for row in _rows()] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 28


@pytest.mark.parametrize("row", ROWS)
def test_row_when_it_names_tests_then_they_exist_and_bear_its_number(row: Row) -> None:
    named = _TEST.findall(row.tests)

    assert named
    assert _TEST.sub("", row.tests).strip(", ") == ""
    for kind, name in named:
        assert name in names_of_tests(FILES[kind]), f"{kind} {name} is not in {FILES[kind]}"
        assert name.startswith(f"test_threat_{row.number:02}_")


@pytest.mark.parametrize("row", ROWS)
def test_row_when_it_names_classes_then_they_are_exceptions_of_ours(row: Row) -> None:
    named = [name for prefix, name in _CLASS.findall(row.classes) if not prefix]

    assert named or row.classes in ("none", "none needed")
    for name in named:
        assert issubclass(getattr(errors, name), errors.S3EnvelopeError), f"{name} is not in s3envelope.errors"


@pytest.mark.parametrize("kind", ["S", "U"])
def test_threat_tests_when_they_exist_then_the_table_names_them(kind: str) -> None:
    named = {name for row in _rows() for found, name in _TEST.findall(row.tests) if found == kind}

    assert {name for name in names_of_tests(FILES[kind]) if name.startswith("test_threat_")} == named
