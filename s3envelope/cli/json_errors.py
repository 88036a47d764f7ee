"""Errors as JSON, for pipelines: the last line of stdout when `--json` is among the arguments and a command fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

_FLAG, _END_OF_OPTIONS = "--json", "--"


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether a command line asks for JSON; it need not be one that can be understood."""
    for argument in arguments:
        if argument == _END_OF_OPTIONS:
            return False
        if argument == _FLAG:
            return True
    return False


def tell_as_json(arguments: Sequence[str], error_class: str, message: str) -> None:
    """Print an error to stdout as one line, if JSON is asked for."""
    if wants_json(arguments):
        error = {"class": error_class, "message": " ".join(message.split())}
        print(json.dumps({"error": error}), file=sys.stdout, flush=True)
