"""The servers of the tests, reached by plain boto3, directly and through the proxy."""

import base64
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from s3envelope.testing.s3_proxy import ErrorAnswer, S3Proxy, matching
from s3envelope.testing.streams import HashingSink, PatternStream
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.servers import MotoLog

NewBucket = Callable[[Endpoint], str]
Proxied = tuple[S3Proxy, Endpoint]

CANARY = b"CANARY-" + bytes([0xFB, 0xEF, 0xBE, 0xFF, 0xFE]) + b"-0123456789"
MIB = 1024 * 1024


@pytest.fixture(params=["http", "https"])
def proxied(request: pytest.FixtureRequest, any_s3: Endpoint) -> Proxied:
    make: ProxyFactory = request.getfixturevalue(f"{request.param}_proxy")
    return make(any_s3)


@pytest.fixture
def bucket(any_s3: Endpoint, new_bucket: NewBucket) -> str:
    return new_bucket(any_s3)


def _config(endpoint: Endpoint) -> dict[str, str]:
    """JuiceFS refuses the aws-chunked trailers that boto3 sends over https by default."""
    if endpoint.name == "juicefs" and endpoint.url.startswith("https"):
        return {"request_checksum_calculation": "when_required"}
    return {}


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_object_when_put_through_proxy_then_same_bytes_back(proxied: Proxied, bucket: str, size: int) -> None:
    proxy, endpoint = proxied
    client = endpoint.client(**_config(endpoint))
    body = os.urandom(size)

    client.put_object(Bucket=bucket, Key="k", Body=body)

    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == size
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    assert [(request.method, request.status) for request in proxy.requests] == [
        ("PUT", 200),
        ("HEAD", 200),
        ("GET", 200),
    ]
    assert proxy.requests[0].body_size == size


@pytest.mark.parametrize(("byte_range", "start", "end"), [("0-9", 0, 10), ("5000-", 5000, 9000), ("-7", 8993, 9000)])
def test_range_when_read_through_proxy_then_those_bytes(
    proxied: Proxied, bucket: str, byte_range: str, start: int, end: int
) -> None:
    client = proxied[1].client(**_config(proxied[1]))
    body = os.urandom(9000)
    client.put_object(Bucket=bucket, Key="k", Body=body)

    answer = client.get_object(Bucket=bucket, Key="k", Range=f"bytes={byte_range}")

    assert answer["Body"].read() == body[start:end]
    assert answer["ContentRange"] == f"bytes {start}-{end - 1}/9000"


def test_multipart_when_transferred_through_proxy_then_same_bytes_and_canary_found_in_each_part(
    proxied: Proxied, bucket: str
) -> None:
    proxy, endpoint = proxied
    proxy.forbid(CANARY)
    client = endpoint.client(**_config(endpoint))
    source = PatternStream(11 * MIB, canary=CANARY, canary_interval=5 * MIB, canary_offset=256 * 1024 - 9)
    transfer = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=3)
    expected_digest = source.sha256_hex()

    client.upload_fileobj(source, bucket, "k", Config=transfer)  # type: ignore[arg-type]
    sink = HashingSink()
    client.download_fileobj(bucket, "k", sink, Config=transfer)  # type: ignore[arg-type]

    assert sink.hexdigest() == expected_digest
    assert len({leak.request.query for leak in proxy.leaks}) == 3


