"""Copies at their edges: by clients that know nothing of envelopes, of multipart objects, large, odd names."""

from __future__ import annotations

from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from s3envelope.errors import NameBindingError, NotEncryptedError, S3EnvelopeError
from tests.support.copying import Copying
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import PART, Uploading, pieces, read

LARGE = plaintext_of(20 * MIB)
BODY = plaintext_of(2 * PART + 70_000)
IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
ODD_KEYS = ["a+b", "a%41b", "é/ü", "what?versionId=x"]


def _copy_without_metadata(client: S3Client, bucket: str, source: str, target: str) -> None:
    """Copy in parts as tools do that begin the upload of the copy without the metadata of its source."""
    upload = Uploading(client, bucket, target)
    size = client.head_object(Bucket=bucket, Key=source)["ContentLength"]
    for number, start in enumerate(range(0, size, PART), 1):
        answer = client.upload_part_copy(
            **upload.names,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": source},
            CopySourceRange=f"bytes={start}-{min(start + PART, size) - 1}",
        )
        upload.parts[number] = {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}
    upload.complete()


def _is_refused(client: S3Client, bucket: str, key: str, error: type[S3EnvelopeError]) -> bool:
    """Tell whether every read of an object raises that, and so returns no byte."""
    for arguments in ({}, {"Range": "bytes=0-9"}, {"Range": f"bytes={PART}-"}, {"Range": "bytes=-5"}):
        with pytest.raises(error):
            read(client, bucket, key, **arguments)
    return True


@pytest.mark.parametrize("way", ["copy_object", "copy in parts"])
@pytest.mark.parametrize("bound", [True, False])
def test_copy_by_a_plain_client_that_keeps_metadata_reads_right_or_is_an_error(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, way: str, bound: bool
) -> None:
    client, plain, bucket = sealed(any_s3, envelope={"bind_key_name": bound}), any_s3.client(), new_bucket(any_s3)
    client.put_object(Bucket=bucket, Key="source", Body=BODY, Metadata={"mine": "kept"})

    if way == "copy_object":
        plain.copy_object(Bucket=bucket, Key="target", CopySource={"Bucket": bucket, "Key": "source"})
    else:
        plain.copy({"Bucket": bucket, "Key": "source"}, bucket, "target", Config=IN_PARTS)

    if bound:
        assert _is_refused(client, bucket, "target", NameBindingError)
        return
    answer = client.get_object(Bucket=bucket, Key="target")
    assert (answer["Body"].read(), answer["Metadata"]) == (BODY, {"mine": "kept"})
    assert read(client, bucket, "target", Range="bytes=70000-80000") == BODY[70_000:80_001]


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("layout", ["plain", "indexed"])
def test_copy_in_parts_that_loses_the_metadata_is_an_error_and_never_ciphertext(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, bound: bool, layout: str
) -> None:
    client, plain, bucket = sealed(any_s3, envelope={"bind_key_name": bound}), any_s3.client(), new_bucket(any_s3)
    if layout == "plain":
        client.put_object(Bucket=bucket, Key="source", Body=BODY)
    else:
        upload = Uploading(client, bucket, "source")
        for number, body in enumerate(pieces(PART, 99), 1):
            upload.part(number, body)
        upload.complete()

    _copy_without_metadata(plain, bucket, "source", "target")

    assert _is_refused(client, bucket, "target", NotEncryptedError)
    with pytest.raises(NotEncryptedError):
        client.head_object(Bucket=bucket, Key="target")


