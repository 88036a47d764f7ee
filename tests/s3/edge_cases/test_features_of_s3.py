"""Conditions, versions, other encryption, locks, tags: what S3 offers beside bytes goes through unchanged."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from s3envelope.testing.s3_proxy import ErrorAnswer, RecordedRequest, S3Proxy, matching
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import PART, Uploading, pieces, read

CONDITIONAL = pytest.mark.parametrize("server", ["moto_s3", "seaweedfs"])
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
Act = Callable[[S3Client, str], object]


@pytest.fixture
def storage(request: pytest.FixtureRequest, server: str) -> Endpoint:
    endpoint: Endpoint = request.getfixturevalue(server)
    return endpoint


@pytest.fixture
def watched(moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket) -> tuple[S3Proxy, Endpoint, str]:
    """Return a proxy in front of moto, the endpoint through it, and a bucket."""
    proxy, endpoint = http_proxy(moto_s3)
    return proxy, endpoint, new_bucket(moto_s3)


def _code(act: Callable[[], object]) -> tuple[str, int]:
    """Return code and status of the `ClientError` that something raises."""
    with pytest.raises(ClientError) as raised:
        act()
    response: Any = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


# ---- conditions and errors ----


@CONDITIONAL
def test_put_with_if_none_match_and_if_match_is_made_once_and_only_over_the_named_version(
    storage: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(storage), new_bucket(storage)
    put: Any = {"Bucket": bucket, "Key": "k"}

    first = client.put_object(**put, Body=b"first", IfNoneMatch="*")["ETag"]
    assert _code(lambda: client.put_object(**put, Body=b"again", IfNoneMatch="*")) == ("PreconditionFailed", 412)
    assert read(client, bucket) == b"first"
    client.put_object(**put, Body=b"second", IfMatch=first)
    assert _code(lambda: client.put_object(**put, Body=b"third", IfMatch=first)) == ("PreconditionFailed", 412)

    assert read(client, bucket) == b"second"


@CONDITIONAL
def test_complete_with_if_none_match_that_fails_leaves_an_upload_that_can_be_completed_or_aborted(
    storage: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(storage), new_bucket(storage)
    client.put_object(Bucket=bucket, Key="k", Body=b"old")
    upload = Uploading(client, bucket)
    for number, body in enumerate(pieces(PART, 99), 1):
        upload.part(number, body)
    parts: Any = {"Parts": [upload.parts[1], upload.parts[2]]}

    code = _code(lambda: client.complete_multipart_upload(**upload.names, MultipartUpload=parts, IfNoneMatch="*"))
    assert (code, read(client, bucket)) == (("PreconditionFailed", 412), b"old")
    client.delete_object(Bucket=bucket, Key="k")
    client.complete_multipart_upload(**upload.names, MultipartUpload=parts, IfNoneMatch="*")

    assert read(client, bucket) == plaintext_of(PART + 99)


def test_conditions_of_reads_give_304_412_and_404_as_botocore_s_own_exceptions(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(any_s3), new_bucket(any_s3)
    etag = client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(70_000))["ETag"]

    for arguments in ({}, {"Range": "bytes=5-9"}):
        call: Any = {"Bucket": bucket, "Key": "k", **arguments}
        assert client.get_object(**call, IfMatch=etag)["Body"].read()
        assert _code(lambda call=call: client.get_object(**call, IfNoneMatch=etag)) == ("304", 304)  # type: ignore[misc]
        assert _code(lambda call=call: client.get_object(**call, IfMatch='"x"'))[1] == 412  # type: ignore[misc]
        with pytest.raises(client.exceptions.NoSuchKey):
            client.get_object(**{**call, "Key": "none"})
    assert _code(lambda: client.head_object(Bucket=bucket, Key="none")) == ("404", 404)
    assert _code(lambda: client.head_object(Bucket=bucket, Key="k", IfMatch='"x"'))[1] == 412


def _upload_part(client: S3Client, bucket: str) -> object:
    return Uploading(client, bucket).part(1, b"x")


DENIED: dict[str, tuple[str, Act]] = {
    "put_object": ("PUT", lambda client, bucket: client.put_object(Bucket=bucket, Key="k", Body=b"x")),
    "get_object": ("GET", lambda client, bucket: client.get_object(Bucket=bucket, Key="k")),
    "range": ("GET", lambda client, bucket: client.get_object(Bucket=bucket, Key="k", Range="bytes=0-1")),
    "head_object": ("HEAD", lambda client, bucket: client.head_object(Bucket=bucket, Key="k")),
    "create": ("POST", lambda client, bucket: client.create_multipart_upload(Bucket=bucket, Key="k")),
    "upload_part": ("PUT", _upload_part),
    "list": ("GET", lambda client, bucket: client.list_objects_v2(Bucket=bucket)),
    "delete": ("DELETE", lambda client, bucket: client.delete_object(Bucket=bucket, Key="k")),
}


@pytest.mark.parametrize("call", DENIED)
def test_403_is_the_exception_of_a_plain_client(
    watched: tuple[S3Proxy, Endpoint, str], sealed: ClientFactory, call: str
) -> None:
    proxy, endpoint, bucket = watched
    method, act = DENIED[call]
    client = sealed(endpoint)
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    proxy.inject(ErrorAnswer(403, "AccessDenied"), matching(method=method), times=None)

    ours, theirs = (_code(lambda one=one: act(one, bucket)) for one in (client, endpoint.client()))  # type: ignore[misc]

    assert ours == theirs
    assert ours[1] == 403


def test_wrong_secret_key_is_the_error_of_a_real_server(
    seaweedfs: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    bucket = new_bucket(seaweedfs)
    stranger = Endpoint("seaweedfs", seaweedfs.url, seaweedfs.access_key, "wrong")
    client = sealed(stranger)

    assert _code(lambda: client.put_object(Bucket=bucket, Key="k", Body=b"x")) == ("SignatureDoesNotMatch", 403)
    assert _code(lambda: client.get_object(Bucket=bucket, Key="k")) == ("SignatureDoesNotMatch", 403)


# ---- versions ----


@CONDITIONAL
def test_delete_marker_hides_the_object_and_older_versions_are_read(
    storage: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, plain, bucket = sealed(storage), storage.client(), new_bucket(storage)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [client.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"one", b"two")]

    marker = client.delete_object(Bucket=bucket, Key="k")["VersionId"]

    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket=bucket, Key="k")
    assert _code(lambda: client.head_object(Bucket=bucket, Key="k")) == ("404", 404)
    for operation in ("get_object", "head_object"):
        codes = [
            _code(lambda one=one: getattr(one, operation)(Bucket=bucket, Key="k", VersionId=marker))  # type: ignore[misc]  # noqa: B023
            for one in (client, plain)
        ]
        assert codes[0] == codes[1]
    assert [read(client, bucket, VersionId=version) for version in versions] == [b"one", b"two"]
    client.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    assert read(client, bucket) == b"two"


# ---- other encryption ----


def _with_sse_c(requests: list[RecordedRequest]) -> list[bool]:
    return [bool(request.header("x-amz-server-side-encryption-customer-key")) for request in requests]


@pytest.mark.parametrize("layout", ["plain", "indexed", "upload_fileobj"])
def test_sse_c_is_in_every_request_of_an_object_also_in_those_that_we_add(
    watched: tuple[S3Proxy, Endpoint, str], sealed: ClientFactory, layout: str
) -> None:
    proxy, endpoint, bucket = watched
    client, plaintext = sealed(endpoint), plaintext_of(2 * PART + 7)
    arguments: Any = SSE_C
    if layout == "plain":
        client.put_object(Bucket=bucket, Key="k", Body=plaintext, **arguments)
    elif layout == "upload_fileobj":
        client.upload_fileobj(io.BytesIO(plaintext), bucket, "k", ExtraArgs=arguments, Config=IN_PARTS)
    else:
        upload = Uploading(client, bucket, **arguments)
        for number, body in enumerate(pieces(PART, PART + 7), 1):
            upload.part(number, body, **arguments)
        # The last part is large: the index is one more part, and S3 demands the key for it too.
        parts: Any = {"Parts": [upload.parts[1], upload.parts[2]]}
        client.complete_multipart_upload(**upload.names, MultipartUpload=parts, **arguments)
    written = [request for request in proxy.requests if request.method == "PUT" or "uploads" in request.query]
    proxy.clear()

    assert read(client, bucket, **arguments) == plaintext
    assert read(client, bucket, Range=f"bytes={PART - 1}-{PART}", **arguments) == plaintext[PART - 1 : PART + 1]
    assert read(client, bucket, Range="bytes=-3", **arguments) == plaintext[-3:]
    with pytest.raises(ClientError, match="InvalidRange"):
        read(client, bucket, Range=f"bytes={len(plaintext)}-", **arguments)
    assert client.head_object(Bucket=bucket, Key="k", **arguments)["ContentLength"] == len(plaintext)

    assert all(_with_sse_c(written))
    assert all(_with_sse_c(proxy.requests))


def test_sse_c_on_a_real_server_seals_twice_and_reads_with_its_key_only(
    seaweedfs: Endpoint, https_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(https_proxy(seaweedfs)[1]), new_bucket(seaweedfs)
    arguments: Any = SSE_C
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(200_000), **arguments)

    assert read(client, bucket, **arguments) == plaintext_of(200_000)
    assert read(client, bucket, Range="bytes=70000-70009", **arguments) == plaintext_of(70_010)[70_000:]
    with pytest.raises(ClientError):
        read(client, bucket)
    with pytest.raises(ClientError):
        read(client, bucket, SSECustomerAlgorithm="AES256", SSECustomerKey="x" * 32)


def test_sse_kms_and_envelope_compose_and_the_answers_say_so(
    watched: tuple[S3Proxy, Endpoint, str], sealed: ClientFactory
) -> None:
    proxy, endpoint, bucket = watched
    client = sealed(endpoint)
    arguments: Any = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/of-the-bucket"}

    answer = client.put_object(Bucket=bucket, Key="k", Body=b"body", **arguments)
    client.upload_fileobj(io.BytesIO(plaintext_of(PART + 1)), bucket, "large", ExtraArgs=arguments, Config=IN_PARTS)

    head = client.head_object(Bucket=bucket, Key="k")
    assert answer["ServerSideEncryption"] == head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == "alias/of-the-bucket"
    assert (read(client, bucket), read(client, bucket, "large")) == (b"body", plaintext_of(PART + 1))
    (created,) = [request for request in proxy.requests if request.query.startswith("uploads")]
    assert created.header("x-amz-server-side-encryption-aws-kms-key-id") == "alias/of-the-bucket"


# ---- locks, tags, payers, owners ----


@CONDITIONAL
def test_object_lock_is_set_with_the_object_and_holds(storage: Endpoint, sealed: ClientFactory) -> None:
    client, bucket = sealed(storage), f"locked-{os.urandom(8).hex()}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=2)

    version = client.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"body",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
    )["VersionId"]

    head = client.head_object(Bucket=bucket, Key="k")
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("COMPLIANCE", "ON")
    assert head["ObjectLockRetainUntilDate"] == until
    assert client.get_object_legal_hold(Bucket=bucket, Key="k")["LegalHold"] == {"Status": "ON"}
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="k", VersionId=version)
    assert read(client, bucket) == b"body"


def test_tags_are_set_with_the_object_counted_and_changed(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(any_s3), new_bucket(any_s3)
    client.put_object(Bucket=bucket, Key="k", Body=b"body", Tagging="a=1&b=2")

    assert client.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    client.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "c", "Value": "3"}]})

    assert client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "c", "Value": "3"}]
    assert read(client, bucket) == b"body"


@pytest.mark.parametrize("layout", ["plain", "indexed"])
def test_request_payer_and_expected_owner_are_in_every_request_of_a_read(
    watched: tuple[S3Proxy, Endpoint, str], sealed: ClientFactory, layout: str
) -> None:
    proxy, endpoint, bucket = watched
    client, arguments = sealed(endpoint), {"RequestPayer": "requester", "ExpectedBucketOwner": "123456789012"}
    if layout == "plain":
        client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(PART + 7))
    else:
        upload = Uploading(client, bucket)
        for number, body in enumerate(pieces(PART, 7), 1):
            upload.part(number, body)
        upload.complete()
    proxy.clear()

    assert read(client, bucket, **arguments) == plaintext_of(PART + 7)
    assert read(client, bucket, Range="bytes=-3", **arguments) == plaintext_of(PART + 7)[-3:]
    with pytest.raises(ClientError, match="InvalidRange"):
        read(client, bucket, Range=f"bytes={PART + 7}-", **arguments)
    client.head_object(Bucket=bucket, Key="k", **arguments)  # type: ignore[arg-type]
    client.copy_object(Bucket=bucket, Key="t", CopySource={"Bucket": bucket, "Key": "k"}, RequestPayer="requester")

    assert {request.header("x-amz-request-payer") for request in proxy.requests} == {"requester"}
    owners = {request.header("x-amz-expected-bucket-owner") for request in proxy.requests if request.method == "GET"}
    assert owners == {"123456789012"}
