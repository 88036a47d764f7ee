"""`s3envelope inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.core.layout import run_size
from s3envelope.keyrings.raw_aes import RawAesKeyring
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import client as enveloped_client
from tests.cli.commands import Place, one_line

KEY = "orders/1.bin"
NAMES = [
    "bucket",
    "key",
    "version_id",
    "etag",
    "last_modified",
    "content_type",
    "format",
    "bound",
    "indexed",
    "commitment",
    "encryption_context",
    "encrypted_data_keys",
    "plaintext_size",
    "ciphertext_size",
    "user_metadata",
]


def test_inspect_when_asked_for_json_prints_the_envelope(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.put_sealed(KEY, b"x" * 100_000, {"colour": "blue"}, {"tenant": "acme"})

    code = run(["inspect", *place.s3_options, "--json", place.url(KEY)])

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert list(found) == NAMES
    assert (found["bucket"], found["key"], found["format"]) == (place.bucket, KEY, "SE1")
    assert (found["bound"], found["indexed"]) == (True, False)
    assert (found["plaintext_size"], found["ciphertext_size"]) == (100_000, run_size(100_000))
    assert found["encryption_context"] == {"tenant": "acme"}
    assert found["user_metadata"] == {"colour": "blue"}
    assert len(bytes.fromhex(found["commitment"])) == 32


def test_inspect_when_run_asks_no_key_service(place: Place) -> None:
    place.put_sealed(KEY, b"content")
    place.kms.clear_calls()

    code = run(["inspect", *place.s3_options, "--kms-key-id", place.key_arn, place.url(KEY)])

    assert code == 0
    assert place.kms.calls == ()


@pytest.mark.parametrize(("which", "expected"), [("arn", True), ("id", True), ("alias", None), ("other", False)])
def test_inspect_when_a_key_is_configured_tells_whether_it_matches(
    place: Place, which: str, expected: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed(KEY, b"content")
    key_id = {
        "arn": place.key_arn,
        "id": place.key_arn.rpartition("key/")[2],
        "alias": "alias/cli",
        "other": place.kms.create_key(),
    }[which]

    code = run(["inspect", *place.s3_options, "--kms-key-id", key_id, "--json", place.url(KEY)])

    (key,) = json.loads(capsys.readouterr().out)["encrypted_data_keys"]
    assert code == 0
    assert key["matches_configured_key"] is expected
    assert key["size"] == 184


def test_inspect_when_the_raw_key_is_configured_tells_that_it_matches(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = tmp_path / "key"
    config = EnvelopeConfig(keyring=RawAesKeyring.from_file(key_file))
    client = enveloped_client("s3", envelope=config, **place.endpoint.client_arguments())
    client.put_object(Bucket=place.bucket, Key=KEY, Body=b"content")
    client.close()

    run(["inspect", *place.s3_options, "--raw-key-file", str(key_file), "--json", place.url(KEY)])

    (key,) = json.loads(capsys.readouterr().out)["encrypted_data_keys"]
    assert key["matches_configured_key"] is True


def test_inspect_when_a_version_is_named_shows_that_one(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    place.put_sealed(KEY, b"x" * 10)
    first = client.head_object(Bucket=place.bucket, Key=KEY)["VersionId"]
    place.put_sealed(KEY, b"x" * 20)
    client.close()

    run(["inspect", *place.s3_options, "--version-id", first, "--json", place.url(KEY)])

    found = json.loads(capsys.readouterr().out)
    assert (found["version_id"], found["plaintext_size"]) == (first, 10)


def test_inspect_when_read_by_a_person_shows_everything_and_says_that_nothing_is_verified(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed(KEY, b"x" * 100_000, {"colour": "[red]blue[/red]"}, {"tenant": "acme"})

    code = run(["inspect", *place.s3_options, "--kms-key-id", place.key_arn, place.url(KEY)])

    shown = capsys.readouterr().out
    assert code == 0
    assert "100,000 bytes" in shown
    assert "[red]blue[/red]" in shown
    assert "tenant = acme" in shown
    assert "belongs to the configured key" in shown
    assert "Nothing of this has been verified" in shown


def test_inspect_when_the_object_is_on_a_real_storage_shows_it(
    real_place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    real_place.put_sealed(KEY, b"x" * 100_000, {"colour": "blue"})

    code = run(["inspect", *real_place.s3_options, "--json", real_place.url(KEY)])

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (found["plaintext_size"], found["user_metadata"]) == (100_000, {"colour": "blue"})


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({}, "NotEncryptedError"),
        ({"se1-h": "AAAA"}, "MalformedEnvelopeError"),
        ({"se1-h": "A" * 124, "se1-k": "!"}, "MalformedEnvelopeError"),
        ({"se2-h": "AAAA"}, "UnsupportedFormatError"),
    ],
)
def test_inspect_when_there_is_no_good_envelope_fails_in_one_line(
    place: Place, metadata: dict[str, str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_plain(KEY, b"content", metadata)

    code = run(["inspect", *place.s3_options, "--json", place.url(KEY)])

    captured = capsys.readouterr()
    assert code == 1
    assert error in one_line(captured.err)
    assert list(json.loads(captured.out)) == ["error"]
    assert json.loads(captured.out)["error"]["class"] == error


def test_inspect_when_the_size_is_impossible_fails_in_one_line(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed(KEY, b"content")
    body, metadata = place.stored(KEY)
    place.put_plain(KEY, body[:20], metadata)

    code = run(["inspect", *place.s3_options, place.url(KEY)])

    assert code == 1
    assert "TruncatedObjectError" in one_line(capsys.readouterr().err)


def test_inspect_when_the_object_is_missing_fails_in_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["inspect", *place.s3_options, place.url("absent")])

    assert code == 1
    assert "does not exist" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("location", ["s3://bucket", "bucket/key", "s3:///key"])
def test_inspect_when_the_location_is_no_object_refuses_it_as_usage(
    location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["inspect", location])

    assert code == 2
    assert "s3://BUCKET/KEY" in capsys.readouterr().err
