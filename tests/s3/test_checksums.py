"""Checksums that a caller gives: verified against the plaintext before anything is sent, and never sent."""

import base64
import hashlib
import io
import zlib
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from s3envelope.errors import UnsupportedOperationError
from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import S3Proxy
from s3envelope.testing.streams import NonSeekableSource
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, MIB, ClientFactory, NewBucket, plaintext_of

PLAINTEXT = plaintext_of(100 * KIB)


def _checksums(plaintext: bytes) -> dict[str, str]:
    digests = {
        "ContentMD5": hashlib.md5(plaintext, usedforsecurity=False).digest(),
        "ChecksumCRC32": zlib.crc32(plaintext).to_bytes(4, "big"),
        "ChecksumSHA1": hashlib.sha1(plaintext, usedforsecurity=False).digest(),
        "ChecksumSHA256": hashlib.sha256(plaintext).digest(),
        "ChecksumSHA512": hashlib.sha512(plaintext).digest(),
        "ChecksumMD5": hashlib.md5(plaintext, usedforsecurity=False).digest(),
    }
    return {name: base64.b64encode(digest).decode() for name, digest in digests.items()}


RIGHT, WRONG = _checksums(PLAINTEXT), _checksums(PLAINTEXT + b"x")
UNVERIFIABLE = {
    "ChecksumCRC32C": "AAAAAA==",
    "ChecksumCRC64NVME": "AAAAAAAAAAA=",
    "ChecksumXXHASH64": "AAAAAAAAAAA=",
    "ChecksumXXHASH3": "AAAAAAAAAAA=",
    "ChecksumXXHASH128": "AAAAAAAAAAAAAAAAAAAAAA==",
}
Watched = tuple[S3Client, S3Proxy, str]


@pytest.fixture(params=["http", "https"])
def watched(
    request: pytest.FixtureRequest, moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, kms: LocalKms
) -> Watched:
    """Return a client, the proxy that sees its requests and looks for the right checksums, and a bucket."""
    make: ProxyFactory = request.getfixturevalue(f"{request.param}_proxy")
    proxy, endpoint = make(moto_s3)
    for value in RIGHT.values():
        if len(value) >= 12:
            proxy.forbid(value.encode())
    return sealed(endpoint), proxy, new_bucket(moto_s3)


def _headers_sent(proxy: S3Proxy) -> str:
    return repr([request.headers for request in proxy.requests])


@pytest.mark.parametrize("name", RIGHT)
def test_checksum_when_right_then_stored_and_not_sent(watched: Watched, name: str) -> None:
    client, proxy, bucket = watched
    arguments: dict[str, Any] = {name: RIGHT[name]}

    client.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(PLAINTEXT), **arguments)

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == PLAINTEXT
    assert proxy.leaks == []
    assert RIGHT[name] not in _headers_sent(proxy)


@pytest.mark.parametrize("name", WRONG)
def test_checksum_when_wrong_then_bad_digest_before_any_request(watched: Watched, kms: LocalKms, name: str) -> None:
    client, proxy, bucket = watched
    arguments: dict[str, Any] = {name: WRONG[name]}

    with pytest.raises(ClientError) as raised:
        client.put_object(Bucket=bucket, Key="k", Body=PLAINTEXT, **arguments)

    assert raised.value.response["Error"]["Code"] == "BadDigest"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert (proxy.requests, kms.calls) == ([], ())
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_checksums_of_botocore_when_listed_are_all_in_these_tests(operation: str) -> None:
    shape: Any = botocore.session.get_session().get_service_model("s3").operation_model(operation).input_shape

    known = {name for name in shape.members if name == "ContentMD5" or name.startswith("Checksum")} - {
        "ChecksumAlgorithm"
    }

    assert known == {*RIGHT, *UNVERIFIABLE}


@pytest.mark.parametrize("name", UNVERIFIABLE)
def test_checksum_when_it_cannot_be_computed_here_then_refused_before_any_request(
    watched: Watched, kms: LocalKms, name: str
) -> None:
    client, proxy, bucket = watched
    arguments: dict[str, Any] = {name: UNVERIFIABLE[name]}

    with pytest.raises(UnsupportedOperationError, match=name):
        client.put_object(Bucket=bucket, Key="k", Body=PLAINTEXT, **arguments)

    assert (proxy.requests, kms.calls) == ([], ())


