"""The house rules that a machine can check: style, types, imports, sizes, documents."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from s3envelope.s3.operations import METHODS, OPERATIONS, Treatment
from tests.support import call_table

ROOT = Path(__file__).parent.parent
CODE = sorted(path for folder in ("s3envelope", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
MOST_LINES = 400


def run(*command: str) -> None:
    """Run a tool of this environment and fail with what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_check_when_run_finds_nothing() -> None:
    run("ruff", "check", ".")


def test_ruff_format_when_run_changes_nothing() -> None:
    run("ruff", "format", "--check", ".")


def test_mypy_strict_when_run_finds_nothing() -> None:
    run("mypy")


def test_import_contracts_when_checked_are_kept() -> None:
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_when_counted_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_operations_when_botocore_is_updated_are_all_listed() -> None:
    model = botocore.session.get_session().get_service_model("s3")

    unlisted = set(model.operation_names) - set(OPERATIONS)

    assert not unlisted, f"decide in s3envelope/s3/operations.py what happens to {sorted(unlisted)}"


def test_methods_when_boto3_adds_one_to_a_client_are_all_listed() -> None:
    arguments: Any = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    bare = botocore.session.get_session().create_client("s3", **arguments)
    client: Any = boto3.session.Session().client("s3", **arguments)

    added = set(dir(client)) - set(dir(bare))
    presigning = {name for name in dir(bare) if name.startswith("generate_presigned")}

    assert added | presigning == set(METHODS)
    for each in (bare, client):
        each.close()


def test_tables_of_calls_when_made_again_are_those_in_the_documents() -> None:
    advice = "run python -m tests.support.call_table"

    assert call_table.README.read_text() == call_table.with_table(call_table.README.read_text()), advice
    assert call_table.PAGE.read_text() == call_table.page(), advice


def test_operations_with_a_body_when_listed_are_sealed_or_refused() -> None:
    model = botocore.session.get_session().get_service_model("s3")
    streaming = {name for name in model.operation_names if model.operation_model(name).has_streaming_input}

    passed = {name for name in streaming if OPERATIONS[name].treatment in (Treatment.PASS, Treatment.OPEN)}

    assert not passed


def test_invariants_of_the_format_when_searched_are_marked() -> None:
    marked = [path for path in CODE if "INVARIANT:" in path.read_text() and "s3envelope" in path.parts]

    assert len(marked) >= 5


def test_project_when_searched_speaks_of_itself_only() -> None:
    words = re.compile(r"/work/|\.\./shared|helper-\d|this session|closing note", re.IGNORECASE)
    texts = [*CODE, *ROOT.glob("*.md"), *ROOT.glob("s3envelope/spec/**/*.md"), ROOT / "pyproject.toml"]

    found = [path.name for path in texts if path != Path(__file__) and words.search(path.read_text())]

    assert not found
