"""The command itself: version, help, and what it says when an extra is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from s3envelope._version import __version__
from s3envelope.cli import main as entry
from s3envelope.cli.locations import parse_s3
from s3envelope.cli.output import complain, plain
from tests.cli.commands import environment, one_line, run_process

# An import of a module that is None in sys.modules fails as if it were not installed.
WITHOUT = """
import sys
sys.modules[{missing!r}] = None
from s3envelope.cli.main import main
sys.exit(main({arguments!r}))
"""


def _run_without(missing: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = WITHOUT.format(missing=missing, arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment(), check=False, timeout=120
    )


def test_command_when_asked_for_its_version_prints_it() -> None:
    done = run_process("--version")

    assert (done.returncode, done.stdout.decode()) == (0, f"s3envelope {__version__}\n")


@pytest.mark.parametrize("command", ["cp", "demo", "inspect"])
def test_help_when_asked_for_lists_the_command_and_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [entry.main(["--help"]), entry.main([command, "--help"])]

    shown = capsys.readouterr().out
    assert codes == [0, 0]
    assert f"\n  {command} " in shown
    assert "--endpoint-url" in shown


def test_command_when_unknown_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code = entry.main(["encrypt-everything"])

    assert code == 2
    assert "No such command" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_command_when_its_extra_is_not_installed_names_it(missing: str) -> None:
    done = _run_without(missing, "--version")

    assert done.returncode == 2
    assert f"needs {missing}" in one_line(done.stderr)
    assert "pip install 's3envelope[cli]'" in done.stderr.decode()


@pytest.mark.parametrize("missing", ["moto", "flask", "flask_cors"])
def test_demo_when_its_extra_is_not_installed_names_it(missing: str) -> None:
    done = _run_without(missing, "demo", "--size", "1")

    assert done.returncode == 2
    assert f"needs {missing}" in one_line(done.stderr)
    assert "pip install 's3envelope[demo]'" in done.stderr.decode()


def test_other_commands_when_the_demo_is_not_installed_work() -> None:
    done = _run_without("moto", "--version")

    assert done.returncode == 0


def test_command_when_something_else_is_missing_does_not_blame_an_extra() -> None:
    done = _run_without("s3envelope.cli.cp", "cp")

    assert done.returncode == 1
    assert b"ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("S3://bucket/a/b c", "bucket", "a/b c"),
        ("s3://bucket//a", "bucket", "/a"),
        ("s3://bucket/a\nb", "bucket", "a\nb"),
        (
            "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/point/a/b",
            "arn:aws:s3:eu-west-1:111122223333:accesspoint/point",
            "a/b",
        ),
        (
            "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint:point/a",
            "arn:aws:s3:eu-west-1:111122223333:accesspoint:point",
            "a",
        ),
    ],
)
def test_location_when_read_is_bucket_and_key(text: str, bucket: str, key: str) -> None:
    location = parse_s3(text)

    assert (location.bucket, location.key) == (bucket, key)


def test_foreign_text_when_shown_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    complain("a\x1b[31mb\nc")

    assert capsys.readouterr().err == "s3envelope: a\\x1b[31mb c\n"
    assert plain("[red]\x9b31m").plain == "[red]\\x9b31m"