def _spellings() -> dict[str, bytes]:
    spellings = {"raw": CANARY, "hex": CANARY.hex().encode(), "HEX": CANARY.hex().upper().encode()}
    for alignment in range(3):
        surrounded = b"#" * alignment + CANARY + b"##"
        spellings[f"base64+{alignment}"] = base64.b64encode(surrounded)
        spellings[f"base64url+{alignment}"] = base64.urlsafe_b64encode(surrounded)
    return spellings


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("encoding", _spellings())
def test_canary_when_plain_boto3_uploads_it_then_found_across_every_boundary(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    scheme: str,
    encoding: str,
) -> None:
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    proxy, endpoint = make(moto_s3)
    proxy.forbid(CANARY)
    secret = _spellings()[encoding]
    # boto3 cuts aws-chunked bodies at 1 MiB, the proxy reads 256 KiB: the secret lies across both cuts.
    body = bytes(MIB - len(secret) // 2) + secret + bytes(1000)

    endpoint.client().put_object(Bucket=new_bucket(moto_s3), Key="k", Body=body)

    (leak,) = proxy.leaks
    assert (leak.where, leak.encoding) == ("body", encoding)
    assert leak.request.header("content-encoding") == {"http": "", "https": "aws-chunked"}[scheme]


def test_canary_when_in_metadata_or_tags_then_found(
    http_proxy: ProxyFactory, moto_s3: Endpoint, new_bucket: NewBucket
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(b"secret words/here")
    client = endpoint.client()
    name = new_bucket(moto_s3)

    client.put_object(Bucket=name, Key="k", Metadata={"note": "secret words/here"})
    client.put_object(Bucket=name, Key="k", Tagging="note=secret+words%2Fhere")
    client.put_object(Bucket=name, Key="secret words/here")

    assert [leak.request.number for leak in proxy.leaks] == [1, 2, 3]


def test_fault_when_injected_then_boto3_sees_slow_down_and_retries(
    http_proxy: ProxyFactory, moto_s3: Endpoint, new_bucket: NewBucket
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    name = new_bucket(moto_s3)
    proxy.inject(ErrorAnswer(), matching(method="PUT"))

    with pytest.raises(ClientError, match="SlowDown"):
        endpoint.client().put_object(Bucket=name, Key="k", Body=b"b")
    proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="PUT"))
    endpoint.client(retries={"total_max_attempts": 2, "mode": "standard"}).put_object(Bucket=name, Key="k")

    assert [request.status for request in proxy.requests] == [503, 500, 200]


@pytest.mark.parametrize("server", ["seaweedfs", "juicefs"])
def test_real_server_when_secret_key_is_wrong_then_refused(request: pytest.FixtureRequest, server: str) -> None:
    endpoint: Endpoint = request.getfixturevalue(server)
    stranger = Endpoint(server, endpoint.url, endpoint.access_key, "wrong-secret")

    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.client().list_buckets()


def test_juicefs_when_default_trailers_over_https_then_error_and_nothing_stored(
    juicefs: Endpoint, https_proxy: ProxyFactory, new_bucket: NewBucket
) -> None:
    name = new_bucket(juicefs)
    client = https_proxy(juicefs)[1].client()

    with pytest.raises(ClientError):
        client.put_object(Bucket=name, Key="k", Body=b"body")

    assert juicefs.client().list_objects_v2(Bucket=name)["KeyCount"] == 0


def test_seaweedfs_when_bucket_is_missing_then_put_does_not_make_it(seaweedfs: Endpoint) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        seaweedfs.client().put_object(Bucket="never-made", Key="k", Body=b"b")


def test_server_when_running_then_only_on_its_loopback_address(any_s3: Endpoint) -> None:
    port = int(any_s3.url.rpartition(":")[2])

    # A server on all addresses would answer here as well.
    with pytest.raises(OSError):  # noqa: PT011 - refused, or no such address: both will do
        socket.create_connection(("127.0.0.2", port), timeout=2).close()


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ContentMD5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
        ({"ChecksumSHA256": base64.b64encode(bytes(32)).decode()}, "BadDigest"),
        ({"Metadata": {"a": "x" * 2048}}, "MetadataTooLarge"),
    ],
)
def test_strict_moto_when_request_is_wrong_then_refused_as_by_s3(
    moto_s3: Endpoint, new_bucket: NewBucket, parameters: dict[str, Any], code: str
) -> None:
    client = moto_s3.client()

    with pytest.raises(ClientError, match=code):
        client.put_object(Bucket=new_bucket(moto_s3), Key="k", Body=b"body", **parameters)


@pytest.mark.parametrize(
    ("old", "new", "scheme", "code"),
    [
        (b"body", b"bodY", "http", "XAmzContentSHA256Mismatch"),
        (b"body", b"bodY", "https", "BadDigest"),
        (b"4\r\nbody", b"3\r\nbod", "https", "IncompleteBody"),
        (b"4\r\nbody", b"9\r\nbody", "https", "IncompleteBody"),
    ],
)
def test_strict_moto_when_body_is_changed_on_the_way_then_refused_as_by_s3(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    old: bytes,
    new: bytes,
    scheme: str,
    code: str,
) -> None:
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    proxy, endpoint = make(moto_s3)
    name = new_bucket(moto_s3)
    proxy.on_request(matching(method="PUT"), lambda sent: replace(sent, body=sent.body.replace(old, new)))

    with pytest.raises(ClientError, match=code):
        endpoint.client(request_checksum_calculation="when_supported").put_object(Bucket=name, Key="k", Body=b"body")


def test_strict_moto_when_metadata_is_exactly_2_kb_then_stored(moto_s3: Endpoint, new_bucket: NewBucket) -> None:
    client = moto_s3.client()

    client.put_object(Bucket=(name := new_bucket(moto_s3)), Key="k", Metadata={"a": "x" * 2047})

    assert client.head_object(Bucket=name, Key="k")["Metadata"] == {"a": "x" * 2047}


def test_moto_log_when_requests_are_made_then_has_them(
    moto_s3: Endpoint, moto_log: MotoLog, new_bucket: NewBucket
) -> None:
    name = new_bucket(moto_s3)
    moto_s3.client().put_object(Bucket=name, Key="k", Body=b"12345")

    entries = moto_log.requests()

    assert [(entry["method"], entry["path"], entry["status"]) for entry in entries] == [
        ("PUT", f"/{name}", 200),
        ("PUT", f"/{name}/k", 200),
    ]
    assert entries[1]["body_size"] == 5
    moto_log.clear()
    assert moto_log.requests() == []
