"""Copies: the body stays in S3, the copy gets an envelope of its own, and what S3 would keep is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

import s3envelope
from s3envelope.errors import NameBindingError, NotEncryptedError, UnsupportedOperationError
from tests.support.copying import SMALL, Copying
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, ClientFactory, plaintext_of
from tests.support.uploading import PART, Uploading, pieces, read

BIG = plaintext_of(17 * MIB)
IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=3)


def stored(copying: Copying, key: str) -> tuple[bytes, dict[str, str]]:
    answer = copying.plain.get_object(Bucket=copying.bucket, Key=key)
    return answer["Body"].read(), answer["Metadata"]


def _copy_object(copying: Copying, key: str) -> None:
    copying.client.copy_object(Bucket=copying.bucket, Key=key, CopySource=copying.source())


def _copy_text(copying: Copying, key: str) -> None:
    copying.client.copy_object(Bucket=copying.bucket, Key=key, CopySource=f"{copying.bucket}/source")


def _copy(copying: Copying, key: str) -> None:
    copying.client.copy(copying.source(), copying.bucket, key)


def _object_copy_from(copying: Copying, key: str) -> None:
    _resource(copying).Object(copying.bucket, key).copy_from(CopySource=copying.source())


def _bucket_copy(copying: Copying, key: str) -> None:
    _resource(copying).Bucket(copying.bucket).copy(copying.source(), key)


def _resource(copying: Copying) -> Any:
    client: Any = copying.client
    keyring = client._s3envelope.keyring
    return s3envelope.resource("s3", keyring=keyring, **copying.endpoint.client_arguments())


WAYS = [_copy_object, _copy_text, _copy, _object_copy_from, _bucket_copy]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_copy_when_made_any_way_has_the_same_body_and_a_header_of_its_own(
    copying: Copying, way: Callable[[Copying, str], None]
) -> None:
    copying.put(Metadata={"mine": "kept"}, ContentType="text/x", CacheControl="no-store")

    way(copying, "target")

    assert copying.downloads() == []
    answer = copying.client.get_object(Bucket=copying.bucket, Key="target")
    assert answer["Body"].read() == SMALL
    assert answer["Metadata"] == {"mine": "kept"}
    assert answer["ContentType"] == "text/x"
    (body, metadata), (source_body, source_metadata) = stored(copying, "target"), stored(copying, "source")
    assert body == source_body
    assert metadata["se1-h"] != source_metadata["se1-h"]
    assert read(copying.client, copying.bucket, "source") == SMALL
    assert copying.proxy.leaks == []


@pytest.mark.parametrize("use_threads", [True, False])
def test_copy_when_above_the_threshold_is_made_in_parts_and_reports_plaintext_bytes(
    copying: Copying, use_threads: bool
) -> None:
    copying.put(body=BIG, Metadata={"mine": "kept"})
    seen: list[int] = []
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=use_threads)

    copying.client.copy(copying.source(), copying.bucket, "target", Callback=seen.append, Config=config)

    assert copying.downloads() == []
    assert sum(seen) == len(BIG)
    assert sum("partNumber" in request.query for request in copying.proxy.requests) == 4
    answer = copying.client.get_object(Bucket=copying.bucket, Key="target")
    assert (answer["Body"].read(), answer["Metadata"]) == (BIG, {"mine": "kept"})


@pytest.mark.parametrize("config", [None, IN_PARTS])
def test_copy_when_the_source_is_indexed_is_indexed_too(copying: Copying, config: TransferConfig | None) -> None:
    bodies = pieces(PART, PART + 7, 100)
    upload = Uploading(copying.client, copying.bucket, "source")
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    upload.complete()

    copying.client.copy(copying.source(), copying.bucket, "target", Config=config)

    assert read(copying.client, copying.bucket, "target") == b"".join(bodies)
    assert read(copying.client, copying.bucket, "target", Range=f"bytes={PART - 1}-{PART}") == (
        bodies[0][-1:] + bodies[1][:1]
    )


def test_copy_when_replaced_has_the_given_metadata_and_headers(copying: Copying) -> None:
    copying.put(Metadata={"mine": "old"}, ContentType="text/old")

    copying.client.copy_object(
        Bucket=copying.bucket,
        Key="target",
        CopySource=copying.source(),
        MetadataDirective="REPLACE",
        Metadata={"mine": "new"},
        ContentType="text/new",
    )

    answer = copying.client.get_object(Bucket=copying.bucket, Key="target")
    assert (answer["Body"].read(), answer["Metadata"]) == (SMALL, {"mine": "new"})
    assert answer["ContentType"] == "text/new"


def test_self_copy_when_nothing_changes_is_refused_as_s3_does_and_else_made(copying: Copying) -> None:
    copying.put(Metadata={"a": "1"})

    with pytest.raises(ClientError) as ours:
        copying.client.copy_object(Bucket=copying.bucket, Key="source", CopySource=copying.source())
    copying.client.copy_object(
        Bucket=copying.bucket,
        Key="source",
        CopySource=copying.source(),
        MetadataDirective="REPLACE",
        Metadata={"a": "2"},
    )

    assert ours.value.response["Error"]["Code"] == "InvalidRequest"
    answer = copying.client.get_object(Bucket=copying.bucket, Key="source")
    assert (answer["Body"].read(), answer["Metadata"]) == (SMALL, {"a": "2"})


@pytest.mark.parametrize("key", ["a b/ü+%41?x=1", "plus+sign", "100%", "dir//x", "é"])
def test_copy_when_keys_are_odd_opens_under_the_new_one(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory, key: str
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key=key, Body=b"odd")

    client.copy_object(Bucket=bucket, Key=key + "/copy", CopySource={"Bucket": bucket, "Key": key})
    client.copy({"Bucket": bucket, "Key": key + "/copy"}, bucket, key + "/again")

    assert read(client, bucket, key + "/again") == b"odd"


def test_copy_when_its_header_is_the_sources_does_not_open(copying: Copying) -> None:
    copying.put()
    _copy_object(copying, "target")

    body, metadata = stored(copying, "source")
    copying.plain.put_object(Bucket=copying.bucket, Key="target", Body=body, Metadata=metadata)

    with pytest.raises(NameBindingError):
        read(copying.client, copying.bucket, "target")


@pytest.mark.parametrize("method", ["copy_object", "upload_part_copy"])
def test_copy_when_the_source_is_missing_fails_as_plain_boto3(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory, method: str
) -> None:
    bucket, codes = new_bucket(moto_s3), []
    for client in (moto_s3.client(), sealed(moto_s3)):
        arguments: dict[str, Any] = {"Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "none"}}
        if method == "upload_part_copy":
            upload_id = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
            arguments.update(UploadId=upload_id, PartNumber=1)
        with pytest.raises(ClientError) as caught:
            getattr(client, method)(**arguments)
        codes.append((caught.value.response["Error"]["Code"], caught.value.operation_name))

    plain, ours = codes
    # moto answers a part copy with the bare status; S3 says NoSuchKey for both.
    assert ours == (plain if method == "copy_object" else ("NoSuchKey", "UploadPartCopy"))


CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({"CopySourceIfMatch": "etag"}, True),
    ({"CopySourceIfMatch": '"other"'}, False),
    ({"CopySourceIfNoneMatch": "etag"}, False),
    ({"CopySourceIfNoneMatch": '"other"'}, True),
    ({"CopySourceIfModifiedSince": "2000-01-01"}, True),
    ({"CopySourceIfUnmodifiedSince": "2000-01-01"}, False),
]


@pytest.mark.parametrize(("conditions", "holds"), CONDITIONS, ids=str)
def test_copy_when_conditional_is_made_if_the_condition_holds(
    copying: Copying, conditions: dict[str, Any], holds: bool
) -> None:
    copying.put()
    etag = copying.client.head_object(Bucket=copying.bucket, Key="source")["ETag"]
    arguments: dict[str, Any] = {name: etag if value == "etag" else value for name, value in conditions.items()}

    def copy() -> None:
        copying.client.copy_object(Bucket=copying.bucket, Key="t", CopySource=copying.source(), **arguments)

    if holds:
        copy()
        assert read(copying.client, copying.bucket, "t") == SMALL
        return
    with pytest.raises(ClientError) as caught:
        copy()
    assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    assert "Contents" not in copying.plain.list_objects_v2(Bucket=copying.bucket, Prefix="t")


@pytest.mark.parametrize("managed", [True, False])
def test_copy_when_the_source_is_plain_is_refused_or_sealed_as_configured(
    copying: Copying, sealed: ClientFactory, managed: bool
) -> None:
    body = plaintext_of(PART + 5)
    copying.plain.put_object(
        Bucket=copying.bucket, Key="source", Body=body, ContentType="text/x", Metadata={"mine": "kept"}
    )
    allowing = sealed(copying.endpoint, envelope={"unencrypted": "allow"})

    def copy(client: S3Client) -> None:
        if managed:
            client.copy(copying.source(), copying.bucket, "target", Config=IN_PARTS)
        else:
            client.copy_object(Bucket=copying.bucket, Key="target", CopySource=copying.source())

    with pytest.raises(NotEncryptedError):
        copy(copying.client)
    copy(allowing)

    answer = copying.client.get_object(Bucket=copying.bucket, Key="target")
    assert (answer["Body"].read(), answer["Metadata"]) == (body, {"mine": "kept"})
    assert answer["ContentType"] == "text/x"
    assert copying.proxy.leaks == []


def test_part_copy_when_from_an_enveloped_object_seals_the_verified_range(copying: Copying) -> None:
    copying.put(body=BIG)
    upload = Uploading(copying.client, copying.bucket, "target")

    for number, header in ((1, f"bytes=3-{PART + 2}"), (2, "bytes=10-19")):
        answer = copying.client.upload_part_copy(
            **upload.names, PartNumber=number, CopySource=copying.source(), CopySourceRange=header
        )
        upload.parts[number] = {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}
    with pytest.raises(ClientError, match="not valid for source object of size"):
        copying.client.upload_part_copy(
            **upload.names, PartNumber=3, CopySource=copying.source(), CopySourceRange=f"bytes=0-{len(BIG)}"
        )
    upload.complete()

    assert read(copying.client, copying.bucket, "target") == BIG[3 : PART + 3] + BIG[10:20]
    assert copying.proxy.leaks == []


def test_copy_when_the_source_client_is_plain_only_looks_through_it(copying: Copying) -> None:
    copying.put()

    copying.client.copy(copying.source(), copying.bucket, "target", SourceClient=copying.plain)

    assert read(copying.client, copying.bucket, "target") == SMALL


def test_copy_when_a_version_is_named_is_of_that_version(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=bucket, Key="k", Body=b"new")

    client.copy_object(Bucket=bucket, Key="a", CopySource={"Bucket": bucket, "Key": "k", "VersionId": old})
    client.copy({"Bucket": bucket, "Key": "k", "VersionId": old}, bucket, "b")
    client.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k?versionId={old}")

    assert [read(client, bucket, key) for key in "abc"] == [b"old"] * 3


def test_tags_when_an_object_is_copied_go_with_it(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b=2")

    client.copy_object(Bucket=bucket, Key="t", CopySource={"Bucket": bucket, "Key": "k"})

    tags = {tag["Key"]: tag["Value"] for tag in client.get_object_tagging(Bucket=bucket, Key="t")["TagSet"]}
    assert tags == {"a": "1", "b": "2"}


def test_annotations_when_asked_for_in_a_copy_are_refused(copying: Copying) -> None:
    with pytest.raises(UnsupportedOperationError, match="annotations"):
        copying.client.copy(copying.source(), copying.bucket, "t", ExtraArgs={"AnnotationDirective": "COPY"})


def test_copies_when_the_source_is_overwritten_all_the_time_are_always_readable(
    seaweedfs: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    client, bucket = sealed(seaweedfs), new_bucket(seaweedfs)
    contents = [b"a" * 1000, b"b" * 1000]
    client.put_object(Bucket=bucket, Key="source", Body=contents[0])
    stop = threading.Event()

    def overwrite() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            client.put_object(Bucket=bucket, Key="source", Body=contents[turn % 2])

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        lost = 0
        for _ in range(100):
            try:
                client.copy_object(Bucket=bucket, Key="t", CopySource={"Bucket": bucket, "Key": "source"})
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"  # noqa: PT017  # either is right
                lost += 1
                continue
            assert read(client, bucket, "t") in contents
    finally:
        stop.set()
        writer.join()
    assert lost < 100


def test_copy_by_a_plain_client_when_not_bound_opens_and_when_bound_does_not(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    bucket, plain = new_bucket(moto_s3), boto3.client("s3", **moto_s3.client_arguments())
    bound, unbound = sealed(moto_s3), sealed(moto_s3, envelope={"bind_key_name": False})
    bound.put_object(Bucket=bucket, Key="bound", Body=b"x")
    unbound.put_object(Bucket=bucket, Key="unbound", Body=b"y")
    for key in ("bound", "unbound"):
        plain.copy_object(Bucket=bucket, Key=f"{key}-copy", CopySource={"Bucket": bucket, "Key": key})

    assert read(unbound, bucket, "unbound-copy") == b"y"
    with pytest.raises(NameBindingError):
        read(bound, bucket, "bound-copy")
    plain.close()
