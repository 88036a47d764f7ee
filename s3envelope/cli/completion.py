"""`s3envelope completion`: the script that lets a shell complete commands, options, files and names in S3."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from s3envelope.cli.completion_scripts import BASH, ZSH

COMPLETE_VARIABLE = "_S3ENVELOPE_COMPLETE"
_PROGRAM = "s3envelope"
_S3 = "s3://"
_S3_TYPE, _FILE_TYPE = "s3", "file"
_SPECIAL = frozenset(" \t'\"\\$`!*?[]{}()<>|&;#~^")
_MOST_NAMES = 200
# Arguments of these may be files; click does not know, for they may be in S3 too.
_WITH_FILES = frozenset({"cp", "mv", "sync"})
_CONNECTION = ("--profile", "--region", "--endpoint-url")
# Whoever presses a key does not wait.
_QUICK = {"connect_timeout": 2, "read_timeout": 4, "retries": {"total_max_attempts": 1}, "max_pool_connections": 1}


class _Completing(ShellComplete):
    """What all shells have in common: names in S3, beside what click knows."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        option, sign, value = incomplete.partition("=")
        wanted = value if sign and option.startswith("--") else incomplete
        if wanted.startswith(_S3):
            return [CompletionItem(name, type=_S3_TYPE) for name in names_in_s3(args, wanted)]
        found = super().get_completions(args, incomplete)
        if found or incomplete.startswith("-"):
            return found
        if wanted and _S3.startswith(wanted):
            return [CompletionItem(_S3, type=_S3_TYPE)]
        if args and args[0] in _WITH_FILES:
            return [CompletionItem(incomplete, type=_FILE_TYPE)]
        return [] if wanted else [CompletionItem(_S3, type=_S3_TYPE)]


class _Bash(_Completing, BashComplete):
    """bash breaks words at colons: it must get only what comes after the last one."""

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        is_new = line[-1:].isspace() and not line.endswith("\\ ")
        incomplete = "" if is_new or len(words) < 2 else words.pop()
        self._start = incomplete.rpartition("=")[2] if incomplete.startswith("--") else incomplete
        return words[1:], incomplete

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        found = super().get_completions(args, incomplete)
        if self._is_quoted:
            # The script quotes for a bare word. In quotes, these would be taken as they are.
            return [one for one in found if _SPECIAL.isdisjoint(one.value)]
        return found

    def format_completion(self, item: CompletionItem[str]) -> str:
        value = item.value
        breaks_at_colons = ":" in os.environ.get("COMP_WORDBREAKS", ":") and not self._is_quoted
        if breaks_at_colons and item.type == _S3_TYPE:
            value = value[self._start.rfind(":") + 1 :]
        return f"{item.type},{value}"

    @property
    def _is_quoted(self) -> bool:
        return os.environ.get("COMP_WORD", "")[:1] in ("'", '"')


class _Zsh(_Completing, ZshComplete):
    """The script leaves away the space after a folder."""

    source_template = ZSH


class _Fish(_Completing, FishComplete):
    """fish knows no types but its own."""

    def format_completion(self, item: CompletionItem[str]) -> str:
        if item.type == _S3_TYPE:
            item = CompletionItem(item.value)
        return super().format_completion(item)


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print the script that makes a shell complete commands, options, files and s3://BUCKET/KEY.

    For bash put `eval "$(s3envelope completion bash)"` into ~/.bashrc; for zsh the same with zsh into ~/.zshrc, after
    compinit; for fish send its output to ~/.config/fish/completions/s3envelope.fish. Names in S3 are listed with the
    profile, Region and endpoint of the command line or of the environment; what cannot be listed is not completed.
    """
    made = _SHELLS[shell](context.find_root().command, {}, _PROGRAM, COMPLETE_VARIABLE)
    click.echo(made.source(), nl=False)


def complete(root: click.Command, instruction: str) -> int:
    """Answer the script of a shell: print what a word can go on with.

    Args:
        instruction: "bash_complete", for example.
    """
    shell, _, what = instruction.partition("_")
    if shell not in _SHELLS or what != "complete":
        return 1
    try:
        found = _SHELLS[shell](root, {}, _PROGRAM, COMPLETE_VARIABLE).complete()
    except Exception:  # noqa: BLE001  # the outermost frame: a traceback would be printed into the line that is being written
        return 1
    # Keys may hold what no terminal's encoding has.
    sys.stdout.buffer.write(found.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()
    return 0


def names_in_s3(args: Sequence[str], incomplete: str) -> list[str]:
    """Return locations that go on with an incomplete one: buckets, then names up to the next slash.

    Nothing, where they cannot be listed.

    Args:
        args: The words before; of them, those that say how S3 is reached.
        incomplete: Begins with `s3://`.
    """
    bucket, slash, prefix = incomplete[len(_S3) :].partition("/")
    profile, region, endpoint_url = (_value_of(args, option) for option in _CONNECTION)
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        with closing(session.client("s3", endpoint_url=endpoint_url, config=Config(**_QUICK))) as client:  # type: ignore[arg-type]
            if not slash:
                answer = client.list_buckets()
                found = [f"{one['Name']}/" for one in answer.get("Buckets", ()) if one["Name"].startswith(bucket)]
                return [_S3 + name for name in found[:_MOST_NAMES]]
            page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=_MOST_NAMES)
    except (ClientError, BotoCoreError, ValueError):
        # No credentials, no such bucket, no network, an endpoint that is no URL: there is nothing to offer.
        return []
    keys = [one["Prefix"] for one in page.get("CommonPrefixes", ())] + [one["Key"] for one in page.get("Contents", ())]
    # A line break would be two completions.
    return [f"{_S3}{bucket}/{key}" for key in keys if key.isprintable()]


def _value_of(args: Sequence[str], option: str) -> str | None:
    """Return the value of an option on a line that need not be whole."""
    found = None
    for word, following in _pairs(args):
        name, sign, value = word.partition("=")
        if name == option:
            found = value if sign else following
    return found


def _pairs(args: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    return zip(args, [*args[1:], None], strict=False)
