"""Running `s3envelope compliance check` in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3envelope.cli.app import run
from tests.support.compliant import SetUp


def checked(capfd: pytest.CaptureFixture[str], good: SetUp, *more: str) -> tuple[int, Any]:
    """Run the command; return the exit code and the summary that it printed."""
    capfd.readouterr()
    code = run(["compliance", "check", *good.options, "--json", *more])
    printed = capfd.readouterr()
    assert printed.out, printed.err
    return code, json.loads(printed.out)


def with_status(summary: Any, status: str) -> list[str]:
    """Return the ids of the checks with a status."""
    return [check["id"] for check in summary["checks"] if check["status"] == status]


def evidence_of(summary: Any, check_id: str) -> str:
    """Return the evidence of a check as one text."""
    (found,) = (check for check in summary["checks"] if check["id"] == check_id)
    return "\n".join(found["evidence"])
