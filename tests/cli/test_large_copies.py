"""A large folder copied up and down, interrupted again and again: nothing is lost, sent twice or left behind.

500 MiB; with `--large` 10 GiB, which need about 35 GiB of disk:

    pytest -m slow -n 0 --large tests/cli/test_large_copies.py
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from s3envelope.testing.s3_proxy import Latency, RecordedRequest
from tests.cli.commands import COMMAND, Place, environment, one_line, run_process
from tests.cli.trees import unfinished
from tests.conftest import ProxyFactory

pytestmark = pytest.mark.slow

MIB = 2**20
USUAL_MIB, LARGE_MIB = 500, 10_240
PART_SIZE = 8 * MIB
JOBS = 4
_PIECE_SIZE = 16 * MIB
Matches = Callable[[RecordedRequest], bool]


def _make_files(root: Path, total_mib: int) -> dict[str, str]:
    """Make files of all kinds, together of the total size; return their hashes by name."""
    sizes = {"half": total_mib * MIB // 2 + 1, "even": total_mib * MIB // 4 // PART_SIZE * PART_SIZE, "empty": 0}
    sizes.update({f"small/{number}": 1000 * number for number in range(40)})
    left = total_mib * MIB - sum(sizes.values())
    sizes.update({f"parts/{number}": left // 5 for number in range(5)})
    hashes = {}
    for name, size in sizes.items():
        path, digest = root / name, hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, size, _PIECE_SIZE):
                piece = os.urandom(min(size - start, _PIECE_SIZE))
                file.write(piece)
                digest.update(piece)
        hashes[name] = digest.hexdigest()
    return hashes


def _hashes(root: Path) -> dict[str, str]:
    found = {}
    for path in root.rglob("*"):
        if path.is_file():
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(_PIECE_SIZE):
                    digest.update(piece)
            found[path.relative_to(root).as_posix()] = digest.hexdigest()
    return found


def _is_part(request: RecordedRequest) -> bool:
    return request.method == "PUT" and "partNumber=" in request.query


def _is_range(request: RecordedRequest) -> bool:
    return request.method == "GET" and request.header("range").startswith("bytes=")


class _Counter:
    """Counts requests, and sends a process a signal at one of them."""

    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        self._lock = threading.Lock()
        self._left = 0
        self.count = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.number = 0

    def arm(self, after: int, number: int) -> None:
        with self._lock:
            self._left, self.number, self.process = after, number, None

    def see(self, request: RecordedRequest) -> bool:
        """Count a request; it suffers nothing."""
        if not self._matches(request):
            return False
        with self._lock:
            self.count += 1
            self._left -= 1
            if self._left == 0 and self.process is not None:
                self.process.send_signal(self.number)
        return False


def _stopped(counter: _Counter, after: int, number: int, *arguments: str) -> tuple[int, bytes]:
    """Run `cp` and send it a signal after so many requests."""
    counter.arm(after, number)
    command = [*COMMAND, "cp", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), start_new_session=True) as process:
        counter.process = process
        _, error = process.communicate(timeout=3600)
    return process.returncode, error


def test_cp_when_a_large_folder_is_interrupted_and_resumed_keeps_every_byte_and_leaves_no_upload(
    real_place: Place,
    http_proxy: ProxyFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:
    total_mib = LARGE_MIB if pytestconfig.getoption("--large") else USUAL_MIB
    states = tmp_path / "states"
    monkeypatch.setenv("S3ENVELOPE_STATE_DIR", str(states))
    hashes = _make_files(tmp_path / "up", total_mib)
    proxy, endpoint = http_proxy(real_place.endpoint)
    place = dataclasses.replace(real_place, endpoint=endpoint)
    sent, read = _Counter(_is_part), _Counter(_is_range)
    for counter in (sent, read):
        proxy.inject(Latency(0), counter.see, times=None)
    options = ["--recursive", "--resume", "--jobs", str(JOBS), *place.options]
    up, down = [str(tmp_path / "up"), place.url("p")], [place.url("p"), str(tmp_path / "down")]
    step = total_mib * MIB // PART_SIZE // 6
    signals = [signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGINT]

    stopped = [_stopped(sent, step, number, *options, *up) for number in signals]
    done = run_process("cp", *options, *up, timeout=3600)
    # Sent twice at most: what was under way at each signal, and a small last part, with its index.
    sizes = [size for size in (path.stat().st_size for path in (tmp_path / "up").rglob("*")) if size >= PART_SIZE]
    most = sum(-(-size // PART_SIZE) + 1 for size in sizes) + len(signals) * JOBS * JOBS
    told = b"".join([*(error for _, error in stopped), done.stderr])
    left_above = (unfinished(real_place), [path.name for path in states.rglob("*.json")])

    came = [_stopped(read, 2 * step, signal.SIGINT, *options, *down) for _ in range(2)]
    partial = set(_hashes(tmp_path / "down").items()) - set(hashes.items())
    down_again = run_process("cp", *options, *down, timeout=3600)

    assert [code for code, _ in stopped] == [-signal.SIGKILL, 130, -signal.SIGKILL, 130]
    assert done.returncode == 0, one_line(done.stderr)
    assert b"begins anew" not in told, told
    assert sent.count <= most
    assert left_above == ([], []), told
    assert [path.name for path in states.rglob("*") if path.is_file()] == ["lock"]
    assert ([code for code, _ in came], partial) == ([130, 130], set())
    assert down_again.returncode == 0, one_line(down_again.stderr)
    assert _hashes(tmp_path / "down") == hashes
