"""Low-level multipart uploads by ordinary boto3 code: any parts, in any order, by several clients."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from s3transfer.manager import TransferManager

from s3envelope import plaintext_size
from s3envelope.core.layout import run_size
from s3envelope.errors import UnsupportedOperationError
from s3envelope.testing import S3Proxy
from s3envelope.testing.s3_proxy import ErrorAnswer, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, ClientFactory, plaintext_of
from tests.support.uploading import PART, Uploading, pieces, read


@pytest.fixture
def watched(
    any_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: Callable[[Endpoint], str]
) -> tuple[Endpoint, S3Proxy, str]:
    """Return each server behind a proxy that knows the canary, and a bucket of it."""
    proxy, endpoint = http_proxy(any_s3)
    proxy.forbid(CANARY)
    return endpoint, proxy, new_bucket(any_s3)


SHAPES = {
    "one tiny part": {1: 10},
    "one empty part": {1: 0},
    "equal": {1: PART, 2: PART},
    "unequal, gaps, small last": {2: PART + 1, 5: PART + 65536, 9: 100},
    "2, 5, 9 out of order, last of 1 byte": {9: 1, 2: PART + 1, 5: PART + 65536},
    "backwards": {3: 70_000, 2: PART, 1: PART},
    "last part of 5 MiB": {1: PART, 7: PART},
    "empty last": {1: PART, 2: 0},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_upload_when_parts_come_in_any_shape_and_order_is_the_object(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory, shape: str
) -> None:
    endpoint, proxy, bucket = watched
    client, sizes = sealed(endpoint), SHAPES[shape]
    bodies = dict(zip(sorted(sizes), pieces(*(sizes[number] for number in sorted(sizes))), strict=True))
    plaintext = b"".join(bodies.values())

    upload = Uploading(client, bucket, Metadata={"mine": "kept"}, ContentType="text/x")
    for number in sizes:
        upload.part(number, bodies[number])
    upload.complete()

    answer = client.get_object(Bucket=bucket, Key="k")
    assert answer["Body"].read() == plaintext
    assert (answer["Metadata"], answer["ContentType"]) == ({"mine": "kept"}, "text/x")
    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(plaintext)
    for first, last in ((0, 0), (len(plaintext) - 1, len(plaintext) - 1), (PART - 2, PART + 2)):
        if first >= 0 and last < len(plaintext):
            assert read(client, bucket, Range=f"bytes={first}-{last}") == plaintext[first : last + 1]
    target = io.BytesIO()
    client.download_fileobj(bucket, "k", target)
    assert target.getvalue() == plaintext
    assert proxy.leaks == []


def test_upload_when_parts_come_from_many_threads_is_the_object(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory
) -> None:
    endpoint, proxy, bucket = watched
    bodies = pieces(PART, PART + 5, PART + 65536, 17)
    upload = Uploading(sealed(endpoint), bucket)
    numbers = [4, 2, 3, 1]

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda number: upload.part(number, io.BytesIO(bodies[number - 1])), numbers))
    upload.complete()

    assert read(upload.client, bucket) == b"".join(bodies)
    assert proxy.leaks == []


def test_part_when_uploaded_again_with_other_data_then_the_last_one_counts(
    any_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    first, second, tail = pieces(PART, PART + 9, 50)
    upload = Uploading(sealed(any_s3), new_bucket(any_s3))
    upload.part(1, first)
    upload.part(2, tail)
    upload.part(1, second)
    upload.complete()

    assert read(upload.client, upload.bucket) == second + tail


def test_complete_when_some_parts_are_left_out_has_the_others(
    any_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    bodies = pieces(PART, PART, 40)
    upload = Uploading(sealed(any_s3), new_bucket(any_s3))
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)

    upload.complete(1, 3)

    assert read(upload.client, upload.bucket) == bodies[0] + bodies[2]


REJECTED: dict[str, tuple[list[int], str]] = {
    "empty": ([], "MalformedXML"),
    "descending": ([2, 1], "InvalidPartOrder"),
    "small in the middle": ([2, 3], "EntityTooSmall"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_complete_when_the_list_is_wrong_fails_as_s3_would_and_can_be_repeated(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory, case: str
) -> None:
    numbers, code = REJECTED[case]
    upload = Uploading(sealed(moto_s3), new_bucket(moto_s3))
    for number, body in zip((1, 2, 3), pieces(PART, 10, 20), strict=True):
        upload.part(number, body)
    parts: Any = [upload.parts[number] for number in numbers]

    with pytest.raises(ClientError) as caught:
        upload.client.complete_multipart_upload(**upload.names, MultipartUpload={"Parts": parts})

    assert caught.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="InvalidPart"):
        upload.client.complete_multipart_upload(
            **upload.names, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"other"'}]}
        )
    upload.complete(1, 3)
    assert len(read(upload.client, upload.bucket)) == PART + 20


@pytest.mark.parametrize("last_size", [100, PART])
def test_complete_when_it_fails_and_is_repeated_sends_one_index(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory, last_size: int
) -> None:
    endpoint, proxy, bucket = watched
    bodies = pieces(PART, last_size)
    upload = Uploading(sealed(endpoint), bucket)
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    proxy.clear()
    proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="POST", contains="uploadId="))

    with pytest.raises(ClientError):
        upload.complete()
    upload.complete()

    assert [request.method for request in proxy.requests] == ["PUT", "POST", "POST"]
    assert read(upload.client, bucket) == b"".join(bodies)


def test_upload_when_aborted_is_forgotten(
    any_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    upload = Uploading(sealed(any_s3), new_bucket(any_s3))
    upload.part(1, b"x")
    upload.client.abort_multipart_upload(**upload.names)

    with pytest.raises(upload.client.exceptions.NoSuchUpload):
        upload.part(2, b"y")


def test_part_when_from_a_stream_that_cannot_seek_is_sealed(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory
) -> None:
    endpoint, proxy, bucket = watched
    big, small = pieces(PART + 3, 300)
    upload = Uploading(sealed(endpoint), bucket)

    upload.part(1, NonSeekableSource(big))
    upload.part(2, NonSeekableSource(small))
    upload.complete()

    assert read(upload.client, bucket) == big + small
    assert proxy.leaks == []


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
@pytest.mark.parametrize("sizes", [(PART, 10), (PART, PART)])
def test_parts_when_they_have_checksums_are_completed_with_them(
    moto_s3: Endpoint,
    new_bucket: Callable[[Endpoint], str],
    sealed: ClientFactory,
    algorithm: str,
    sizes: tuple[int, int],
) -> None:
    bodies = pieces(*sizes)
    upload = Uploading(sealed(moto_s3), new_bucket(moto_s3), ChecksumAlgorithm=algorithm)
    for number, body in enumerate(bodies, 1):
        assert f"Checksum{algorithm}" in upload.part(number, body, ChecksumAlgorithm=algorithm)

    upload.complete()

    assert read(upload.client, upload.bucket) == b"".join(bodies)


def test_checksum_of_the_whole_object_when_given_is_refused(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    upload = Uploading(sealed(moto_s3), new_bucket(moto_s3))
    part: Any = upload.part(1, b"x")

    with pytest.raises(UnsupportedOperationError, match="plaintext"):
        upload.client.complete_multipart_upload(
            **upload.names, MultipartUpload={"Parts": [part]}, ChecksumCRC32="AAAAAA=="
        )


@pytest.mark.parametrize("seekable", [True, False])
def test_transfer_manager_when_built_by_the_caller_seals(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory, seekable: bool
) -> None:
    endpoint, proxy, bucket = watched
    client, plaintext = sealed(endpoint), plaintext_of(17 * MIB)
    body: Any = io.BytesIO(plaintext) if seekable else NonSeekableSource(plaintext)

    with TransferManager(client, TransferConfig(max_concurrency=3)) as manager:
        manager.upload(body, bucket, "k").result()

    assert read(client, bucket) == plaintext
    assert proxy.leaks == []


def test_listed_sizes_of_an_indexed_object_are_high_by_the_documented_bytes_at_most(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> None:
    upload = Uploading(sealed(moto_s3), new_bucket(moto_s3))
    for number, body in enumerate(pieces(PART, PART + 1, 7), 1):
        upload.part(number, body)
    upload.complete()

    (listed,) = upload.client.list_objects_v2(Bucket=upload.bucket)["Contents"]
    exact = sealed(moto_s3, envelope={"list_sizes": "exact"})
    (asked,) = exact.list_objects_v2(Bucket=upload.bucket)["Contents"]

    true_size = 2 * PART + 8
    assert asked["Size"] == true_size
    assert true_size <= listed["Size"] <= true_size + 52 * 3 + 4
    assert plaintext_size(run_size(true_size)) == true_size


@pytest.mark.parametrize("name", ["ChecksumSHA256", "ChecksumCRC32"])
def test_complete_when_repeated_with_a_checksum_of_the_plaintext_is_refused_and_sends_nothing(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory, name: str
) -> None:
    endpoint, proxy, bucket = watched
    upload = Uploading(sealed(endpoint), bucket)
    upload.part(1, b"plaintext")
    upload.complete()
    proxy.clear()
    listed: Any = {"Parts": [upload.parts[1]]}
    checksum: Any = {name: "c2VjcmV0"}

    with pytest.raises(UnsupportedOperationError, match="it would be of the plaintext"):
        upload.client.complete_multipart_upload(**upload.names, MultipartUpload=listed, **checksum)

    assert proxy.requests == []
