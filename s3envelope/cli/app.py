"""The group of all commands, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from s3envelope._version import __version__
from s3envelope.cli.completion import COMPLETE_VARIABLE, complete
from s3envelope.cli.failures import INTERRUPTED, explain
from s3envelope.cli.json_errors import tell_as_json
from s3envelope.cli.output import complain

_PROGRAM = "s3envelope"
_FAILED = 1
# Each in the module of its name; the pages have a package.
_COMMANDS = (
    "audit",
    "bench",
    "cache",
    "cat",
    "completion",
    "compliance",
    "cp",
    "decrypt",
    "demo",
    "doctor",
    "inspect",
    "keys",
    "ls",
    "migrate",
    "mv",
    "rebind",
    "rm",
    "rotate",
    "sync",
    "ui",
    "uploads",
    "verify",
)
_MODULES = {"ui": "ui.command"}


class Commands(click.Group):
    """Imports a command when it is asked for: a process runs one, and what the others need takes as long again."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; `None` if there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"s3envelope.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name)
        return command


@dataclass(slots=True)
class _Settings:
    """What the group's own options say."""

    debug: bool = False


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=_PROGRAM, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
def commands(settings: _Settings, *, debug: bool) -> None:
    """Objects in S3, encrypted on this machine with keys from AWS KMS.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    settings.debug = debug


def _show_warnings() -> None:
    """Let the warnings of the library be read in the terminal, unless the process has a log of its own."""
    if logging.lastResort is not None and not logging.getLogger().handlers:
        logging.getLogger(_PROGRAM).addHandler(logging.lastResort)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    if COMPLETE_VARIABLE in os.environ:
        return complete(commands, os.environ[COMPLETE_VARIABLE])
    settings = _Settings()
    _show_warnings()
    try:
        code = commands.main(list(arguments), prog_name=_PROGRAM, standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        tell_as_json(arguments, type(error).__name__, error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        tell_as_json(arguments, "Interrupted", "interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except ModuleNotFoundError:
        raise
    except Exception as error:  # the outermost frame: any error becomes a line and an exit code; --debug shows it whole
        failure = explain(error)
        tell_as_json(arguments, type(error).__name__, failure.line)
        if settings.debug:
            raise
        complain(failure.line)
        return failure.exit_code
