"""The `s3envelope` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

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
    try:
        # Imported here, so that someone who installed the library alone is told what the command needs.
        from s3envelope.cli.app import run

        return run(sys.argv[1:] if arguments is None else list(arguments))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        extra = _EXTRAS[package]
        print(f"s3envelope: this needs {package}; install it with: pip install 's3envelope[{extra}]'", file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        # Before the commands were imported; from then on they deal with it.
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