def test_copy_by_a_plain_client_through_our_head_is_an_error_and_never_ciphertext(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, plain, bucket = sealed(any_s3), any_s3.client(), new_bucket(any_s3)
    client.put_object(Bucket=bucket, Key="source", Body=BODY)

    # The size it sees is that of the plaintext, and it sees no envelope to keep.
    plain.copy({"Bucket": bucket, "Key": "source"}, bucket, "target", SourceClient=client, Config=IN_PARTS)

    assert _is_refused(client, bucket, "target", NotEncryptedError)


@pytest.mark.parametrize("by", ["enveloped", "plain"])
def test_copy_of_a_multipart_object_with_an_etag_of_one_part_has_right_size_ranges_and_content(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, by: str
) -> None:
    client, bucket = sealed(any_s3, envelope={"bind_key_name": by == "enveloped"}), new_bucket(any_s3)
    upload = Uploading(client, bucket, "source")
    for number, body in ((2, BODY[:PART]), (5, BODY[PART:-1]), (9, BODY[-1:])):
        upload.part(number, body)
    upload.complete()

    copier = client if by == "enveloped" else any_s3.client()
    copier.copy_object(Bucket=bucket, Key="target", CopySource={"Bucket": bucket, "Key": "source"})

    head = client.head_object(Bucket=bucket, Key="target")
    assert "-" in client.head_object(Bucket=bucket, Key="source")["ETag"]
    # S3 and moto give the copy an ETag of one part; the others keep that of the source.
    assert any_s3.name != "moto" or "-" not in head["ETag"]
    assert head["ContentLength"] == len(BODY)
    assert read(client, bucket, "target") == BODY
    for start, end in ((0, 1), (PART - 1, PART + 1), (SEGMENT_SIZE, 2 * SEGMENT_SIZE), (len(BODY) - 2, len(BODY))):
        answer = client.get_object(Bucket=bucket, Key="target", Range=f"bytes={start}-{end - 1}")
        assert answer["Body"].read() == BODY[start:end]
        assert answer["ContentRange"] == f"bytes {start}-{end - 1}/{len(BODY)}"


@pytest.mark.parametrize("source", ["enveloped", "plain"])
@pytest.mark.parametrize("source_client", [None, "plain", "enveloped"])
def test_copy_of_20_mib_is_sealed_whatever_the_source_and_whoever_looks_at_it(
    copying: Copying, new_bucket: NewBucket, sealed: ClientFactory, source: str, source_client: str | None
) -> None:
    client = sealed(copying.endpoint, envelope={"unencrypted": "allow"})
    writer = copying.plain if source == "plain" else client
    writer.put_object(Bucket=copying.bucket, Key="source", Body=LARGE, Metadata={"mine": "kept"})
    copying.proxy.clear()
    other_bucket = new_bucket(copying.endpoint)
    looking = {None: None, "plain": copying.plain, "enveloped": client}[source_client]

    client.copy(copying.source(), other_bucket, "target", SourceClient=looking)

    answer = sealed(copying.endpoint).get_object(Bucket=other_bucket, Key="target")
    assert (answer["Body"].read(), answer["Metadata"]) == (LARGE, {"mine": "kept"})
    stored = copying.plain.head_object(Bucket=other_bucket, Key="target")
    assert "se1-h" in stored["Metadata"]
    assert copying.proxy.leaks == []


def test_copy_of_20_mib_from_enveloped_to_a_bucket_of_plain_objects_stays_sealed(
    copying: Copying, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    copying.put(body=LARGE)
    plain_bucket = new_bucket(copying.endpoint)
    copying.plain.put_object(Bucket=plain_bucket, Key="target", Body=b"a plain object was here")

    copying.client.copy(copying.source(), plain_bucket, "target")

    assert copying.downloads() == []
    assert read(copying.client, plain_bucket, "target") == LARGE
    assert LARGE[:100] not in read(copying.plain, plain_bucket, "target")
    assert copying.proxy.leaks == []


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("config", [None, IN_PARTS], ids=["whole", "in parts"])
def test_copy_of_an_old_version_under_an_odd_key_is_of_that_version(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, key: str, config: TransferConfig | None
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket=bucket, Key=key, Body=BODY)["VersionId"]
    client.put_object(Bucket=bucket, Key=key, Body=b"new")

    client.copy({"Bucket": bucket, "Key": key, "VersionId": old}, bucket, f"{key}/old", Config=config)
    client.copy({"Bucket": bucket, "Key": key}, bucket, f"{key}/new", Config=config)

    assert read(client, bucket, f"{key}/old") == BODY
    assert read(client, bucket, f"{key}/new") == b"new"


@pytest.mark.parametrize("source", ["enveloped", "plain"])
@pytest.mark.parametrize("header", ["bytes=0-{size}", "bytes={size}-{size}", "bytes=5-99999999"])
def test_part_copy_of_a_range_past_the_end_of_the_plaintext_is_an_invalid_argument(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, source: str, header: str
) -> None:
    client, bucket = sealed(moto_s3, envelope={"unencrypted": "allow"}), new_bucket(moto_s3)
    writer = client if source == "enveloped" else moto_s3.client()
    writer.put_object(Bucket=bucket, Key="source", Body=plaintext_of(1000))
    upload = Uploading(client, bucket, "target")
    call: Any = {**upload.names, "PartNumber": 1, "CopySource": {"Bucket": bucket, "Key": "source"}}

    with pytest.raises(ClientError) as raised:
        client.upload_part_copy(**call, CopySourceRange=header.format(size=1000))
    answer = client.upload_part_copy(**call, CopySourceRange="bytes=990-999")

    assert raised.value.response["Error"]["Code"] == "InvalidArgument"
    upload.parts[1] = {"PartNumber": 1, "ETag": answer["CopyPartResult"]["ETag"]}
    upload.complete()
    assert read(client, bucket, "target") == plaintext_of(1000)[990:]
