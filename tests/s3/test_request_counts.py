"""What calls cost: requests beside those of a plain client, and calls of the key service."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import S3Proxy
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of

Action = Callable[[S3Client, str], object]


@dataclass(frozen=True, slots=True)
class Meter:
    """An enveloped client and a plain one, the proxy before both, and the KMS."""

    sealed: ClientFactory
    endpoint: Endpoint
    proxy: S3Proxy
    kms: LocalKms
    bucket: str

    def requests(self, client: S3Client, action: Action) -> list[str]:
        """Return the methods of the requests that an action makes, sorted."""
        self.proxy.clear()
        self.kms.clear_calls()
        action(client, self.bucket)
        return sorted(request.method for request in self.proxy.requests)

    def kms_calls(self) -> list[str]:
        """Return the KMS operations of the last action."""
        return [call.operation for call in self.kms.calls]


@pytest.fixture
def meter(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, kms: LocalKms
) -> Meter:
    proxy, endpoint = http_proxy(moto_s3)
    return Meter(sealed, endpoint, proxy, kms, new_bucket(moto_s3))


def _put(client: S3Client, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(MIB))


def _upload(size: int) -> Action:
    return lambda client, bucket: client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k")


def _download(client: S3Client, bucket: str) -> None:
    client.download_fileobj(bucket, "k", io.BytesIO())


def test_put_object_when_made_then_one_request_and_one_data_key(meter: Meter) -> None:
    assert meter.requests(meter.sealed(meter.endpoint), _put) == ["PUT"]
    assert meter.kms_calls() == ["GenerateDataKey"]


@pytest.mark.parametrize("size", [0, MIB, 8 * MIB, 17 * MIB])
def test_upload_when_size_is_known_then_the_requests_of_a_plain_client_and_one_data_key(
    meter: Meter, size: int
) -> None:
    plain = meter.requests(meter.endpoint.client(), _upload(size))

    assert meter.requests(meter.sealed(meter.endpoint), _upload(size)) == plain
    assert meter.kms_calls() == ["GenerateDataKey"]


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 17 * MIB])
def test_download_when_made_by_another_client_then_at_most_one_request_more_and_one_decrypt(
    meter: Meter, size: int, tmp_path: Path
) -> None:
    path = str(tmp_path / "file")
    reader, plain = meter.sealed(meter.endpoint), meter.endpoint.client()
    _upload(size)(plain, meter.bucket)
    expected = meter.requests(plain, lambda client, bucket: client.download_file(bucket, "k", path))
    _upload(size)(meter.sealed(meter.endpoint), meter.bucket)

    made = meter.requests(reader, lambda client, bucket: client.download_file(bucket, "k", path))

    assert len(made) <= len(expected) + 1
    assert meter.kms_calls() == ["Decrypt"]


def test_download_when_repeated_by_one_client_then_one_decrypt_in_all(meter: Meter) -> None:
    client = meter.sealed(meter.endpoint)
    _upload(17 * MIB)(client, meter.bucket)

    meter.requests(client, _download)
    assert meter.kms_calls() == ["Decrypt"]

    meter.requests(client, _download)
    assert meter.kms_calls() == []


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=-9", "bytes=70000-", f"bytes=0-{SEGMENT_SIZE - 1}", None])
def test_get_object_when_a_range_of_it_exists_then_one_request(meter: Meter, header: str | None) -> None:
    client = meter.sealed(meter.endpoint)
    _put(client, meter.bucket)

    def get(client: S3Client, bucket: str) -> None:
        answer = (
            client.get_object(Bucket=bucket, Key="k")
            if header is None
            else client.get_object(Bucket=bucket, Key="k", Range=header)
        )
        answer["Body"].read()

    assert meter.requests(client, get) == ["GET"]
    assert meter.kms_calls() in ([], ["Decrypt"])


def test_get_object_when_a_range_lies_across_two_segments_then_these_two_are_asked_for_in_one_request(
    meter: Meter,
) -> None:
    client = meter.sealed(meter.endpoint)
    _put(client, meter.bucket)

    def get(client: S3Client, bucket: str) -> None:
        answer = client.get_object(Bucket=bucket, Key="k", Range=f"bytes=70000-{70000 + SEGMENT_SIZE - 1}")
        assert answer["Body"].read() == plaintext_of(MIB)[70000 : 70000 + SEGMENT_SIZE]

    assert meter.requests(client, get) == ["GET"]
    # No byte of ciphertext beside the two segments, and no HEAD.
    sealed_size = SEGMENT_SIZE + 28
    assert meter.proxy.requests[0].header("range") == f"bytes={sealed_size}-{3 * sealed_size - 1}"


def test_head_and_list_when_made_then_one_request_and_no_key(meter: Meter) -> None:
    _put(meter.sealed(meter.endpoint), meter.bucket)
    client = meter.sealed(meter.endpoint)

    assert meter.requests(client, lambda one, bucket: one.head_object(Bucket=bucket, Key="k")) == ["HEAD"]
    assert meter.kms_calls() == []
    assert meter.requests(client, lambda one, bucket: one.list_objects_v2(Bucket=bucket)) == ["GET"]
    assert meter.kms_calls() == []


def test_1000_puts_when_of_one_context_then_one_data_key_and_one_decrypt_for_all_reads(meter: Meter) -> None:
    def put_all(client: S3Client, bucket: str) -> None:
        for number in range(1000):
            client.put_object(Bucket=bucket, Key=str(number), Body=b"%d" % number)

    assert meter.requests(meter.sealed(meter.endpoint), put_all) == ["PUT"] * 1000
    assert meter.kms_calls() == ["GenerateDataKey"]

    def get_some(client: S3Client, bucket: str) -> None:
        for number in range(0, 1000, 50):
            assert client.get_object(Bucket=bucket, Key=str(number))["Body"].read() == b"%d" % number

    assert meter.requests(meter.sealed(meter.endpoint), get_some) == ["GET"] * 20
    assert meter.kms_calls() == ["Decrypt"]


def test_puts_when_without_cache_then_one_data_key_each(meter: Meter) -> None:
    client = meter.sealed(meter.endpoint, envelope={"cache_limits": None})

    for _ in range(3):
        meter.requests(client, _put)
        assert meter.kms_calls() == ["GenerateDataKey"]
