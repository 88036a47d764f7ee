"""One cache folder and many processes and threads: nothing lost, no wrong key, no connection over a fork."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support import cache_worker
from tests.support.caching import Place, Process

OBJECT_COUNT = 40
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="what is tested is a fork, which Windows has not")


def _job(place: Place, **changes: Any) -> dict[str, Any]:
    keys = []
    for _ in range(OBJECT_COUNT):
        (key,), data_key = place.new_keys(cache_worker.CONTEXT)
        keys.append((key.hint.hex(), key.ciphertext.hex(), hashlib.sha256(data_key).hexdigest()))
    job = {
        "folder": str(place.folder),
        "key_file": str(place.root / "cache.key"),
        "kms": place.kms.endpoint_url,
        "arn": place.arn,
        "keys": keys,
        "processes": 8,
        "threads": 4,
        "seconds": 3,
        "max_entries": 1000,
        "forgetting": 0.0,
    }
    return {**job, **changes}


def _start(job: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.cache_worker"]
    # A group of its own, so that it can be killed with the processes that it forks.
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(job))
    worker.stdin.close()
    worker.stdin = None
    return worker


def _hammer(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Do a job and return what each of its processes saw."""
    lines = _start(job).communicate(timeout=job["seconds"] + 90)[0].splitlines()
    return [json.loads(line) for line in lines]


def _check(reports: list[dict[str, Any]], count: int) -> None:
    assert len(reports) == count
    assert [report["failures"] for report in reports] == [[]] * len(reports)
    assert sum(report["wrong"] for report in reports) == 0
    assert all(report["opened"] >= OBJECT_COUNT for report in reports)
    # A database that is held is a miss. Nobody may find it damaged.
    assert not [line for report in reports for line in report["logged"] if "damaged" in line or "anew" in line]


@pytest.mark.parametrize(
    ("seconds", "forgetting", "max_entries"),
    [
        pytest.param(3, 0.0, 1000, id="3 s"),
        pytest.param(3, 0.1, 15, id="3 s, forgetting and evicting"),
        pytest.param(20, 0.0, 1000, id="20 s", marks=pytest.mark.slow),
        pytest.param(20, 0.1, 15, id="20 s, forgetting and evicting", marks=pytest.mark.slow),
    ],
)
def test_folder_when_8_processes_with_4_threads_hammer_it_gives_no_wrong_key(
    place: Place, seconds: int, forgetting: float, max_entries: int
) -> None:
    job = _job(place, seconds=seconds, forgetting=forgetting, max_entries=max_entries)

    _check(_hammer(job), 8)

    if max_entries > OBJECT_COUNT:
        # What could not be stored while another process held the folder is, now that nobody does.
        _check(_hammer({**job, "processes": 1, "threads": 1, "seconds": 0}), 1)
        # All keys of all objects, each once.
        assert place.cache(max_entries=max_entries).stats().entry_count == OBJECT_COUNT
    else:
        assert place.cache(max_entries=max_entries).stats().entry_count <= max_entries


def test_database_when_writers_are_killed_is_whole(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    job = _job(place, processes=2, seconds=60, forgetting=0.5)
    for _ in range(3):
        place.kms.clear_calls()
        worker = _start(job)
        # As soon as they have written something.
        while place.kms.count("Decrypt") < 20:
            assert worker.poll() is None
            time.sleep(0.005)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate(timeout=30)

    keys, data_key = place.new_keys()
    assert Process(place, place.arn).open(keys) == data_key
    place.kms.stop()
    assert Process(place, place.arn).open(keys) == data_key
    assert "damaged" not in caplog.text
    assert "anew" not in caplog.text


_FORK = """
import os, sys, json, hashlib
from pathlib import Path
from s3envelope import CacheKeyFile, CacheLimits, DiskCache, KmsKeyring
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.stores.system import system_ports
from tests.support.cache_worker import CONTEXT, _kms_client

job = json.loads(sys.stdin.read())
keys = [(EncryptedDataKey(bytes.fromhex(h), bytes.fromhex(t)), m) for h, t, m in job["keys"]]
cache = DiskCache(job["folder"], key=CacheKeyFile(Path(job["key_file"])))
manager = CachingMaterialsManager(KmsKeyring(job["arn"], _kms_client(job["kms"])), CacheLimits(), system_ports(),
                                  disk=cache)

def check(some):
    for key, mark in some:
        found = manager.open_with_data_key([key], CONTEXT, lambda secret: hashlib.sha256(secret.view()).hexdigest())
        assert found == mark

check(keys[:20])
before = cache._opened.database._connection
if {locked}:
    # What another thread of the parent held when it forked.
    manager._lock.acquire(); cache._lock.acquire(); manager._flights._guard.acquire()
child = os.fork()
if child == 0:
    check(keys)
    assert cache._opened.database._connection is not before
    assert len(manager._opened) == len(keys)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
if {locked}:
    manager._lock.release(); cache._lock.release(); manager._flights._guard.release()
check(keys)
assert cache._opened.database._connection is before
print("both went on")
"""


@pytest.mark.parametrize("locked", [False, True])
def test_cache_when_used_before_a_fork_works_in_parent_and_child(place: Place, locked: bool) -> None:
    program = _FORK.replace("{locked}", str(locked))

    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        input=json.dumps(_job(place)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "both went on\n"), done.stderr
    # The child read on disk what the parent had opened, and the parent what the child had.
    assert place.kms.count("Decrypt") == OBJECT_COUNT
