"""A folder that fails, damaged, removed, held, full or read-only: a miss, and the key service opens the object."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from s3envelope.caches import disk
from tests.support.bad_cache import Keys, opens_by_key_service
from tests.support.caching import CONTEXT, Place, Process

_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda content: b"this is no database" * 100,
    "header flipped": lambda content: b"X" + content[1:],
    "cut in the header": lambda content: content[:50],
    "cut in a page": lambda content: content[: len(content) // 2 + 7],
    "middle overwritten": lambda content: content[:4096] + b"\xff" * (len(content) - 4096),
    "random": lambda content: random.Random(1).randbytes(len(content)),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_database_when_damaged_is_made_anew(
    place: Place, kept: tuple[Keys, bytes], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.database.write_bytes(_DAMAGES[damage](place.database.read_bytes()))

    opens_by_key_service(place, kept, caplog)
    assert Process(place, place.arn).open(kept[0]) == kept[1]
    place.kms.stop()
    assert Process(place, place.arn).open(kept[0]) == kept[1]


def test_database_when_any_page_byte_is_flipped_never_gives_a_wrong_key(place: Place, kept: tuple[Keys, bytes]) -> None:
    pristine, chosen = place.database.read_bytes(), random.Random(7)

    for _ in range(25):
        damaged = bytearray(pristine)
        for _ in range(chosen.choice([1, 1, 10, 200])):
            damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
        place.database.write_bytes(damaged)
        assert Process(place, place.arn).open(kept[0]) == kept[1]


def test_database_when_empty_is_a_miss(
    place: Place, kept: tuple[Keys, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    place.database.write_bytes(b"")

    opens_by_key_service(place, kept, caplog, logs=False)


def test_database_when_damaged_under_an_open_cache_is_a_miss(place: Place, kept: tuple[Keys, bytes]) -> None:
    process = Process(place, place.arn)
    process.open(kept[0])
    others = [place.new_keys() for _ in range(3)]

    place.database.write_bytes(b"\xff" * place.database.stat().st_size)

    assert [process.open(keys) for keys, _ in others] == [data_key for _, data_key in others]


def test_folder_when_removed_meanwhile_is_a_miss(place: Place, kept: tuple[Keys, bytes]) -> None:
    process = Process(place, place.arn)
    process.open(kept[0])

    shutil.rmtree(place.folder)
    others = [place.new_keys() for _ in range(3)]

    assert [process.open(keys) for keys, _ in others] == [data_key for _, data_key in others]
    # Another process makes it anew, and the first goes on.
    assert Process(place, place.arn).open(kept[0]) == kept[1]
    assert process.open(kept[0]) == kept[1]


@contextlib.contextmanager
def _held(place: Place) -> Iterator[None]:
    """Have another process hold the database."""
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(place.database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.communicate(timeout=30)


def test_database_when_another_process_holds_it_is_a_miss(
    place: Place, kept: tuple[Keys, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with _held(place):
        opens_by_key_service(place, kept, caplog)


def test_database_when_it_becomes_held_under_an_open_cache_is_a_miss(
    place: Place, kept: tuple[Keys, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_PAUSE_SECONDS", 0)
    process = Process(place, place.arn)
    process.open(kept[0])
    others = [place.new_keys() for _ in range(3)]

    with _held(place):
        assert [process.open(keys) for keys, _ in others] == [data_key for _, data_key in others]

    late, late_key = place.new_keys()
    assert process.open(late) == late_key
    assert Process(place, place.arn).manager.status_of(late, CONTEXT) is not None


@pytest.mark.parametrize("when", ["before it is opened", "while it is open"])
def test_disk_when_full_is_a_miss(
    place: Place, kept: tuple[Keys, bytes], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_PAUSE_SECONDS", 0)
    process = Process(place, place.arn)
    others = [place.new_keys() for _ in range(4)]
    if when == "while it is open":
        process.open(kept[0])
    # No file may grow any more: writing fails with EFBIG, as it fails with ENOSPC on a full disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        opened = [process.open(keys) for keys, _ in others]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert opened == [data_key for _, data_key in others]
    assert Process(place, place.arn).open(kept[0]) == kept[1]


def test_tmpfs_when_full_is_a_miss(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", str(place.folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs takes root; test_disk_when_full_is_a_miss has a limit of file sizes instead")
    process = Process(place, place.arn)
    try:
        objects = [place.new_keys() for _ in range(3)]
        assert [process.open(keys) for keys, _ in objects] == [data_key for _, data_key in objects]
        assert "full" in caplog.text
    finally:
        process.cache._close()
        subprocess.run(["umount", "--lazy", str(place.folder)], check=True)


_READ_ONLY = """
import logging, os, sys
from pathlib import Path
from s3envelope import CacheKeyFile, DiskCache, SecretBytes
from s3envelope.caches.sealed import Moment
logging.basicConfig()
root = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
cache = DiskCache(root / "cache", key=CacheKeyFile(root / "cache.key"))
assert cache.read(bytes(32), Moment(1_800_000_000.0, 0.0)) is None
with SecretBytes(bytes(32)) as secret:
    cache.write(bytes(32), secret, Moment(1_800_000_000.0, 0.0), 100)
assert cache.read(bytes(32), Moment(1_800_000_000.0, 0.0)) is None
"""


@pytest.mark.parametrize("what", ["folder", "database"])
def test_folder_when_read_only_is_a_miss(place: Place, kept: tuple[Keys, bytes], what: str) -> None:
    if os.geteuid() == 0:
        # To root nothing is read-only: somebody else is asked.
        for path in (place.root, *place.root.rglob("*")):
            os.chown(path, 65_534, 65_534)
        for parent in place.root.parents:
            if parent.stat().st_uid == 0 and parent.is_relative_to("/tmp/pytest-of-root"):  # noqa: S108
                parent.chmod(parent.stat().st_mode | 0o011)
    (place.folder if what == "folder" else place.database).chmod(0o500 if what == "folder" else 0o400)
    (place.folder / "cache.db-journal").unlink(missing_ok=True)

    done = subprocess.run(
        [sys.executable, "-c", _READ_ONLY, str(place.root)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "data-key cache" in done.stderr
