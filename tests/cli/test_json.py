"""Machine-readable output: every command has it, on stdout there is nothing else, and errors are JSON too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import s3envelope
from s3envelope.cli.app import commands, run
from s3envelope.cli.json_errors import wants_json
from tests.cli.commands import Place, one_line, run_process, subcommands

PAGE = (Path(s3envelope.__file__).parent / "spec" / "COMMAND.md").read_text()
# What they print is not for programs to understand.
EXCEPTIONS = {
    "cat": "stdout is for the plaintext",
    "completion": "prints a script",
    "ui": "serves pages until it is stopped",
}


def leaves(group: click.Group = commands, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is no group, by what is typed for it."""
    for name, command in sorted(subcommands(group).items()):
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


LEAVES = dict(leaves())
WITH_JSON = sorted(set(LEAVES) - set(EXCEPTIONS))


@pytest.mark.parametrize("name", WITH_JSON)
def test_command_when_listed_takes_json(name: str) -> None:
    options = [flag for parameter in LEAVES[name].params for flag in parameter.opts]

    assert "--json" in options, f"{name} has no --json; give it one, or say in EXCEPTIONS why not"


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_exception_when_listed_is_a_command_without_json(name: str) -> None:
    assert all("--json" not in parameter.opts for parameter in LEAVES[name].params)


@pytest.mark.parametrize("name", WITH_JSON)
def test_command_when_used_wrongly_with_json_prints_one_error_and_nothing_else(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*name.split(), "--json", "--no-such-option"])

    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert code == 2
    assert json.loads(line)["error"]["class"] == "NoSuchOption"
    assert "--no-such-option" in json.loads(line)["error"]["message"]
    assert "Usage:" in captured.err


@pytest.mark.parametrize("name", WITH_JSON)
def test_command_when_listed_has_its_shape_in_the_page(name: str) -> None:
    assert re.search(rf"^### `{re.escape(name)}`$", PAGE, re.MULTILINE), f"COMMAND.md does not describe {name}"


def test_page_when_read_describes_no_command_that_does_not_exist() -> None:
    described = re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)

    assert set(described) == set(WITH_JSON)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "s3://absent-bucket"],
        ["rm", "s3://absent-bucket/key"],
        ["inspect", "s3://absent-bucket/key"],
        ["verify", "s3://absent-bucket/"],
        ["rebind", "--from", "s3://old/", "s3://absent-bucket/"],
        ["bench", "s3://absent-bucket"],
        ["keys", "status", "s3://absent-bucket"],
        ["keys", "export", "s3://absent-bucket"],
        ["rotate", "--to-key", "alias/cli", "s3://absent-bucket"],
        ["migrate", "s3://absent-bucket"],
    ],
)
def test_command_when_it_fails_with_json_ends_stdout_with_the_error(
    place: Place, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    takes_key = any("--kms-key-id" in parameter.opts for parameter in LEAVES[" ".join(_name(arguments))].params)
    takes_kms = any("--kms-endpoint-url" in parameter.opts for parameter in LEAVES[" ".join(_name(arguments))].params)
    options = place.options if takes_key and takes_kms else place.options[:4] if takes_kms else place.s3_options

    code = run([*arguments, *options, "--json"])

    captured = capsys.readouterr()
    *_, last = map(json.loads, captured.out.splitlines())
    assert code == 1
    assert last["error"]["class"] in ("NoSuchBucket", "ClientError")
    assert "does not exist" in last["error"]["message"]
    assert "the bucket" in captured.err


def _name(arguments: list[str]) -> list[str]:
    return arguments[:2] if arguments[0] in ("keys", "audit", "cache", "compliance") else arguments[:1]


def test_error_when_json_is_not_asked_for_is_on_stderr_only(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["inspect", *place.s3_options, place.url("absent")])

    captured = capsys.readouterr()
    assert (code, captured.out) == (1, "")
    assert one_line(captured.err)


def test_json_when_looked_for_is_an_option_and_no_operand() -> None:
    assert wants_json(["ls", "--json"])
    assert not wants_json(["ls", "--", "--json"])
    assert not wants_json(["ls", "--jsonl"])


def _one(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_cache_commands_when_json_is_asked_for_print_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--folder", str(tmp_path / "cache")]

    stats = _one(capsys, "cache", "stats", *folder)

    assert list(stats) == ["folder", "entry_count", "stored_bytes", "max_entries", "max_bytes"]
    assert stats["folder"] == str(tmp_path / "cache")
    assert _one(capsys, "cache", "clear", *folder) == {"dropped": 0}
    assert _one(capsys, "cache", "rekey", *folder) == {"sealed": 0}


def test_keygen_when_json_is_asked_for_prints_the_public_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"

    found = _one(capsys, "audit", "keygen", str(file))

    assert (found["file"], len(bytes.fromhex(found["public_key"]))) == (str(file), 32)


def test_report_when_json_and_another_format_are_asked_for_refuses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")

    assert run(["audit", "report", "--json", str(log)]) == 0
    assert capsys.readouterr().out == ""
    assert _one(capsys, "audit", "report", "--format", "csv", str(log), code=2)["error"]["class"] == "UsageError"


def test_checks_when_json_is_asked_for_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["compliance", "checks", "--json"])

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert all(set(one) == {"id", "proves", "controls"} for one in found)
    assert len(found) > 20


def test_export_and_decrypt_when_json_is_asked_for_print_nothing_else(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("a", b"content")
    body, target = tmp_path / "body", tmp_path / "plain"
    body.write_bytes(place.stored("a")[0])

    envelope = _one(capsys, "keys", "export", *place.s3_options, place.url("a"))
    decrypting = ["decrypt", str(body), "--envelope", json.dumps(envelope), *place.options[2:]]
    told = _one(capsys, *decrypting, "--output", str(target))
    refused = _one(capsys, *decrypting, code=2)

    assert envelope["key"] == "a"
    assert told == {"key": "a", "output": str(target), "bytes": 7}
    assert target.read_bytes() == b"content"
    assert "needs --output" in refused["error"]["message"]


@pytest.mark.slow
def test_demo_when_json_is_asked_for_prints_one_object() -> None:
    done = run_process("demo", "--size", "1", "--json")

    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["failed"], found["held"]) == (0, len(found["steps"]))
    assert {"step", "held", "told"} == set(found["steps"][0])
    assert b"steps held" in done.stderr
