"""The `s3envelope` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from s3envelope.cli.json_errors import tell_as_json

_USAGE_ERROR, _INTERRUPTED = 2, 130
# The extra that installs a package; whatever else is missing is a fault of the installation.
_EXTRAS = {
    "click": "cli",
    "rich": "cli",
    "moto": "demo",
    "flask": "demo",
    "flask_cors": "demo",
    "werkzeug": "demo",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: Without the name of the program; by default those of the process.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        # Imported here, so that someone who installed the library alone is told what the command needs.
        from s3envelope.cli.app import run

        return run(given)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        extra = _EXTRAS[package]
        message = f"this needs {package}; install it with: pip install 's3envelope[{extra}]'"
        print(f"s3envelope: {message}", file=sys.stderr)
        tell_as_json(given, type(error).__name__, message)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        # Before the commands were imported; from then on they deal with it.
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
