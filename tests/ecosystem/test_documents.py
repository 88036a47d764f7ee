"""The page of the other libraries and the table of the README say the same. It needs no extra."""

from __future__ import annotations

import re

from tests.ecosystem.page import LIBRARIES, PAGE, README, ROOT, block, headings
from tests.ecosystem.works_with import rows, with_rows


def test_page_when_read_then_has_a_block_and_a_file_of_tests_for_every_library() -> None:
    assert headings() == list(LIBRARIES)
    for heading, (_, file_name) in LIBRARIES.items():
        assert "assert" in block(heading)
        assert f'run_block("{heading}")' in (ROOT / "tests/ecosystem" / file_name).read_text()


def test_page_when_read_then_has_no_block_that_is_not_run() -> None:
    fences = re.findall(r"^```(\S*)\n.*?^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)

    assert fences == ["python"] * len(LIBRARIES)


def test_table_when_read_then_has_a_row_with_versions_for_every_library() -> None:
    found = rows(README.read_text())

    assert list(found) == [distribution for distribution, _ in LIBRARIES.values()]
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for row in found.values() for version in row[1:])
    assert with_rows(README.read_text(), found) == README.read_text()
