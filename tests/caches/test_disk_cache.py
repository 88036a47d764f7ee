"""The disk cache by itself: what survives, what its files show, its limits, and what people do with it."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from s3envelope import CacheKeyFile, DiskCache, SecretBytes
from s3envelope.caches import disk
from s3envelope.caches.sealed import Moment, digest_of
from s3envelope.errors import CacheError, ConfigurationError
from tests.support.caching import CONTEXT, Place, Process

NOW = Moment(1_800_000_000.0, 5000.0)
KEPT = 86_400.0
SECRET = bytes(range(100, 132))


def _cache(root: Path, **arguments: int) -> DiskCache:
    return DiskCache(root / "cache", key=CacheKeyFile(root / "cache.key"), **arguments)


def _write(cache: DiskCache, name: str, material: bytes = SECRET) -> None:
    with SecretBytes(material) as secret:
        cache.write(digest_of((name.encode(),)), secret, NOW, KEPT)


def _read(cache: DiskCache, name: str) -> bytes | None:
    found = cache.read(digest_of((name.encode(),)), NOW)
    return None if found is None else bytes(found.secret.view())


def test_entry_when_written_is_read_by_another_cache_of_the_folder(tmp_path: Path) -> None:
    _write(_cache(tmp_path), "a")

    found = _cache(tmp_path).read(digest_of((b"a",)), NOW)

    assert found is not None
    assert (found.verified, bytes(found.secret.view())) == (NOW, SECRET)
    assert _read(_cache(tmp_path), "b") is None


def test_entry_when_written_by_another_process_is_read(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.caches.test_disk_cache import _cache, _write\n"
        "_write(_cache(Path(sys.argv[1])), 'a')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)

    assert _read(_cache(tmp_path), "a") == SECRET


def test_entry_when_removed_is_gone_for_everyone(tmp_path: Path) -> None:
    first, second = _cache(tmp_path), _cache(tmp_path)
    _write(first, "a")
    assert _read(second, "a") == SECRET

    second.remove(digest_of((b"a",)))

    assert _read(first, "a") is None


def test_files_when_searched_show_nothing_that_is_readable(place: Place) -> None:
    keys, data_key = place.new_keys()
    Process(place).open(keys)

    files = [path for path in place.folder.rglob("*") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    shown = content + b"".join(path.name.encode() for path in files)

    assert place.cache().stats().entry_count == 2
    cache_key = (place.root / "cache.key").read_bytes()
    readable = [place.arn, place.arn.rpartition("/")[2], place.alias, "canary", "acme", "AKIDCANARY", "http", "kms"]
    hidden = [data_key, cache_key, keys[0].ciphertext, CONTEXT.canonical, *(text.encode() for text in readable)]
    assert [secret for secret in hidden if secret in shown or secret.hex().encode() in shown] == []


def test_folder_when_made_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    program = (
        "import os, sys; os.umask(0); from pathlib import Path\n"
        "from tests.caches.test_disk_cache import _cache, _write\n"
        "_write(_cache(Path(sys.argv[1])), 'a')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cache").iterdir()}
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "cache.key").stat().st_mode) == 0o600


def test_folder_when_others_can_only_read_it_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)

    _write(_cache(tmp_path), "a")

    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert _read(_cache(tmp_path), "a") == SECRET


def test_default_when_nothing_is_named_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3ENVELOPE_CACHE_DIR")

    assert DiskCache().folder == platformdirs.user_cache_path("s3envelope", appauthor=False) / "keys"


@pytest.mark.parametrize("name", ["S3ENVELOPE_CACHE_DIR", "S3ENVELOPE_CACHE_KEY_FILE"])
def test_default_when_there_is_no_whole_path_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "~/keys")

    with pytest.raises(CacheError, match=f"set {name} to a whole path"):
        DiskCache().stats()

    assert list(tmp_path.iterdir()) == []


def test_cache_when_it_is_made_and_never_used_makes_no_file(tmp_path: Path) -> None:
    cache = _cache(tmp_path)

    assert repr(cache) == f"DiskCache({str(tmp_path / 'cache')!r})"
    assert list(tmp_path.iterdir()) == []


def test_entries_when_too_many_lose_those_that_were_stored_longest_ago(tmp_path: Path) -> None:
    cache = _cache(tmp_path, max_entries=5)

    for number in range(12):
        _write(cache, str(number))

    assert [number for number in range(12) if _read(cache, str(number))] == [7, 8, 9, 10, 11]
    assert cache.stats().entry_count == 5


def test_entry_when_it_was_read_lately_outlives_those_that_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, later = time.time(), 61.0
    cache = _cache(tmp_path, max_entries=3)
    for name in "abc":
        _write(cache, name)

    # diskcache notes the time of storing by this clock too.
    monkeypatch.setattr(time, "time", lambda: now + later)
    assert _read(cache, "a") == SECRET
    _write(cache, "d")

    assert [name for name in "abcd" if _read(cache, name)] == ["a", "c", "d"]


def test_entry_when_read_often_is_noted_once_a_minute(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    _write(cache, "a")
    _read(cache, "a")
    before = (tmp_path / "cache" / "cache.db").stat().st_mtime_ns

    for _ in range(100):
        assert _read(cache, "a") == SECRET

    assert (tmp_path / "cache" / "cache.db").stat().st_mtime_ns == before


def test_bytes_when_too_many_are_given_back(tmp_path: Path) -> None:
    cache, limit = _cache(tmp_path, max_bytes=256 * 1024, max_entries=1_000_000), 256 * 1024

    for number in range(1500):
        _write(cache, str(number), bytes(256))

    assert _read(cache, "1499") == bytes(256)
    assert _read(cache, "0") is None
    size = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir())
    assert size <= limit + 64 * 1024


def test_entry_when_its_time_is_up_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, now = _cache(tmp_path), time.time()
    _write(cache, "a")

    monkeypatch.setattr(time, "time", lambda: now + KEPT + 1)

    assert _read(cache, "a") is None


def test_stats_and_clear_when_asked_tell_and_empty(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    for name in "abc":
        _write(cache, name)

    stats = cache.stats()
    assert (stats.entry_count, stats.folder, stats.max_entries) == (3, tmp_path / "cache", 10_000)
    assert 0 < stats.stored_bytes <= stats.max_bytes
    assert cache.clear() == 3
    assert cache.stats().entry_count == 0
    assert [_read(cache, name) for name in "abc"] == [None] * 3


def test_rekey_when_done_keeps_the_entries_and_leaves_nothing_under_the_old_key(tmp_path: Path) -> None:
    cache, key_file = _cache(tmp_path), tmp_path / "cache.key"
    for name in "abc":
        _write(cache, name, name.encode() * 32)
    old_key = key_file.read_bytes()

    assert cache.rekey() == 3

    assert key_file.read_bytes() != old_key
    assert [_read(cache, name) for name in "abc"] == [name.encode() * 32 for name in "abc"]
    assert [_read(_cache(tmp_path), name) for name in "abc"] == [name.encode() * 32 for name in "abc"]
    key_file.write_bytes(old_key)
    assert [_read(_cache(tmp_path), name) for name in "abc"] == [None] * 3


def test_people_when_the_cache_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)

    for act in (_cache(tmp_path).stats, _cache(tmp_path).clear, _cache(tmp_path).rekey):
        with pytest.raises(CacheError, match="others can write"):
            act()


@pytest.mark.parametrize(
    "arguments", [{"max_bytes": 1000}, {"max_bytes": 1e9}, {"max_entries": 0}, {"key": "a passphrase"}]
)
def test_arguments_when_not_legal_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        DiskCache(**arguments)


def test_log_when_the_same_is_wrong_again_and_again_has_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_bytes(b"")
    monkeypatch.setattr(disk, "_PAUSE_SECONDS", 0)
    cache = _cache(tmp_path)

    for _ in range(20):
        assert _read(cache, "a") is None

    assert len(caplog.records) == 1