def test_checksum_when_the_body_can_be_read_once_only_then_refused_before_any_request(watched: Watched) -> None:
    client, proxy, bucket = watched
    body: Any = NonSeekableSource(PLAINTEXT)

    with pytest.raises(UnsupportedOperationError):
        client.put_object(Bucket=bucket, Key="k", Body=body, ChecksumSHA256=RIGHT["ChecksumSHA256"])
    with pytest.raises(UnsupportedOperationError):
        client.upload_fileobj(body, bucket, "k", ExtraArgs={"ChecksumSHA256": RIGHT["ChecksumSHA256"]})

    assert proxy.requests == []


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_algorithm_when_chosen_then_the_checksum_sent_is_the_ciphertext_s(watched: Watched, algorithm: Any) -> None:
    client, proxy, bucket = watched

    client.put_object(Bucket=bucket, Key="k", Body=PLAINTEXT, ChecksumAlgorithm=algorithm)

    # The strict server has compared it with what it received.
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == PLAINTEXT
    assert RIGHT[f"Checksum{algorithm}"] not in _headers_sent(proxy)


@pytest.mark.parametrize("size", [100 * KIB, 9 * MIB])
@pytest.mark.parametrize("name", [name for name in RIGHT if name != "ContentMD5"])
def test_upload_file_when_checksum_is_right_then_stored_and_not_sent_when_wrong_then_nothing_sent(
    watched: Watched, kms: LocalKms, size: int, name: str, tmp_path: Path
) -> None:
    client, proxy, bucket = watched
    plaintext, path = plaintext_of(size), tmp_path / "file"
    path.write_bytes(plaintext)
    right = _checksums(plaintext)[name]

    # boto3's upload_file wraps errors of S3; this one is raised in its place, before the transfer begins.
    with pytest.raises((ClientError, S3UploadFailedError), match="BadDigest"):
        client.upload_file(str(path), bucket, "k", ExtraArgs={name: _checksums(b"other")[name]})
    assert (proxy.requests, kms.calls) == ([], ())
    client.upload_file(str(path), bucket, "k", ExtraArgs={name: right})

    assert right not in _headers_sent(proxy)
    sink = io.BytesIO()
    client.download_fileobj(bucket, "k", sink)
    assert sink.getvalue() == plaintext


@pytest.mark.parametrize("name", RIGHT)
def test_part_when_checksum_is_wrong_then_bad_digest_and_the_part_can_be_sent_again(
    watched: Watched, name: str
) -> None:
    client, proxy, bucket = watched
    part_size: dict[str, Any] = {"PartSize": 5 * MIB}
    upload = client.create_multipart_upload(Bucket=bucket, Key="k", **part_size)["UploadId"]
    call: dict[str, Any] = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 1, "Body": PLAINTEXT}
    wrong: dict[str, Any] = {name: WRONG[name]}
    right: dict[str, Any] = {name: RIGHT[name]}
    before = len(proxy.requests)

    with pytest.raises(ClientError, match="BadDigest"):
        client.upload_part(**call, **wrong)
    assert len(proxy.requests) == before
    etag = client.upload_part(**call, **right)["ETag"]

    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    client.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == PLAINTEXT
    assert proxy.leaks == []


def test_progress_when_a_checksum_was_verified_first_then_counts_the_plaintext_once(
    watched: Watched, tmp_path: Path
) -> None:
    client, _, bucket = watched
    path = tmp_path / "file"
    path.write_bytes(PLAINTEXT)
    seen: list[int] = []

    client.upload_file(
        str(path),
        bucket,
        "k",
        ExtraArgs={"ChecksumCRC32": RIGHT["ChecksumCRC32"]},
        Callback=seen.append,
        Config=TransferConfig(use_threads=False),
    )

    assert sum(seen) == len(PLAINTEXT)
