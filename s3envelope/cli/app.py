"""The group of all commands, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from s3envelope._version import __version__
from s3envelope.cli.cp import cp
from s3envelope.cli.demo import demo
from s3envelope.cli.failures import INTERRUPTED, explain
from s3envelope.cli.inspect import inspect
from s3envelope.cli.output import complain

_PROGRAM = "s3envelope"
_FAILED = 1


@dataclass(slots=True)
class _Settings:
    """What the group's own options say."""

    debug: bool = False


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=_PROGRAM, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
def commands(settings: _Settings, *, debug: bool) -> None:
    """Objects in S3, encrypted on this machine with keys from AWS KMS.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    settings.debug = debug


commands.add_command(cp)
commands.add_command(demo)
commands.add_command(inspect)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    settings = _Settings()
    try:
        code = commands.main(list(arguments), prog_name=_PROGRAM, standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except ModuleNotFoundError:
        raise
    except Exception as error:
        if settings.debug:
            raise
        failure = explain(error)
        complain(failure.line)
        return failure.exit_code
