"""The Region where objects were written is gone, KMS and bucket: the replicas open with the KMS of the other one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError, EndpointConnectionError

from s3envelope import Keyring, KmsKeyring, MultiKeyring, errors
from s3envelope.cli.app import run
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, NewBucket, enveloped_client, plaintext_of
from tests.support.uploading import PART, Uploading

SMALL, PARTS = plaintext_of(70_000), plaintext_of(PART + 3 * MIB)
HOME, AWAY = "us-east-1", "eu-west-1"
_SEED = 20_261_129


@dataclass(frozen=True, slots=True)
class Region:
    """A bucket, a KMS and a key of it."""

    name: str
    endpoint: Endpoint
    bucket: str
    kms: LocalKms
    key_arn: str

    @property
    def keyring(self) -> KmsKeyring:
        return KmsKeyring(self.key_arn, self.kms.client(self.name))

    def lose(self) -> None:
        """Stop the KMS; empty and delete the bucket."""
        self.kms.stop()
        client = self.endpoint.client()
        for entry in client.list_objects_v2(Bucket=self.bucket)["Contents"]:
            client.delete_object(Bucket=self.bucket, Key=entry["Key"])
        client.delete_bucket(Bucket=self.bucket)
        client.close()


@dataclass(frozen=True, slots=True)
class Pair:
    """The Region where objects are written, and the one that they are replicated to."""

    written: Region
    left: Region
    writing: Keyring

    def client(self) -> Any:
        return enveloped_client(self.written.endpoint, self.writing)

    def reader(self) -> Any:
        """Return a client that knows of the other Region only, and remembers nothing."""
        return enveloped_client(self.left.endpoint, self.left.keyring, envelope={"cache": None})

    def replicate(self) -> None:
        """Copy every object as S3's replication does: the stored bytes, their headers and metadata; the same key."""
        source, target = self.written.endpoint.client(), self.left.endpoint.client()
        for entry in source.list_objects_v2(Bucket=self.written.bucket)["Contents"]:
            answer = source.get_object(Bucket=self.written.bucket, Key=entry["Key"])
            target.put_object(
                Bucket=self.left.bucket,
                Key=entry["Key"],
                Body=answer["Body"].read(),
                Metadata=answer["Metadata"],
                ContentType=answer["ContentType"],
            )
        source.close()
        target.close()


def _keys(kind: str, home: LocalKms, away: LocalKms) -> tuple[str, str]:
    if kind == "two keys":
        return home.create_key(HOME), away.create_key(AWAY)
    # Two services of one account, which have nothing in common but the material of the key: each begins with the same
    # seed, and makes the key and its replica.
    found = set()
    for kms in (home, away):
        primary = kms.create_key(HOME, MultiRegion=True)
        kms.perform("ReplicateKey", HOME, KeyId=primary, ReplicaRegion=AWAY)
        found.add(primary)
    (arn,) = found
    return arn, arn.replace(HOME, AWAY)


@pytest.fixture(params=["home", "away"])
def lost(request: pytest.FixtureRequest) -> str:
    """Return which Region is lost."""
    return str(request.param)


@pytest.fixture(params=["two keys", "multi-Region key"])
def pair(
    request: pytest.FixtureRequest, lost: str, moto_s3: Endpoint, seaweedfs: Endpoint, new_bucket: NewBucket
) -> Iterator[Pair]:
    """Yield two Regions, and the keyring that objects are written with in one of them."""
    is_one = request.param == "multi-Region key"
    seed = _SEED if is_one else None
    with LocalKms(seed=seed) as home_kms, LocalKms(seed=seed) as away_kms:
        home_arn, away_arn = _keys(request.param, home_kms, away_kms)
        home = Region(HOME, moto_s3, new_bucket(moto_s3), home_kms, home_arn)
        away = Region(AWAY, seaweedfs, new_bucket(seaweedfs), away_kms, away_arn)
        written, left = (home, away) if lost == "home" else (away, home)
        yield Pair(written, left, written.keyring if is_one else MultiKeyring(written.keyring, left.keyring))


def _write_all(pair: Pair, folder: Path) -> dict[str, bytes]:
    """Store an object in every layout; return what they hold."""
    client, bucket, file = pair.client(), pair.written.bucket, folder / "source"
    client.put_object(Bucket=bucket, Key="put", Body=SMALL, Metadata={"mine": "kept"})
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    file.write_bytes(PARTS)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    client.upload_file(str(file), bucket, "plain/parts", Config=config)
    upload = Uploading(client, bucket, "indexed/parts é")
    for number, body in enumerate((PARTS[:PART], PARTS[PART:]), 1):
        upload.part(number, body)
    upload.complete()
    found = [client.describe_envelope(Bucket=bucket, Key=key).indexed for key in ("plain/parts", "indexed/parts é")]
    assert found == [False, True]
    client.close()
    return {"put": SMALL, "empty": b"", "plain/parts": PARTS, "indexed/parts é": PARTS}


