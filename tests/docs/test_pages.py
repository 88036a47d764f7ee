"""Every code block of every page is run, read as JSON or YAML, or is listed here with the reason why it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from s3envelope.testing import LocalKms
from tests.docs.scenes import SCENES, Scene
from tests.support.documents import SPEC, Block, blocks_of, run_python, run_shell, servers_of_documents
from tests.support.endpoints import Endpoint

PAGES = sorted(SPEC.rglob("*.md"))
RUN = ("python", "sh")
READ = {"json": json.loads, "yaml": yaml.safe_load}

_AWS = "needs an AWS account"
_CRON = (
    "17 3 * * * s3envelope compliance check --bucket orders --kms-key alias/orders --audit-log "
    "/var/log/s3envelope/audit.jsonl --baseline /var/lib/s3envelope/baseline --output "
    '/var/lib/s3envelope/evidence/$(date +\\%F) || logger -p auth.crit "s3envelope compliance: exit code $?"'
)
# Page, and the first line of the block.
NOT_RUN: dict[tuple[str, str], str] = {
    ("COMPLIANCE.md", "s3envelope compliance check --bucket orders --kms-key alias/orders \\"): (
        "needs CloudTrail and an audit log; tests/compliance runs the command"
    ),
    ("COMPLIANCE.md", _CRON): "is a line for cron",
    ("QUICKSTART.md", "python3 -m venv .venv"): "the README has this command, and .ci/run runs it",
    ("QUICKSTART.md", "aws kms create-key --region eu-west-1 --description 'orders, client side'"): _AWS,
}
# Pages whose blocks need packages of others.
RUN_ELSEWHERE = {
    "ECOSYSTEM.md": "needs the extra [ecosystem]; tests/ecosystem runs them",
    "OBSERVABILITY.md": "configures the logging of a process; tests/test_observability.py runs them in one of its own",
}
# Pages whose blocks are layouts of bytes.
DIAGRAMS = {"FORMAT.md": 10}


def name_of(page: Path) -> str:
    return page.relative_to(SPEC).as_posix()


def not_run(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.language not in (*RUN, *READ)]


PAGES_THAT_RUN = [
    page
    for page in PAGES
    if name_of(page) not in RUN_ELSEWHERE and any(block.language in RUN for block in blocks_of(page))
]


@pytest.fixture
def cloud(moto_s3: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKms]:
    """Run in an empty folder, with the bucket and the keys of the documents behind the default endpoints."""
    with servers_of_documents(moto_s3, tmp_path, monkeypatch) as kms:
        yield kms


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=name_of)
def test_blocks_of_a_page_when_run_in_order_do_what_the_text_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    scene = SCENES.get(name_of(page), Scene())
    scene.prepare()
    names: dict[str, object] = {"__name__": "page"}

    output = ""
    for block in blocks_of(page):
        if block.language == "python":
            run_python(block, page, names)
        elif block.language == "sh":
            capfd.readouterr()
            output += run_shell(block, tmp_path, lambda: "".join(capfd.readouterr()))

    assert [text for text in scene.printed if text not in output] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_of_data_when_read_are_well_formed(page: Path) -> None:
    for block in blocks_of(page):
        if block.language in READ:
            assert READ[block.language](block.content), f"line {block.line_number}"


def test_blocks_that_are_not_run_are_those_that_are_listed() -> None:
    pages = [page for page in PAGES if name_of(page) not in DIAGRAMS]

    found = [(name_of(page), block.first_line) for page in pages for block in not_run(page)]

    assert sorted(found) == sorted(NOT_RUN)
    assert all(NOT_RUN.values())


def test_blocks_of_the_pages_of_diagrams_when_counted_are_no_more() -> None:
    assert {name: len(not_run(SPEC / name)) for name in DIAGRAMS} == DIAGRAMS


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_fences_of_a_page_when_counted_are_all_found(page: Path) -> None:
    fences = re.findall(r"^\s*```", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(fences) == 2 * len(blocks_of(page))
