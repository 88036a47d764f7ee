"""The attacks of THREATS.md on uploads, copies and the ways around the client; the numbers are those of its table."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from s3envelope import RawAesKeyring, errors
from s3envelope.testing.s3_proxy import ErrorAnswer, StoredAnswers, matching, replay
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, ClientFactory, enveloped_client
from tests.support.hostile_bucket import HostileBucket, Reading

PART = 5 << 20
FIRST, LAST, OTHER = (CANARY * (PART // len(CANARY) + 1))[:PART], CANARY + b"last", CANARY + b"LAST"


@pytest.fixture
def bucket(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> HostileBucket:
    """Return a bucket behind a proxy that keeps every body and knows the canary of all plaintext."""
    proxy, endpoint = http_proxy(moto_s3, keep_bodies=True)
    proxy.forbid(CANARY)
    return HostileBucket(new_bucket(moto_s3), sealed(endpoint), moto_s3.client(), proxy)


def _create(bucket: HostileBucket, key: str = "k") -> str:
    arguments: dict[str, Any] = {"Bucket": bucket.name, "Key": key, "PartSize": PART}
    return bucket.client.create_multipart_upload(**arguments)["UploadId"]


def _upload(bucket: HostileBucket, upload_id: str, number: int, plaintext: bytes, key: str = "k") -> dict[str, Any]:
    answer = bucket.client.upload_part(
        Bucket=bucket.name, Key=key, UploadId=upload_id, PartNumber=number, Body=plaintext
    )
    return {"PartNumber": number, "ETag": answer["ETag"]}


def _complete(bucket: HostileBucket, upload_id: str, parts: list[Any], key: str = "k") -> None:
    bucket.client.complete_multipart_upload(
        Bucket=bucket.name, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
    )


def test_threat_22_confused_copy(bucket: HostileBucket) -> None:
    bucket.put("source", b"genuine")
    bucket.put("target", b"another")
    source: Any = {"Bucket": bucket.name, "Key": "source"}

    # A tool that does not know the format copies: the copy opens under the source's name only.
    bucket.plain.copy_object(Bucket=bucket.name, Key="target", CopySource=source)

    reading = bucket.read("target")
    assert type(reading.error) is errors.NameBindingError
    assert reading.released == b""
    assert bucket.read("source") == Reading(b"genuine", None)


@pytest.mark.parametrize("method", ["copy_object", "copy"])
def test_threat_22_copy_by_the_client(bucket: HostileBucket, method: str) -> None:
    source: Any = {"Bucket": bucket.name, "Key": "source"}
    bucket.put("source", b"genuine")
    bucket.put("other", b"another")
    copy = getattr(bucket.client, method)
    copy(Bucket=bucket.name, Key="target", CopySource=source)
    assert bucket.read("target") == Reading(b"genuine", None)

    # The storage swaps the source: it does not open under its name, and nothing is copied.
    bucket.replace("source", bucket.stored("other"))
    bucket.proxy.clear()
    with pytest.raises(errors.NameBindingError):
        copy(Bucket=bucket.name, Key="target", CopySource=source)

    assert [request for request in bucket.proxy.requests if request.method == "PUT"] == []
    assert bucket.read("target") == Reading(b"genuine", None)


def test_threat_22_overwritten_source(bucket: HostileBucket) -> None:
    bucket.put("source", b"genuine")

    bucket.client.copy_object(Bucket=bucket.name, Key="t", CopySource={"Bucket": bucket.name, "Key": "source"})

    # The copy is tied to the version whose header was read.
    (request,) = [
        request for request in bucket.proxy.requests if request.method == "PUT" and request.path.endswith("/t")
    ]
    etag = bucket.plain.head_object(Bucket=bucket.name, Key="source")["ETag"]
    assert dict(request.headers)["x-amz-copy-source-if-match"] == etag


def _fail_part(bucket: HostileBucket, upload_id: str, number: int, plaintext: bytes) -> bytes:
    """Let a call fail after the server had its bytes; return them."""
    bucket.proxy.clear()
    bucket.proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="PUT", contains=f"partNumber={number}"))
    with pytest.raises(ClientError):
        _upload(bucket, upload_id, number, plaintext)
    (request,) = bucket.proxy.requests
    assert request.body is not None
    return request.body


def test_threat_24_failed_part_as_end(bucket: HostileBucket) -> None:
    upload_id = _create(bucket)
    first = _upload(bucket, upload_id, 1, FIRST)
    seen = _fail_part(bucket, upload_id, 2, LAST)
    bucket.proxy.clear()

    # The server has a genuine end now. It must not become one behind the caller's back.
    for parts in ([first], [first, {"PartNumber": 2, "ETag": '"x"'}], []):
        with pytest.raises(errors.UnsupportedOperationError):
            _complete(bucket, upload_id, parts)
    with pytest.raises(errors.UnsupportedOperationError):
        _upload(bucket, upload_id, 3, FIRST)
    # Nor may another version of the part be mixed with the one that the server has.
    with pytest.raises(errors.SourceChangedError):
        _upload(bucket, upload_id, 2, LAST + b"longer")

    assert bucket.proxy.requests == []
    assert len(seen) == len(LAST) + 28
    assert bucket.proxy.leaks == []


@pytest.mark.parametrize("plaintext", [LAST, OTHER])
def test_threat_24_repeated_part(bucket: HostileBucket, plaintext: bytes) -> None:
    upload_id = _create(bucket)
    first = _upload(bucket, upload_id, 1, FIRST)
    seen = _fail_part(bucket, upload_id, 2, LAST)
    bucket.proxy.clear()

    if plaintext != LAST:
        with pytest.raises(errors.SourceChangedError):
            _upload(bucket, upload_id, 2, plaintext)
        assert [request.body for request in bucket.proxy.requests if request.body] == []
        return
    last = _upload(bucket, upload_id, 2, plaintext)
    _complete(bucket, upload_id, [first, last])

    assert bucket.proxy.requests[0].body == seen
    assert bucket.read("k").released == FIRST + LAST


@pytest.mark.parametrize("key", ["k", "other"])
def test_threat_25_reused_upload_id(bucket: HostileBucket, key: str) -> None:
    answers = StoredAnswers()
    bucket.proxy.on_response(matching(method="POST", contains="uploads"), answers, times=1)
    upload_id = _create(bucket)
    bucket.proxy.on_response(
        matching(method="POST", contains="uploads"),
        replay(answers.latest(path=f"/{bucket.name}/k", method="POST")),
        times=1,
    )

    if key == "k":
        with pytest.raises(errors.UnsupportedOperationError, match="gave the id"):
            _create(bucket)
        return
    # Under another key the state is another one: what is sent under one name never opens under the other.
    assert _create(bucket, "other") == upload_id
    bucket.proxy.clear()
    part = _upload(bucket, upload_id, 1, LAST)
    _complete(bucket, upload_id, [part])

    assert bucket.read("k").released == LAST
    with pytest.raises(ClientError):
        _complete(bucket, upload_id, [_upload(bucket, upload_id, 1, LAST, "other")], "other")


def test_threat_25_upload_of_somebody_else(bucket: HostileBucket) -> None:
    foreign = bucket.plain.create_multipart_upload(Bucket=bucket.name, Key="k")["UploadId"]
    own = _create(bucket)
    bucket.proxy.clear()

    refused, unknown = errors.UnsupportedOperationError, bucket.client.exceptions.NoSuchUpload
    for upload_id, key, refusal in ((foreign, "k", refused), (own, "other", refused), ("invented", "k", unknown)):
        with pytest.raises(refusal):
            _upload(bucket, upload_id, 1, LAST, key)
        with pytest.raises(refusal):
            _complete(bucket, upload_id, [{"PartNumber": 1, "ETag": "x"}], key)

    # S3 is asked whether it knows the upload, and sent nothing.
    assert {request.method for request in bucket.proxy.requests} == {"GET"}


def test_threat_27_recipient_of_a_copy(bucket: HostileBucket, moto_s3: Endpoint) -> None:
    recipient = RawAesKeyring(bytes(32), "recipient")
    theirs = enveloped_client(moto_s3, recipient)
    source: Any = {"Bucket": bucket.name, "Key": "source"}
    stored = bucket.put("source", b"genuine")

    # Another keyring writes the copy: it shares the body's key with new readers only when it is told to.
    with pytest.raises(errors.UnsupportedOperationError, match="ShareKey"):
        theirs.copy(source, bucket.name, "copy", SourceClient=bucket.client)
    theirs.copy(source, bucket.name, "copy", ExtraArgs={"ShareKey": True}, SourceClient=bucket.client)

    assert theirs.get_object(Bucket=bucket.name, Key="copy")["Body"].read() == b"genuine"
    # What the recipient got is a data key of its own: it opens no sibling of the source, nor the source.
    with pytest.raises(errors.NoMatchingKeyError):
        theirs.get_object(Bucket=bucket.name, Key="source")
    assert bucket.stored("source") == stored
    assert bucket.stored("copy").metadata["se1-k"] != stored.metadata["se1-k"]
    theirs.close()


def _crt_upload(client: S3Client, bucket: str) -> None:
    client.upload_fileobj(io.BytesIO(LAST), bucket, "k", Config=TransferConfig(preferred_transfer_client="crt"))


WAYS_AROUND: dict[str, Callable[[S3Client, str], object]] = {
    "crt": _crt_upload,
    "presigned put": lambda client, bucket: client.generate_presigned_url(
        "put_object", Params={"Bucket": bucket, "Key": "k"}
    ),
    "presigned part": lambda client, bucket: client.generate_presigned_url(
        "upload_part", Params={"Bucket": bucket, "Key": "k", "UploadId": "u", "PartNumber": 1}
    ),
    "presigned get": lambda client, bucket: client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "k"}
    ),
    "presigned post": lambda client, bucket: client.generate_presigned_post(bucket, "k"),
    "annotation": lambda client, bucket: client.put_object_annotation(
        Bucket=bucket, Key="k", AnnotationName="a", AnnotationPayload=LAST
    ),
    "object lambda": lambda client, bucket: client.write_get_object_response(
        RequestRoute="r", RequestToken="t", Body=LAST
    ),
    "restore that queries": lambda client, bucket: client.restore_object(
        Bucket=bucket, Key="k", RestoreRequest={"Type": "SELECT"}
    ),
    "append": lambda client, bucket: client.put_object(Bucket=bucket, Key="k", Body=LAST, WriteOffsetBytes=5),
    "checksum of the plaintext that is not verified": lambda client, bucket: client.put_object(
        Bucket=bucket, Key="k", Body=LAST, ChecksumCRC64NVME="AAAAAAAAAAA="
    ),
}


@pytest.mark.parametrize("way", WAYS_AROUND)
def test_threat_28_no_way_around(bucket: HostileBucket, way: str) -> None:
    with pytest.raises(errors.UnsupportedOperationError):
        WAYS_AROUND[way](bucket.client, bucket.name)

    assert bucket.proxy.requests == []


@pytest.mark.parametrize("name", ["ContentMD5", "ChecksumSHA256"])
def test_threat_28_checksum_of_the_plaintext(bucket: HostileBucket, name: str) -> None:
    digest = hashlib.md5(LAST).digest() if name == "ContentMD5" else hashlib.sha256(LAST).digest()  # noqa: S324
    checksum = base64.b64encode(digest).decode()
    bucket.proxy.forbid(checksum.encode())
    right: dict[str, Any] = {"Bucket": bucket.name, "Key": "k", "Body": LAST, name: checksum}
    with pytest.raises(ClientError, match="BadDigest"):
        bucket.client.put_object(**{**right, "Body": OTHER})
    assert bucket.proxy.requests == []

    bucket.client.put_object(**right)

    assert bucket.read("k") == Reading(LAST, None)
    assert bucket.proxy.leaks == []


def test_threat_28_replaced_body(bucket: HostileBucket) -> None:
    def replace(params: dict[str, Any], **_: object) -> None:
        params["body"] = LAST

    bucket.client.meta.events.register("before-call.s3.PutObject", replace)

    with pytest.raises(errors.UnsupportedOperationError, match="nothing was sent"):
        bucket.client.put_object(Bucket=bucket.name, Key="k", Body=b"x")

    assert bucket.proxy.requests == []
