"""Several processes write one log, and one of them is killed: the chain is whole, and nothing that was kept is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3envelope.audit.chain import Entry, Finding
from s3envelope.audit.verify import verify

PROCESSES = 8
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


def _run(tmp_path: Path, **changes: Any) -> tuple[list[int], list[int]]:
    """Run the processes; return their exit codes, and how many events each was told are kept."""
    receipts = tmp_path / "receipts"
    receipts.mkdir()
    (tmp_path / "log").mkdir(mode=0o700)
    job = {
        "path": str(tmp_path / "log" / "audit.jsonl"),
        "receipts": str(receipts),
        "processes": PROCESSES,
        "killed": None,
        "kill_after": 0,
        "fsync": "never",
        **changes,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.audit_worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout), [(receipts / str(number)).stat().st_size for number in range(PROCESSES)]


def _written(tmp_path: Path) -> Iterator[Entry]:
    """Yield the records of a log that must be whole."""
    path = tmp_path / "log" / "audit.jsonl"
    for file in [*sorted(path.parent.glob("audit.jsonl.0*")), path]:
        with file.open("rb") as stream:
            for item in verify([(file.name, stream)], partial=True):
                assert not isinstance(item, Finding), item
                yield item


def _check(tmp_path: Path, count: int, codes: list[int], kept: list[int], killed: int) -> None:
    assert codes == [-signal.SIGKILL if number == killed else 0 for number in range(PROCESSES)]
    assert [number for number, each in enumerate(kept) if each != count] == [killed]
    seen = [0] * PROCESSES
    expected_sequence = 1
    for entry in _written(tmp_path):
        assert entry.head.sequence == expected_sequence
        expected_sequence += 1
        number, slash, index = str(entry.content.get("key", "")).partition("/")
        if slash:
            # The events of each process stand in its order, each once.
            assert int(index) == seen[int(number)]
            seen[int(number)] += 1
    # One event more may stand there of the one that was killed before it was told so.
    assert 0 <= seen[killed] - kept[killed] <= 1
    assert [each for number, each in enumerate(seen) if number != killed] == [count] * (PROCESSES - 1)


@pytest.mark.parametrize(
    ("count", "fsync", "most_bytes"),
    [
        (1000, "never", None),
        (200, "interval", 20_000),
        (25, "always", None),
        pytest.param(10_000, "always", None, marks=pytest.mark.slow),
        pytest.param(10_000, "interval", 10_000_000, marks=pytest.mark.slow),
    ],
)
def test_log_when_one_of_eight_writers_is_killed_is_whole_and_keeps_all(
    tmp_path: Path, count: int, fsync: str, most_bytes: int | None
) -> None:
    killed = 3

    codes, kept = _run(tmp_path, count=count, fsync=fsync, most_bytes=most_bytes, killed=killed, kill_after=count // 2)

    _check(tmp_path, count, codes, kept, killed)
