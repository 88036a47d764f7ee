"""Sizes and ranges at their edges: nothing, oddities, plain objects, overwritten objects, downloads without HEAD."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client
from s3transfer.exceptions import S3DownloadFailedError

from s3envelope.errors import UnsupportedOperationError
from s3envelope.testing.s3_proxy import Latency, RecordedRequest, matching
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import PART, Uploading, pieces, read

SIZE = 2 * SEGMENT_SIZE + 1000
MODES = pytest.mark.parametrize("mode", ["when_supported", "when_required"])
GET = matching(method="GET")
ODDITIES = [
    "bytes=5-2",
    "bytes=0-1,5-6",
    "bytes=-0",
    "bytes=-99",
    "bytes=-999999",
    "bytes=0-999999",
    "bytes=99-",
    "bytes=999999-",
    "bytes=999999-9999999",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "lines=0-5",
    "junk",
    "bytes=0 - 5",
    "BYTES=0-5",
    "bytes=00-05",
    "bytes=0-5 ",
]


def _outcome(client: S3Client, operation: str, **arguments: Any) -> dict[str, Any]:
    """Return what a caller can see of a read: status, sizes, ranges, body, or the error."""
    try:
        answer = getattr(client, operation)(**arguments)
    except ClientError as error:
        response: dict[str, Any] = dict(error.response)
        names = ("Code", "ActualObjectSize", "RangeRequested")
        return {
            "class": type(error).__name__,
            "status": response["ResponseMetadata"]["HTTPStatusCode"],
            **{name: response["Error"].get(name) for name in names},
        }
    metadata = answer["ResponseMetadata"]
    headers = {name: metadata["HTTPHeaders"].get(name) for name in ("content-length", "content-range")}
    body = answer["Body"].read() if "Body" in answer else None
    return {
        "status": metadata["HTTPStatusCode"],
        "ContentRange": answer.get("ContentRange"),
        "ContentLength": answer["ContentLength"],
        "headers": headers,
        "body": body,
    }


# ---- nothing ----


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=5-9"])
def test_range_of_an_empty_object_is_416_with_an_actual_size_of_0(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, header: str
) -> None:
    client, bucket = sealed(any_s3), new_bucket(any_s3)
    client.put_object(Bucket=bucket, Key="k", Body=b"")

    outcome = _outcome(client, "get_object", Bucket=bucket, Key="k", Range=header)

    assert outcome == {
        "class": "ClientError",
        "status": 416,
        "Code": "InvalidRange",
        "ActualObjectSize": "0",
        "RangeRequested": header,
    }
    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == 0


@MODES
@pytest.mark.parametrize("written", ["put_object", "upload_part"])
def test_download_of_an_empty_object_makes_an_empty_file(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, mode: str, written: str, tmp_path: Path
) -> None:
    client, bucket = sealed(any_s3, response_checksum_validation=mode), new_bucket(any_s3)
    if written == "put_object":
        client.put_object(Bucket=bucket, Key="k", Body=b"")
    else:
        upload = Uploading(client, bucket)
        upload.part(1, b"")
        upload.complete()
    path, seen, sink = tmp_path / "empty", list[int](), io.BytesIO()

    client.download_file(bucket, "k", str(path), Callback=seen.append)
    client.download_fileobj(bucket, "k", sink)

    assert (path.read_bytes(), sum(seen), sink.getvalue()) == (b"", 0, b"")
    assert [entry.name for entry in tmp_path.iterdir()] == ["empty"]


# ---- oddities ----

# What these servers do in ways of their own, where S3 ignores the header and returns the whole object.
OWN_WAYS = {
    "moto": {"junk", "lines=0-5", "bytes=0 - 5", "BYTES=0-5"},
    "seaweedfs": {"bytes=5-2", "bytes=-", "bytes=a-b", "bytes=0 - 5"},
    "juicefs": {"bytes=5-2"},
}
SUFFIXES = {"bytes=-99", "bytes=-999999"}


def _has_own_way(server: str, header: str, size: int) -> bool:
    if size == 0 and header in SUFFIXES:
        # S3 answers 416; moto and JuiceFS take a suffix of nothing for something.
        return server != "seaweedfs"
    return header in OWN_WAYS[server] or (server == "moto" and header == "bytes=5-2" and size <= 5)


@pytest.mark.parametrize("size", [0, 1, 100, SIZE])
def test_odd_range_has_the_status_the_content_range_and_the_error_of_a_plain_client(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, size: int
) -> None:
    client, plain, bucket = sealed(any_s3), any_s3.client(), new_bucket(any_s3)
    client.put_object(Bucket=bucket, Key="sealed", Body=plaintext_of(size))
    plain.put_object(Bucket=bucket, Key="plain", Body=plaintext_of(size))

    for header in ODDITIES:
        ours = _outcome(client, "get_object", Bucket=bucket, Key="sealed", Range=header)
        if size > 0 and header in OWN_WAYS[any_s3.name]:
            assert (ours["status"], ours["ContentRange"], ours["body"]) == (200, None, plaintext_of(size)), header
        if _has_own_way(any_s3.name, header, size):
            continue
        theirs = _outcome(plain, "get_object", Bucket=bucket, Key="plain", Range=header)
        if theirs["status"] == 416 and theirs["ActualObjectSize"] is None:
            # Not every server tells these two.
            assert (ours.pop("ActualObjectSize"), ours.pop("RangeRequested")) == (str(size), header)
            theirs = {name: value for name, value in theirs.items() if name in ours}
        assert ours == theirs, header


# ---- objects without envelope ----


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=-7", "bytes=1000-", "bytes=0-99999999", "bytes=99999999-"])
@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_range_of_a_plain_object_is_that_of_a_plain_client_where_plain_objects_are_allowed(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, header: str, operation: str
) -> None:
    client, plain = sealed(any_s3, envelope={"unencrypted": "allow"}), any_s3.client()
    bucket = new_bucket(any_s3)
    plain.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))
    asked: dict[str, Any] = {"Bucket": bucket, "Key": "k", "Range": header}

    assert _outcome(client, operation, **asked) == _outcome(plain, operation, **asked)


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
@pytest.mark.parametrize("unencrypted", ["refuse", "allow"])
def test_part_number_of_a_plain_object_is_refused_like_that_of_a_sealed_one(
    moto_s3: Endpoint,
    http_proxy: ProxyFactory,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    operation: str,
    unencrypted: str,
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    client, bucket = sealed(endpoint, envelope={"unencrypted": unencrypted}), new_bucket(moto_s3)
    moto_s3.client().put_object(Bucket=bucket, Key="k", Body=b"plain")

    with pytest.raises(UnsupportedOperationError, match="PartNumber"):
        getattr(client, operation)(Bucket=bucket, Key="k", PartNumber=1)

    assert proxy.requests == []


# ---- objects that are overwritten ----


@pytest.mark.parametrize("server", ["moto_s3", "seaweedfs"])
@pytest.mark.parametrize("how", ["file", "stream"])
def test_download_when_the_object_is_overwritten_midway_fails_as_boto3_s_and_mixes_nothing(
    request: pytest.FixtureRequest,
    http_proxy: ProxyFactory,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    server: str,
    how: str,
    tmp_path: Path,
) -> None:
    storage: Endpoint = request.getfixturevalue(server)
    proxy, endpoint = http_proxy(storage)
    client, bucket = sealed(endpoint), new_bucket(storage)
    old = plaintext_of(9 * MIB)
    client.upload_fileobj(io.BytesIO(old), bucket, "k")
    overwriter = sealed(storage)
    overwritten = threading.Event()

    def overwrite_after_the_first(seen: RecordedRequest) -> bool:
        if GET(seen) and not seen.header("range").startswith("bytes=0-") and not overwritten.is_set():
            overwritten.set()
            overwriter.put_object(Bucket=bucket, Key="k", Body=bytes(9 * MIB))
        return False

    proxy.inject(Latency(0), overwrite_after_the_first)
    config, sink = TransferConfig(max_concurrency=1, use_threads=False), io.BytesIO()

    def download() -> None:
        if how == "file":
            client.download_file(bucket, "k", str(tmp_path / "file"), Config=config)
        else:
            client.download_fileobj(bucket, "k", sink, Config=config)

    with pytest.raises(S3DownloadFailedError):
        download()

    assert overwritten.is_set()
    assert list(tmp_path.iterdir()) == []
    assert old.startswith(sink.getvalue())


# ---- downloads without HEAD ----


@pytest.mark.parametrize("size", [1, SEGMENT_SIZE, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 17 * MIB])
@pytest.mark.parametrize("layout", ["plain", "indexed"])
def test_download_file_that_asks_for_no_head_takes_the_size_of_the_plaintext_from_the_content_range(
    moto_s3: Endpoint,
    http_proxy: ProxyFactory,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    size: int,
    layout: str,
    tmp_path: Path,
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    client, bucket = sealed(endpoint, response_checksum_validation="when_required"), new_bucket(moto_s3)
    path, seen = tmp_path / "file", list[int]()
    if layout == "plain":
        client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k")
    else:
        sizes = [size] if size <= PART else [PART, size - PART]
        upload = Uploading(client, bucket)
        for number, body in enumerate(pieces(*sizes), 1):
            upload.part(number, body)
        upload.complete()
    proxy.clear()

    client.download_file(bucket, "k", str(path), Callback=seen.append)

    assert path.read_bytes() == plaintext_of(size)
    assert sum(seen) == size
    assert {request.method for request in proxy.requests} == {"GET"}
    if layout == "plain":
        # One per 8 MiB of plaintext: a larger total would cost one more, whose 416 s3transfer takes for the end.
        assert len(proxy.requests) == -(-size // (8 * MIB))
    first = client.get_object(Bucket=bucket, Key="k", Range=f"bytes=0-{8 * MIB - 1}")
    assert first["ContentRange"] == f"bytes 0-{min(size, 8 * MIB) - 1}/{size}"


# ---- what an answer says of sizes ----


@pytest.mark.parametrize("layout", ["plain", "indexed"])
@pytest.mark.parametrize("size", [1, 2 * PART + 3])
def test_sizes_in_attributes_head_get_and_their_http_headers_agree(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, layout: str, size: int
) -> None:
    client, bucket = sealed(any_s3), new_bucket(any_s3)
    if layout == "plain":
        client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(size), ChecksumAlgorithm="SHA256")
    else:
        upload = Uploading(client, bucket)
        upload.part(3, plaintext_of(size))
        upload.complete()

    whole = _outcome(client, "get_object", Bucket=bucket, Key="k")
    head = _outcome(client, "head_object", Bucket=bucket, Key="k")
    part = _outcome(client, "get_object", Bucket=bucket, Key="k", Range="bytes=0-0")

    lengths = {"content-length": str(size), "content-range": None}
    assert (whole["ContentLength"], head["ContentLength"]) == (size, size)
    assert whole["headers"] == head["headers"] == lengths
    assert part["headers"] == {"content-length": "1", "content-range": f"bytes 0-0/{size}"}
    assert (part["ContentLength"], part["ContentRange"]) == (1, f"bytes 0-0/{size}")
    assert read(client, bucket) == plaintext_of(size)
    if any_s3.name != "juicefs":  # It has no GetObjectAttributes.
        wanted: Any = ["ObjectSize", "Checksum", "ObjectParts", "ETag"]
        answer = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
        assert answer["ObjectSize"] == size
        assert not {"Checksum", "ObjectParts"} & set(answer)
        assert answer["ETag"] == client.head_object(Bucket=bucket, Key="k")["ETag"].strip('"')
