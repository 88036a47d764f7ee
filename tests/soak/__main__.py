"""`python -m tests.soak`: see the package."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.conftest import _seal_environment
from tests.soak.measure import share_the_heap
from tests.soak.soak import Plan, Soak
from tests.support import servers


def main() -> int:
    """Run a soak, print its table, and return 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", choices=["seaweedfs", "moto"], default="seaweedfs")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    given = parser.parse_args()
    _seal_environment()
    share_the_heap()
    seconds = given.minutes * 60
    warm_up_seconds = min(seconds / 5, 60)
    plan = Plan(warm_up_seconds, seconds - warm_up_seconds, given.threads, given.keys, given.seed)
    server = {"seaweedfs": servers.seaweedfs, "moto": servers.strict_moto}[given.server]
    with server() as storage, tempfile.TemporaryDirectory(prefix="s3envelope-soak-") as folder:
        report = Soak(storage, plan, Path(folder), lambda line: print(line, file=sys.stderr, flush=True)).run()
    print(report.as_table())
    if given.json is not None:
        given.json.write_text(json.dumps(report.as_json(), indent=1))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
