"""`s3envelope keys` and `s3envelope decrypt`: before a key goes, and after a bucket went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from s3envelope import KmsKeyring, MultiKeyring, RawAesKeyring
from s3envelope.cli.app import run
from s3envelope.testing import LocalKms
from tests.cli.commands import ALIAS, Place, one_line
from tests.support.enveloped import enveloped_client, plaintext_of
from tests.support.uploading import PART, Uploading

SIZES = [0, 1, 65_535, 65_536, 65_537, 200_000]


def client_of(place: Place, keyring: Any, **fields: Any) -> Any:
    return enveloped_client(place.endpoint, keyring, envelope=fields)


def keyring_of(place: Place, arn: str | None = None) -> KmsKeyring:
    return KmsKeyring(arn or place.key_arn, place.kms.client())


def status(place: Place, *options: str) -> list[str]:
    kms = ["--kms-endpoint-url", place.kms.endpoint_url]
    return ["keys", "status", f"s3://{place.bucket}/p/", *place.s3_options, *kms, *options]


@pytest.fixture
def filled(place: Place) -> tuple[Place, str]:
    """Return a place with objects of two keys, of both, and of none; and the second key."""
    second = place.kms.create_key()
    first_client, second_client = client_of(place, keyring_of(place)), client_of(place, keyring_of(place, second))
    both = client_of(place, MultiKeyring(keyring_of(place), keyring_of(place, second)))
    for client, keys in ((first_client, "ab"), (second_client, "c"), (both, "def")):
        for key in keys:
            client.put_object(Bucket=place.bucket, Key=f"p/{key}", Body=b"x")
    place.put_plain("p/plain", b"x")
    place.put_plain("p/broken", b"x", {"se1-h": "x", "se1-k": "x"})
    first_client.put_object(Bucket=place.bucket, Key="elsewhere", Body=b"x")
    return place, second


def test_status_when_run_counts_objects_by_key(filled: tuple[Place, str], capfd: pytest.CaptureFixture[str]) -> None:
    place, second = filled

    code = run(status(place, "--key", ALIAS, "--key", second, "--json"))

    found = json.loads(capfd.readouterr().out)
    rows = {row["key"]: (row["objects"], row["no_other_key"], row["region"]) for row in found["keys"]}
    assert rows == {ALIAS: (5, 2, "us-east-1"), second: (4, 1, "us-east-1")}
    assert (found["not_encrypted"], found["not_understood"]) == (1, 1)
    # What is not understood may depend on any key.
    assert code == 1


def test_status_when_deletion_is_asked_about_says_no_until_no_object_depends_on_the_key(
    filled: tuple[Place, str], capfd: pytest.CaptureFixture[str]
) -> None:
    place, second = filled
    client = place.endpoint.client()
    client.delete_object(Bucket=place.bucket, Key="p/broken")

    assert run(status(place, "--deny-deletion-of", second)) == 1
    for key in "cdef":
        client.delete_object(Bucket=place.bucket, Key=f"p/{key}")
    assert run(status(place, "--deny-deletion-of", second)) == 0
    assert run(status(place, "--deny-deletion-of", ALIAS)) == 1
    out = capfd.readouterr().out
    assert "1 without envelope, 0 not understood" in out
    assert f"lost with the key: s3://{place.bucket}/p/a" in out


def versioned(place: Place) -> Any:
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    return client


def test_status_when_only_an_old_version_needs_the_key_denies_its_deletion(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, second, report = versioned(place), place.kms.create_key(), tmp_path / "report"
    first = client_of(place, keyring_of(place)).put_object(Bucket=place.bucket, Key="p/a", Body=b"old")["VersionId"]
    client_of(place, keyring_of(place, second)).put_object(Bucket=place.bucket, Key="p/a", Body=b"new")

    # Without being asked to: a key whose old versions nobody looked at is not let go.
    code = run(status(place, "--deny-deletion-of", ALIAS, "--key", second, "--report", str(report), "--json"))

    rows = {row["key"]: row for row in json.loads(capfd.readouterr().out)["keys"]}
    assert code == 1
    counts = ("objects", "old_versions", "no_other_key")
    assert [rows[ALIAS][name] for name in counts] == [0, 1, 1]
    assert [rows[second][name] for name in counts] == [1, 0, 1]
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert {(line["version_id"], *line["keys"]) for line in lines} == {(first, ALIAS), (None, second)}
    assert run(status(place, "--deny-deletion-of", ALIAS, "--no-versions")) == 0
    assert "old versions were not counted" in capfd.readouterr().out
    plain.delete_object(Bucket=place.bucket, Key="p/a", VersionId=first)
    assert run(status(place, "--deny-deletion-of", ALIAS)) == 0


def test_status_when_an_object_is_deleted_counts_its_old_versions(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = versioned(place)
    client_of(place, keyring_of(place)).put_object(Bucket=place.bucket, Key="p/a", Body=b"old")
    plain.delete_object(Bucket=place.bucket, Key="p/a")

    assert run(status(place, "--deny-deletion-of", ALIAS)) == 1

    assert f"lost with the key: s3://{place.bucket}/p/a?versionId=" in capfd.readouterr().out


def test_status_when_an_object_is_of_an_amazon_client_does_not_say_that_the_key_may_go(place: Place) -> None:
    place.put_plain("p/amazon", b"x", {"x-amz-key-v2": "x"})

    assert run(status(place, "--deny-deletion-of", ALIAS)) == 1


def test_status_when_regions_are_searched_names_their_keys(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    both = place.kms.create_key(MultiRegion=True)
    place.kms.perform("ReplicateKey", KeyId=both, ReplicaRegion="eu-west-1")
    away = place.kms.create_key(region_name="eu-west-1")
    keyrings = [keyring_of(place, both), KmsKeyring(away, place.kms.client("eu-west-1"))]
    client_of(place, keyrings[0]).put_object(Bucket=place.bucket, Key="p/a", Body=b"x")
    client_of(place, MultiKeyring(*keyrings)).put_object(Bucket=place.bucket, Key="p/b", Body=b"x")

    assert run(status(place, "--search-region", "us-east-1", "--search-region", "eu-west-1", "--json")) == 0

    rows = json.loads(capfd.readouterr().out)["keys"]
    replica = both.replace("us-east-1", "eu-west-1")
    assert [(row["key"], row["region"], row["objects"], row["no_other_key"]) for row in rows] == [
        (f"{both}, {replica}", "us-east-1, eu-west-1", 2, 1),
        (away, "eu-west-1", 1, 0),
    ]


def test_export_when_versions_are_asked_for_saves_each(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = versioned(place)
    client = client_of(place, keyring_of(place))
    old = client.put_object(Bucket=place.bucket, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=place.bucket, Key="k", Body=b"new")
    file = tmp_path / "file"
    file.write_bytes(plain.get_object(Bucket=place.bucket, Key="k", VersionId=old)["Body"].read())
    assert run(["keys", "export", f"s3://{place.bucket}/", *place.s3_options, "--versions"]) == 0
    lines = capfd.readouterr().out.splitlines()
    (line,) = [line for line in lines if json.loads(line)["version_id"] == old]
    kms = ["--kms-endpoint-url", place.kms.endpoint_url, "--kms-key-id", ALIAS]

    assert run(["decrypt", str(file), "--envelope", line, *kms]) == 0

    assert capfd.readouterr().out == "old"
    assert len(lines) == 2


def exported(place: Place, capfd: pytest.CaptureFixture[str]) -> dict[str, str]:
    capfd.readouterr()
    assert run(["keys", "export", f"s3://{place.bucket}/", *place.s3_options]) == 0
    lines = capfd.readouterr().out.splitlines()
    return {json.loads(line)["key"]: line for line in lines}


def saved(place: Place, key: str, folder: Path) -> Path:
    path = folder / "ciphertext"
    path.write_bytes(place.stored(key)[0])
    return path


@pytest.mark.parametrize("size", SIZES)
def test_decrypt_when_the_bucket_is_gone_opens_what_was_saved(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str], size: int
) -> None:
    client_of(place, keyring_of(place)).put_object(Bucket=place.bucket, Key="k é", Body=plaintext_of(size))
    line, file, target = exported(place, capfd)["k é"], saved(place, "k é", tmp_path), tmp_path / "plaintext"
    kms = ["--kms-endpoint-url", place.kms.endpoint_url, "--kms-key-id", ALIAS]

    assert run(["decrypt", str(file), "--envelope", line, "-o", str(target), *kms]) == 0

    assert target.read_bytes() == plaintext_of(size)


def test_decrypt_when_the_object_was_uploaded_in_parts_opens_it(
    place: Place, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    upload = Uploading(client_of(place, keyring_of(place)), place.bucket)
    for number, body in enumerate((plaintext_of(PART), b"middle" + bytes(PART), b"end"), 1):
        upload.part(number, body)
    upload.complete()
    assert run(["keys", "export", f"s3://{place.bucket}/", *place.s3_options]) == 0
    (tmp_path / "line").write_bytes(capfdbinary.readouterr().out)
    file = saved(place, "k", tmp_path)
    kms = ["--kms-endpoint-url", place.kms.endpoint_url, "--kms-key-id", ALIAS]

    assert run(["decrypt", str(file), "--envelope", f"@{tmp_path / 'line'}", *kms]) == 0

    assert capfdbinary.readouterr().out == plaintext_of(PART) + b"middle" + bytes(PART) + b"end"


@pytest.mark.parametrize("edit", ["flip", "cut", "empty"])
def test_decrypt_when_the_file_was_changed_leaves_no_output(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str], edit: str
) -> None:
    client_of(place, keyring_of(place)).put_object(Bucket=place.bucket, Key="k", Body=plaintext_of(200_000))
    line, file = exported(place, capfd)["k"], saved(place, "k", tmp_path)
    content = bytearray(file.read_bytes())
    content[150_000] ^= 1
    file.write_bytes({"flip": bytes(content), "cut": bytes(content[: 2 * 65_564]), "empty": b""}[edit])
    kms = ["--kms-endpoint-url", place.kms.endpoint_url, "--kms-key-id", ALIAS]

    assert run(["decrypt", str(file), "--envelope", line, "-o", str(tmp_path / "out"), *kms]) == 1

    one_line(capfd.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ciphertext"]


def test_decrypt_when_only_the_other_region_is_left_opens_with_its_key(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with LocalKms() as away:
        away_arn = away.create_key(region_name="eu-west-1")
        both = MultiKeyring(keyring_of(place), KmsKeyring(away_arn, away.client("eu-west-1")))
        client_of(place, both).put_object(Bucket=place.bucket, Key="k", Body=b"content")
        line, file = exported(place, capfd)["k"], saved(place, "k", tmp_path)
        place.kms.stop()
        kms = ["--kms-endpoint-url", away.endpoint_url, "--kms-key-id", away_arn]

        assert run(["decrypt", str(file), "--envelope", line, *kms]) == 0

        assert capfd.readouterr().out == "content"


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"key": 1, "metadata": {}}', '{"key": "k", "metadata": {"a": 1}}'])
def test_decrypt_when_the_envelope_is_none_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], line: str
) -> None:
    file, key = tmp_path / "file", tmp_path / "key"
    file.write_bytes(b"x")
    RawAesKeyring.from_file(key)

    assert run(["decrypt", str(file), "--envelope", line, "--raw-key-file", str(key)]) == 2

    assert "--envelope is not one line" in capfd.readouterr().err
