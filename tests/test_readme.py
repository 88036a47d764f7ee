"""Every code block of the README is executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import s3envelope
from s3envelope.cli.app import commands
from s3envelope.testing import LocalKms
from tests.cli.commands import subcommands
from tests.support.documents import servers_of_documents
from tests.support.endpoints import Endpoint

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the fenced code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def cloud(moto_s3: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKms]:
    """Run in an empty folder, with the bucket and the keys of the README behind the default endpoints."""
    with servers_of_documents(moto_s3, tmp_path, monkeypatch) as kms:
        yield kms


@pytest.mark.usefixtures("cloud")
def test_python_blocks_when_run_in_order_do_what_the_text_says(capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n\n".join(blocks("python"))
    assert len(blocks("python")) >= 7

    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102  # the README is ours

    assert "encryption context" in capsys.readouterr().out


@pytest.mark.usefixtures("cloud")
def test_shell_blocks_when_run_do_what_the_text_says(tmp_path: Path) -> None:
    (tmp_path / "report.bin").write_bytes(b"report" * 1000)
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": folder + os.pathsep + os.environ["PATH"]}

    output = ""
    s3envelope.client("s3", kms_key_id="alias/orders", write_format="s3ec-v3", read_formats=("s3ec-v3",)).put_object(
        Bucket="orders", Key="amazon/1", Body=b"x"
    )
    # The one that needs what the others made comes last.
    for block in sorted(blocks("sh"), key=lambda text: "rotate" in text):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        output += done.stdout

    assert (tmp_path / "again.bin").read_bytes() == b"report" * 1000
    assert (tmp_path / "reports-again" / "june.bin").read_bytes() == b"report" * 1000
    assert list((tmp_path / "reports").iterdir()) == []
    assert "SE1" in output
    # Of rotate, and of migrate.
    assert output.count("1 done\n") + output.count("1 done,") == 2


def test_set_up_commands_when_read_are_those_that_the_check_runs() -> None:
    commands = re.findall(r"^ {4}(python3 -m venv \.venv && .*)$", README, re.MULTILINE)
    check = (ROOT / ".ci" / "run").read_text()

    assert len(commands) == 2
    assert commands[0].endswith("s3envelope demo")
    assert commands[1].endswith(".venv/bin/pytest")
    assert "README.md" in check


def test_fenced_blocks_when_counted_are_all_of_a_language_that_is_run() -> None:
    fences = re.findall(r"^```([^\n]*)\n.*?^```", README, re.MULTILINE | re.DOTALL)

    # The asynchronous one is run by tests/s3/aio/test_readme_block.py.
    assert set(fences) <= {"python", "python async", "sh"}


def test_table_of_commands_when_compared_has_their_help_texts() -> None:
    found = re.findall(r"^\| `([a-z]+)` \| ([^|]+) \|$", README.partition("## Command line")[2], re.MULTILINE)

    assert dict(found) == {
        name: command.get_short_help_str(limit=200) for name, command in subcommands(commands).items()
    }