def test_replicas_when_the_region_they_come_from_is_gone_open_with_the_other_kms_only(
    pair: Pair, tmp_path: Path
) -> None:
    stored = _write_all(pair, tmp_path)
    pair.replicate()
    pair.written.lose()
    pair.left.kms.clear_calls()

    reader, bucket = pair.reader(), pair.left.bucket
    for key, content in stored.items():
        answer = reader.get_object(Bucket=bucket, Key=key)
        assert answer["Body"].read() == content
        assert reader.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(content)
        reader.download_file(bucket, key, str(tmp_path / "target"))
        assert (tmp_path / "target").read_bytes() == content
    part = reader.get_object(Bucket=bucket, Key="indexed/parts é", Range=f"bytes={PART - 1}-{PART + 1}")["Body"]
    assert part.read() == PARTS[PART - 1 : PART + 2]
    assert reader.head_object(Bucket=bucket, Key="put")["Metadata"] == {"mine": "kept"}

    assert {(call.operation, call.region) for call in pair.left.kms.calls} == {("Decrypt", pair.left.name)}
    with pytest.raises(EndpointConnectionError):
        pair.written.kms.client(pair.written.name).list_keys()
    with pytest.raises(ClientError, match=r"NoSuchBucket|404"):
        pair.written.endpoint.client().list_objects_v2(Bucket=pair.written.bucket)


def test_replica_when_it_stands_under_another_key_is_refused(pair: Pair, tmp_path: Path) -> None:
    pair.client().put_object(Bucket=pair.written.bucket, Key="k", Body=SMALL)
    pair.replicate()
    plain = pair.left.endpoint.client()
    plain.copy_object(Bucket=pair.left.bucket, Key="other", CopySource={"Bucket": pair.left.bucket, "Key": "k"})
    pair.written.lose()

    reader = pair.reader()
    with pytest.raises(errors.NameBindingError):
        reader.get_object(Bucket=pair.left.bucket, Key="other")
    reader.rewrap_object(Bucket=pair.left.bucket, Key="other", bound_name="k")

    assert reader.get_object(Bucket=pair.left.bucket, Key="other")["Body"].read() == SMALL


def test_region_when_it_is_the_only_one_goes_on_writing_and_can_be_made_whole_again(pair: Pair, tmp_path: Path) -> None:
    pair.client().put_object(Bucket=pair.written.bucket, Key="k", Body=SMALL)
    pair.replicate()
    pair.written.lose()

    reader, bucket = pair.reader(), pair.left.bucket
    reader.rewrap_object(Bucket=bucket, Key="k")
    reader.put_object(Bucket=bucket, Key="new", Body=b"written meanwhile")
    pair.written.kms.start()
    whole = enveloped_client(pair.left.endpoint, pair.writing, envelope={"cache": None})

    assert whole.get_object(Bucket=bucket, Key="k")["Body"].read() == SMALL
    assert whole.get_object(Bucket=bucket, Key="new")["Body"].read() == b"written meanwhile"


def test_files_when_even_the_bucket_is_gone_open_with_their_exported_envelopes_and_the_other_kms(
    pair: Pair, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = _write_all(pair, tmp_path)
    place = ["--endpoint-url", pair.written.endpoint.url]
    capfd.readouterr()
    assert run(["keys", "export", f"s3://{pair.written.bucket}/", *place]) == 0
    lines = capfd.readouterr().out.splitlines()
    plain, files = pair.written.endpoint.client(), {}
    for number, key in enumerate(stored):
        files[key] = tmp_path / str(number)
        files[key].write_bytes(plain.get_object(Bucket=pair.written.bucket, Key=key)["Body"].read())
    pair.written.lose()

    kms = ["--kms-endpoint-url", pair.left.kms.endpoint_url, "--kms-key-id", pair.left.key_arn]
    for key, content in stored.items():
        (line,) = [line for line in lines if json.loads(line)["key"] == key]
        target = tmp_path / "target"
        assert run(["decrypt", str(files[key]), "--envelope", line, "-o", str(target), *kms]) == 0
        assert target.read_bytes() == content
