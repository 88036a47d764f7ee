"""Several KMS keys on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.core.envelope import Envelope
from tests.cli.commands import ALIAS, Place, one_line

KEY = "orders/1.bin"


@pytest.fixture
def second(place: Place) -> str:
    return place.kms.create_key()


def _servers(place: Place) -> list[str]:
    return [*place.s3_options, "--kms-endpoint-url", place.kms.endpoint_url]


@pytest.mark.parametrize("way", ["options", "environment"])
def test_cp_when_two_keys_are_named_wraps_with_both_and_opens_with_each(
    place: Place, second: str, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * 70_000)
    named = ["--kms-key", ALIAS, "--kms-key-id", second] if way == "options" else []
    if way == "environment":
        monkeypatch.setenv("S3ENVELOPE_KMS_KEY_ID", f"{ALIAS}, {second}")

    assert run(["cp", *_servers(place), *named, str(source), place.url(KEY)]) == 0

    assert len(Envelope.parse(place.stored(KEY)[1]).encrypted_data_keys) == 2
    for key in (ALIAS, second):
        assert run(["cp", *_servers(place), "--kms-key", key, place.url(KEY), str(target)]) == 0
        assert target.read_bytes() == source.read_bytes()


def test_inspect_when_two_keys_are_named_tells_which_entries_are_theirs(
    place: Place, second: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed(KEY, b"x")
    stranger = place.kms.create_key()

    def matches(*names: str) -> list[bool]:
        options = [option for name in names for option in ("--kms-key", name)]
        assert run(["inspect", *place.s3_options, *options, "--json", place.url(KEY)]) == 0
        return [key["matches_configured_key"] for key in json.loads(capsys.readouterr().out)["encrypted_data_keys"]]

    assert matches(second, place.key_arn) == [True]
    assert matches(second, stranger) == [False]
    assert matches(second, ALIAS) == [None]


@pytest.mark.parametrize(
    "names", [["alias/a", "alias/a"], [f"alias/{number}" for number in range(5)], ["alias/a", "not a key"]]
)
def test_cp_when_the_keys_are_not_one_to_four_different_ones_is_refused(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [option for name in names for option in ("--kms-key", name)]

    code = run(["cp", *options, "s3://bucket/key", str(tmp_path / "file")])

    assert code == 2
    assert "kms_key_id" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "file").exists()
