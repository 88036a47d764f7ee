"""`s3envelope cache`: stats, clear and rekey, on the cache that the library fills."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import Place, one_line

OUTPUT = pytest.CaptureFixture[str]


@pytest.fixture
def filled(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache with one data key and one alias."""
    folder = tmp_path / "keys"
    monkeypatch.setenv("S3ENVELOPE_CACHE_DIR", str(folder))
    monkeypatch.setenv("S3ENVELOPE_CACHE_KEY_FILE", str(tmp_path / "cache.key"))
    place.put_sealed("k", b"content")
    place.sealing_client().get_object(Bucket=place.bucket, Key="k")["Body"].read()
    return folder


def _told(capsys: OUTPUT, *arguments: str) -> str:
    assert run(["cache", *arguments]) == 0
    return capsys.readouterr().out


def test_cache_when_asked_shows_folder_entries_and_size(filled: Path, capsys: OUTPUT) -> None:
    shown = _told(capsys, "stats")

    assert str(filled) in shown.replace("\n", "")
    assert "entries: 2 of at most 10000" in shown
    assert "of at most 16,777,216 bytes" in shown


def test_cache_when_cleared_makes_the_next_read_ask(filled: Path, place: Place, capsys: OUTPUT) -> None:
    assert "2 entries dropped" in _told(capsys, "clear")
    place.kms.clear_calls()

    place.sealing_client().get_object(Bucket=place.bucket, Key="k")["Body"].read()

    assert place.kms.count("Decrypt") == 1


def test_cache_when_rekeyed_serves_under_the_new_key(
    filled: Path, place: Place, tmp_path: Path, capsys: OUTPUT
) -> None:
    before = (tmp_path / "cache.key").read_bytes()

    assert "2 entries sealed under a new key" in _told(capsys, "rekey")

    assert (tmp_path / "cache.key").read_bytes() != before
    place.kms.clear_calls()
    place.sealing_client().get_object(Bucket=place.bucket, Key="k")["Body"].read()
    assert place.kms.count() == 0


def test_cache_when_the_key_is_another_finds_nothing_of_it(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: OUTPUT
) -> None:
    monkeypatch.setenv("S3ENVELOPE_CACHE_PASSPHRASE", "correct horse battery")

    assert "entries sealed" in _told(capsys, "rekey", "--key", "passphrase", "--folder", str(filled))
    assert "entries: 0" in _told(capsys, "stats", "--key", "passphrase", "--folder", str(filled))


@pytest.mark.parametrize("command", ["stats", "clear", "rekey"])
def test_cache_when_the_folder_is_not_safe_says_so(filled: Path, command: str, capsys: OUTPUT) -> None:
    filled.chmod(0o777)

    assert run(["cache", command]) == 1

    assert "others can write" in one_line(capsys.readouterr().err)
    assert os.stat(filled).st_mode & 0o777 == 0o777


def test_cache_when_the_variable_holds_no_key_says_which(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: OUTPUT
) -> None:
    monkeypatch.setenv("S3ENVELOPE_CACHE_KEY", "not a key")

    assert run(["cache", "stats"]) == 1

    complaint = one_line(capsys.readouterr().err)
    assert "S3ENVELOPE_CACHE_KEY" in complaint
    assert "not a key" not in complaint
