"""Where the cache key comes from; another key is a miss, and no key is one too."""

from __future__ import annotations

import base64
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from s3envelope import (
    CacheKeyFile,
    CacheKeyInKeyring,
    CacheKeyPassphrase,
    CacheKeySource,
    CacheKeyVariable,
    DiskCache,
    SecretBytes,
)
from s3envelope.caches import key_sources
from s3envelope.caches.sealed import Moment, digest_of
from s3envelope.errors import CacheError, ConfigurationError
from tests.support.caching import Place, Process

NOW = Moment(1_800_000_000.0, 0.0)
DIGEST = digest_of((b"entry",))
VARIABLE = "S3ENVELOPE_CACHE_KEY"


class MemoryKeyring(KeyringBackend):  # type: ignore[misc]
    """An operating system's keyring that forgets."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def system_keyring() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


def _new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def _keeps(folder: Path, writer: CacheKeySource | None, reader: CacheKeySource | None) -> bool:
    """Write with one source of keys and tell whether another one reads it."""
    with SecretBytes(b"k" * 32) as secret:
        DiskCache(folder, key=writer).write(DIGEST, secret, NOW, 100)
    found = DiskCache(folder, key=reader).read(DIGEST, NOW)
    assert found is None or bytes(found.secret.view()) == b"k" * 32
    return found is not None


def test_file_when_first_needed_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cache.key"

    assert _keeps(tmp_path / "cache", CacheKeyFile(path), CacheKeyFile(path))
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_size) == (0o600, 32)


@pytest.mark.parametrize("loss", ["unlink", "other bytes"])
def test_file_when_lost_or_changed_makes_every_entry_a_miss(place: Place, loss: str) -> None:
    keys, data_key = place.new_keys()
    Process(place).open(keys)
    key_file = place.root / "cache.key"
    key_file.unlink()
    if loss == "other bytes":
        key_file.write_bytes(os.urandom(32))
        key_file.chmod(0o600)
    place.kms.clear_calls()

    assert Process(place).open(keys) == data_key
    assert place.kms.count("Decrypt") == 1


@pytest.mark.parametrize(
    ("mode", "content"), [(0o640, bytes(32)), (0o604, bytes(32)), (0o600, bytes(31)), (0o600, bytes(33)), (0o600, b"")]
)
def test_file_when_it_is_not_private_or_no_key_is_not_used(
    tmp_path: Path, mode: int, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.key"
    path.write_bytes(content)
    path.chmod(mode)

    assert not _keeps(tmp_path / "cache", CacheKeyFile(path), CacheKeyFile(path))
    assert any(record.levelno == logging.WARNING for record in caplog.records)
    assert path.read_bytes() == content


@pytest.mark.parametrize("place_of_key", ["cache/cache.key", "cache/deeper/cache.key", "link/cache.key"])
def test_file_when_in_the_folder_of_the_cache_is_refused(tmp_path: Path, place_of_key: str) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    source = CacheKeyFile(tmp_path / place_of_key)

    with pytest.raises(CacheError, match="keep it elsewhere"):
        source.load(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_variable_when_set_is_the_key_and_another_value_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", _new_key())
    monkeypatch.setenv("OTHER_KEY", _new_key())

    assert _keeps(tmp_path / "cache", CacheKeyVariable("MY_KEY"), CacheKeyVariable("MY_KEY"))
    assert not _keeps(tmp_path / "cache", CacheKeyVariable("MY_KEY"), CacheKeyVariable("OTHER_KEY"))


def test_variable_when_the_default_one_is_set_is_taken_and_no_key_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, _new_key())
    monkeypatch.setenv("S3ENVELOPE_CACHE_KEY_FILE", str(tmp_path / "cache.key"))

    assert _keeps(tmp_path / "cache", None, CacheKeyVariable())
    assert not (tmp_path / "cache.key").exists()


@pytest.mark.parametrize("value", [None, "", "short", "ä" * 44, "A" * 42 + "==", "QUFB" * 10 + "QUE=\n", "QUFB" * 10])
def test_variable_when_it_is_no_key_is_told_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)

    with pytest.raises(CacheError, match="MY_KEY") as caught:
        CacheKeyVariable("MY_KEY").load(tmp_path)
    assert not value or value not in str(caught.value)
    assert not _keeps(tmp_path / "cache", CacheKeyVariable("MY_KEY"), CacheKeyVariable("MY_KEY"))


def test_passphrase_when_right_opens_and_when_wrong_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The cost is not what is tested.
    monkeypatch.setattr(key_sources, "_SCRYPT", {"n": 2, "r": 1, "p": 1})
    right, wrong = CacheKeyPassphrase("correct horse battery"), CacheKeyPassphrase("incorrect horse battery")

    assert _keeps(tmp_path / "cache", right, CacheKeyPassphrase(lambda: "correct horse battery"))
    assert not _keeps(tmp_path / "cache", right, wrong)
    assert "horse" not in repr(right)
    assert stat.S_IMODE((tmp_path / "cache" / "salt").stat().st_mode) == 0o600


def test_passphrase_when_the_salt_is_another_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sources, "_SCRYPT", {"n": 2, "r": 1, "p": 1})
    source = CacheKeyPassphrase("correct horse battery")
    assert _keeps(tmp_path / "cache", source, source)

    with source.load(tmp_path / "cache") as before:
        source.replace(tmp_path / "cache")
        with source.load(tmp_path / "cache") as after:
            assert before != after
    assert DiskCache(tmp_path / "cache", key=source).read(DIGEST, NOW) is None


def test_passphrase_when_stretched_is_what_scrypt_makes_of_it(tmp_path: Path) -> None:
    source = CacheKeyPassphrase("correct horse battery")

    with source.load(tmp_path) as first, source.load(tmp_path) as second:
        assert first == second
        assert len(first) == 32


@pytest.mark.parametrize("make", [str, lambda text: lambda: text], ids=["text", "function"])
def test_passphrase_when_short_is_refused(tmp_path: Path, make: type[str]) -> None:
    with pytest.raises(ConfigurationError, match="12 characters"):
        CacheKeyPassphrase(make("elevenchars")).load(tmp_path)


def test_keyring_when_first_needed_gets_an_entry_and_keeps_it(tmp_path: Path, system_keyring: MemoryKeyring) -> None:
    assert _keeps(tmp_path / "cache", CacheKeyInKeyring(), CacheKeyInKeyring())

    assert list(system_keyring.entries) == [("s3envelope", "data-key cache")]
    system_keyring.entries.clear()
    assert DiskCache(tmp_path / "cache", key=CacheKeyInKeyring()).read(DIGEST, NOW) is None


def test_keyring_when_rekeyed_has_another_entry(tmp_path: Path, system_keyring: MemoryKeyring) -> None:
    assert _keeps(tmp_path / "cache", CacheKeyInKeyring(), CacheKeyInKeyring())
    before = dict(system_keyring.entries)

    cache = DiskCache(tmp_path / "cache", key=CacheKeyInKeyring())

    assert cache.rekey() == 1
    assert system_keyring.entries != before
    assert cache.read(DIGEST, NOW) is not None


def test_keyring_when_there_is_none_or_a_foreign_entry_is_a_miss(
    tmp_path: Path, system_keyring: MemoryKeyring, caplog: pytest.LogCaptureFixture
) -> None:
    system_keyring.entries["s3envelope", "data-key cache"] = "not a key"
    assert not _keeps(tmp_path / "cache", CacheKeyInKeyring(), CacheKeyInKeyring())

    keyring.set_keyring(NoKeyring())

    assert not _keeps(tmp_path / "cache", CacheKeyInKeyring(), CacheKeyInKeyring())
    assert "not a key" not in caplog.text


def test_source_when_it_cannot_change_its_key_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", _new_key())
    cache = DiskCache(tmp_path / "cache", key=CacheKeyVariable("MY_KEY"))

    with pytest.raises(CacheError, match="cannot be changed from here"):
        cache.rekey()
