"""Completion, in real shells on a terminal: bash; zsh and fish where they are installed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.cli.completion import COMPLETE_VARIABLE, names_in_s3
from tests.cli.commands import Place, environment

_WAIT_SECONDS = 60
PROMPT = "READY> "
NAME = "a name;$(touch obeyed)`touch obeyed`"
# The command; it also tells what arguments the shell has made of a line.
PROGRAM = f"""#!/bin/sh
[ "$1" = told ] && {{ printf '<%s>\\n' "$@"; exit; }}
exec "{sys.executable}" -m s3envelope.cli.main "$@"
"""


class Shell:
    """A shell on a pseudo-terminal; what it shows is read until it says what is waited for."""

    def __init__(self, command: list[str], folder: Path, place: Place) -> None:
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        program = bin_folder / "s3envelope"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        changes = {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "dumb",
            "PS1": PROMPT,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "AWS_ENDPOINT_URL_S3": place.endpoint.url,
            "XDG_CONFIG_HOME": str(folder),
            "ZDOTDIR": str(folder),
        }
        self._main, other = pty.openpty()
        self._process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment(changes),
            cwd=folder,
            start_new_session=True,
        )
        os.close(other)
        self.shown = ""

    def type(self, keys: str) -> None:
        self.shown = ""
        os.write(self._main, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """Return what was shown since the last keys, as soon as the pattern is in it."""
        end = time.monotonic() + _WAIT_SECONDS
        while not re.search(pattern, self.shown):
            ready = select.select([self._main], [], [], max(0.0, end - time.monotonic()))[0]
            assert ready, f"{pattern!r} was not shown, but {self.shown!r}"
            self.shown += os.read(self._main, 65_536).decode(errors="replace")
        return self.shown

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._main)


@pytest.fixture
def bash(place: Place, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(["bash", "--norc", "--noprofile", "-i"], tmp_path, place)
    shell.wait_for(re.escape(PROMPT))
    shell.type('eval "$(s3envelope completion bash)"; echo do""ne\n')
    shell.wait_for("done\r?\n")
    yield shell
    shell.close()


def test_bash_when_tab_is_pressed_completes_names_in_s3_and_obeys_none(
    bash: Shell, place: Place, tmp_path: Path
) -> None:
    place.put_plain(f"folder/{NAME}", b"x")

    bash.type(f"s3envelope told s3://{place.bucket}/folder/a\t")
    # What is special to the shell comes quoted, and so stays a name.
    bash.wait_for(r"obeyed\\` ")
    bash.type("\n")
    bash.wait_for(re.escape(f"<{place.url('folder/')}{NAME}>"))
    assert not (tmp_path / "obeyed").exists()


@pytest.mark.slow
def test_bash_when_tab_is_pressed_completes_buckets_and_folders(bash: Shell, place: Place) -> None:
    place.put_plain("folder/name", b"x")

    bash.type(f"s3envelope rebind --from=s3://{place.bucket[:-4]}\t")
    bash.wait_for(f"{place.bucket[-4:]}/")
    bash.type("fol\t")
    bash.wait_for("der/")
    bash.type(f' "s3://{place.bucket}/fol\t')
    bash.wait_for("folder/")
    bash.type("\x15s3envelope told s3\t")
    bash.wait_for("s3://")


@pytest.mark.slow
def test_bash_when_tab_is_pressed_completes_commands_options_and_files(bash: Shell, tmp_path: Path) -> None:
    (tmp_path / "report.bin").write_bytes(b"x")

    bash.type("s3envelope rebi\t")
    bash.wait_for("rebind ")
    bash.type("--dry\t")
    bash.wait_for("--dry-run ")
    bash.type("\x15s3envelope decrypt repo\t")
    bash.wait_for("report.bin ")
    bash.type("\x15s3envelope cp repo\t")
    bash.wait_for("report.bin ")


@pytest.mark.slow
def test_bash_when_nothing_can_be_listed_stays_quiet(bash: Shell) -> None:
    bash.type('s3envelope cat s3://absent-bucket/a\t\t; echo qui""et\n')

    shown = bash.wait_for("quiet\r?\n|s3envelope: ")
    assert "Traceback" not in shown


@pytest.mark.slow
def test_zsh_when_tab_is_pressed_completes_names_in_s3(place: Place, tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    place.put_plain("folder/name", b"x")
    (tmp_path / ".zshrc").write_text("autoload -U compinit; compinit -u; unsetopt zle_bracketed_paste\n")
    shell = Shell(["zsh", "-i"], tmp_path, place)
    try:
        shell.type('eval "$(s3envelope completion zsh)"; echo do""ne\n')
        shell.wait_for("done\r?\n")
        shell.type("s3envelope rebi\t")
        shell.wait_for("rebind")
        shell.type(f"--from s3://{place.bucket}/fol\t")
        shell.wait_for("folder/")
        shell.type("na\t; echo [end]\n")
        shell.wait_for(r"\[end\]")
    finally:
        shell.close()


@pytest.mark.slow
def test_fish_when_asked_for_completions_has_names_in_s3(place: Place, tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    place.put_plain("folder/name", b"x")
    shell = tmp_path / "bin"
    shell.mkdir()
    program = shell / "s3envelope"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    script = (
        "s3envelope completion fish | source; complete -C's3envelope cat s3://{0}/fol'; complete -C's3envelope reb'"
    )
    changes = {
        "PATH": f"{shell}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL_S3": place.endpoint.url,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }

    done = subprocess.run(
        ["fish", "--no-config", "-c", script.format(place.bucket)],
        env=environment(changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    found = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert found == [f"s3://{place.bucket}/folder/", "rebind"], done.stderr


def test_names_when_the_line_says_how_s3_is_reached_are_listed_there(place: Place) -> None:
    place.put_plain("folder/name", b"x")
    place.put_plain("file", b"x")
    line = ["ls", "--region=eu-west-1", "--endpoint-url", place.endpoint.url]

    assert names_in_s3(line, f"s3://{place.bucket}/") == [f"s3://{place.bucket}/folder/", f"s3://{place.bucket}/file"]
    assert names_in_s3(line, f"s3://{place.bucket[:-2]}") == [f"s3://{place.bucket}/"]
    assert names_in_s3(line, "s3://absent-bucket/") == []
    assert names_in_s3(["ls", "--profile", "absent"], "s3://") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_when_asked_for_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["completion", shell])

    assert code == 0
    assert f"{COMPLETE_VARIABLE}={shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize("instruction", ["bash_source", "tcsh_complete", "", "bash_complete"])
def test_completion_when_the_instruction_is_none_prints_nothing(
    instruction: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(COMPLETE_VARIABLE, instruction)

    code = run([])

    assert code == 1
    assert capfd.readouterr() == ("", "")
