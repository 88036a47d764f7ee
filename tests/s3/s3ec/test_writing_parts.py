"""Low-level multipart uploads in the formats of the Amazon clients: in sequence, and read by another reader."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from s3transfer.manager import TransferConfig, TransferManager

from s3envelope.core.layout import MAX_PUT_SIZE
from s3envelope.errors import (
    ConfigurationError,
    MetadataTooLargeError,
    SourceChangedError,
    UnsupportedOperationError,
)
from s3envelope.formats.s3ec.model import MAX_PLAINTEXT_SIZE
from s3envelope.testing.s3_proxy import ErrorAnswer, ResetRequest, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.support.enveloped import MIB, plaintext_of
from tests.support.s3ec_writing import WRAPS, Huge, Writing
from tests.support.uploading import PART, Uploading, pieces

SHAPES = {
    "one empty part": (0,),
    "one tiny part": (10,),
    "odd sizes, small last": (PART + 1, PART + 17, 33),
    "empty last": (PART, 0),
    "last of 5 MiB": (PART, PART),
    "8 MiB": (8 * MIB - 1, 8 * MIB, 8 * MIB + 1),
}


@pytest.mark.parametrize(
    ("format_name", "shape"), [*(("s3ec-v3", shape) for shape in SHAPES), ("s3ec-v2", "odd sizes, small last")]
)
def test_upload_when_parts_come_in_sequence_is_read_by_another_reader(
    writing: Writing, format_name: str, shape: str
) -> None:
    bodies = pieces(*SHAPES[shape])
    upload = Uploading(writing.client(format_name), writing.bucket, Metadata={"mine": "kept"})

    for number, body in enumerate(bodies, 1):
        upload.part(number, NonSeekableSource(body) if number == 2 else body)
    upload.complete()

    assert writing.read() == b"".join(bodies)
    assert writing.proxy.leaks == []
    assert writing.uploads() == []


@pytest.mark.parametrize("wrap", WRAPS)
def test_upload_when_its_key_is_wrapped_by_any_kind_of_key_is_read_by_another_reader(
    tls_writing: Writing, wrap: str
) -> None:
    bodies = pieces(PART, 100)
    upload = Uploading(tls_writing.client("s3ec-v3", wrap), tls_writing.bucket)

    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    upload.complete()

    assert tls_writing.read(wrap=wrap) == b"".join(bodies)
    assert tls_writing.proxy.leaks == []


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_upload_when_it_has_checksums_is_completed_with_those_of_the_stored_bytes(
    writing: Writing, algorithm: str
) -> None:
    bodies = pieces(PART, 100)
    upload = Uploading(writing.client(), writing.bucket, ChecksumAlgorithm=algorithm)

    for number, body in enumerate(bodies, 1):
        upload.part(number, body, ChecksumAlgorithm=algorithm)
    upload.complete()

    assert writing.read() == b"".join(bodies)


def test_parts_when_listed_have_the_sizes_of_the_plaintext(moto_writing: Writing) -> None:
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    for number, body in enumerate(pieces(PART, PART + 65_600), 1):
        upload.part(number, body)

    parts: Any = upload.client.list_parts(**upload.names)["Parts"]

    assert [part["Size"] for part in parts] == [PART, PART + 65_600]


@pytest.mark.parametrize("number", [2, 3, 10_000])
def test_part_when_it_is_out_of_order_is_refused_before_anything_is_read_or_sent(
    moto_writing: Writing, number: int
) -> None:
    class Untouchable(NonSeekableSource):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("read")

    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    moto_writing.proxy.clear()

    for body in (Untouchable(b"x"), Huge(100), b"x" * PART):
        with pytest.raises(UnsupportedOperationError, match=r"part 1 is due.*GCM message.*upload_file"):
            upload.part(number, body)

    assert moto_writing.proxy.requests == []
    upload.part(1, b"the first")
    upload.complete()
    assert moto_writing.read() == b"the first"


def test_part_when_it_would_be_too_large_is_refused_before_it_is_read(moto_writing: Writing) -> None:
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    upload.part(1, b"x" * 16)
    moto_writing.proxy.clear()

    with pytest.raises(ConfigurationError, match="64 GiB less 32 bytes"):
        upload.part(2, Huge(MAX_PLAINTEXT_SIZE - 15))
    with pytest.raises(ConfigurationError, match="S3 takes"):
        upload.part(2, Huge(MAX_PUT_SIZE - 15))
    with pytest.raises(SourceChangedError, match="part 1 has other content"):
        upload.part(1, Huge(17))

    assert moto_writing.proxy.requests == []


def test_part_when_its_request_failed_is_sent_again_with_the_same_content_only(moto_writing: Writing) -> None:
    first, second = pieces(PART, 3 * 65_536)
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    upload.part(1, first)
    moto_writing.proxy.inject(ResetRequest(100_000), matching(method="PUT"), times=2)
    for body in (second, NonSeekableSource(second)):
        with pytest.raises(HTTPClientError):
            upload.part(2, body)
    moto_writing.proxy.clear()

    for changed in (b"!" + second[1:], second[:-1], second + b"x"):
        for body in (changed, NonSeekableSource(changed)):
            with pytest.raises(SourceChangedError, match="part 2 has other content"):
                upload.part(2, body)
    assert moto_writing.proxy.requests == []
    upload.part(2, NonSeekableSource(second))
    upload.part(1, first)
    upload.part(2, second)
    upload.complete()

    assert moto_writing.read() == first + second


@pytest.mark.usefixtures("no_backoff")
def test_part_when_it_is_retried_sends_the_same_bytes(moto_writing: Writing) -> None:
    first, second = pieces(PART, 100)
    upload = Uploading(moto_writing.client(retries=3), moto_writing.bucket)
    moto_writing.proxy.inject(ResetRequest(MIB), matching(method="PUT"), times=1)
    moto_writing.proxy.inject(ErrorAnswer(), matching(method="PUT"), times=1)

    upload.part(1, first)
    upload.part(2, second)
    upload.complete()

    sent = [request.body or b"" for request in moto_writing.proxy.requests if "partNumber=1" in request.target]
    assert len(sent) == 3
    assert all(sent[-1].startswith(body) for body in sent)
    assert moto_writing.read() == first + second


def test_parts_when_two_threads_send_them_at_once_are_never_two_plaintexts_under_one_keystream(
    moto_writing: Writing,
) -> None:
    one, other = bytes(PART), b"\1" * PART
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    results: list[bytes | Exception] = []
    barrier = threading.Barrier(2)

    def send(body: bytes) -> None:
        barrier.wait()
        try:
            upload.part(1, body)
            results.append(body)
        except SourceChangedError as error:
            results.append(error)

    threads = [threading.Thread(target=send, args=(body,)) for body in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    sent = {request.body for request in moto_writing.proxy.requests if "partNumber=1" in request.target}
    assert len(sent) <= 1
    assert any(isinstance(result, SourceChangedError) for result in results)


def test_transfer_manager_with_many_threads_when_a_part_overtakes_is_refused_and_leaves_nothing(
    moto_writing: Writing,
) -> None:
    client: Any = moto_writing.client()
    config = TransferConfig(multipart_chunksize=PART, multipart_threshold=PART, max_request_concurrency=10)
    upload_part, overtaken = client.upload_part, threading.Event()

    def overtaking(**arguments: Any) -> Any:
        if arguments["PartNumber"] == 1:
            overtaken.wait(30)
        try:
            return upload_part(**arguments)
        finally:
            overtaken.set()

    client.upload_part = overtaking
    with TransferManager(client, config) as manager:
        stream: Any = NonSeekableSource(plaintext_of(4 * PART))
        future = manager.upload(stream, moto_writing.bucket, "k")
        with pytest.raises(UnsupportedOperationError, match=r"part 1 is due.*max_concurrency=1.*upload_fileobj"):
            future.result()

    assert (moto_writing.uploads(), moto_writing.keys()) == ([], [])
    assert moto_writing.proxy.leaks == []


@pytest.mark.parametrize("parts", [[], [1], [2, 1], [1, 2, 3]])
def test_complete_when_its_list_is_not_right_is_refused_and_may_be_repeated(
    moto_writing: Writing, parts: list[int]
) -> None:
    bodies = pieces(PART, 100)
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    wanted: Any = [upload.parts.get(number, {"PartNumber": number, "ETag": '"x"'}) for number in parts]

    with pytest.raises((ClientError, UnsupportedOperationError)):
        upload.client.complete_multipart_upload(**upload.names, MultipartUpload={"Parts": wanted})
    assert moto_writing.keys() == []
    upload.complete()

    assert moto_writing.read() == b"".join(bodies)


@pytest.mark.parametrize("last_size", [100, PART])
@pytest.mark.parametrize("failing", ["partNumber=", "uploadId="])
def test_complete_when_a_request_of_it_fails_is_repeated(moto_writing: Writing, last_size: int, failing: str) -> None:
    bodies = pieces(PART, last_size)
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    method = "PUT" if failing == "partNumber=" else "POST"
    moto_writing.proxy.inject(ErrorAnswer(500, "InternalError"), matching(method=method, contains=failing))
    with pytest.raises(ClientError, match="InternalError"):
        upload.complete()

    with pytest.raises(UnsupportedOperationError, match="complete was called"):
        upload.part(3, b"late")
    upload.complete()

    assert moto_writing.read() == b"".join(bodies)


def test_upload_when_aborted_is_forgotten_and_sends_nothing_more(moto_writing: Writing) -> None:
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    upload.part(1, b"x" * PART)

    upload.client.abort_multipart_upload(**upload.names)
    count = len([request for request in moto_writing.proxy.requests if request.method == "PUT"])
    with pytest.raises(ClientError, match="NoSuchUpload"):
        upload.part(2, b"x")

    assert moto_writing.uploads() == []
    assert len([request for request in moto_writing.proxy.requests if request.method == "PUT"]) == count


def test_upload_when_it_was_begun_by_another_client_is_refused_with_the_reason(moto_writing: Writing) -> None:
    upload = Uploading(moto_writing.client(), moto_writing.bucket)
    other: Any = moto_writing.client()

    with pytest.raises(UnsupportedOperationError, match=r"begun elsewhere.*in this process"):
        other.upload_part(**upload.names, PartNumber=1, Body=b"x")
    with pytest.raises(UnsupportedOperationError, match="lives in one process"):
        upload.client.export_upload(**upload.names)  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedOperationError, match="write_format='se1'"):
        other.import_upload(**upload.names, State=b"")


def test_upload_when_it_was_begun_in_the_format_se1_is_refused(moto_writing: Writing) -> None:
    upload = Uploading(moto_writing.sealed(moto_writing.endpoint), moto_writing.bucket)
    other: Any = moto_writing.client()

    with pytest.raises(UnsupportedOperationError, match="begun elsewhere"):
        other.upload_part(**upload.names, PartNumber=1, Body=b"x")
    upload.client.abort_multipart_upload(**upload.names)


def test_create_when_it_fails_leaves_no_key_behind(moto_writing: Writing) -> None:
    client: Any = moto_writing.client()
    moto_writing.proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="POST"))

    with pytest.raises(ClientError, match="InternalError"):
        client.create_multipart_upload(Bucket=moto_writing.bucket, Key="k")
    with pytest.raises(MetadataTooLargeError):
        client.create_multipart_upload(Bucket=moto_writing.bucket, Key="k", Metadata={"m": "v" * 2000})
    with pytest.raises(UnsupportedOperationError, match="FULL_OBJECT"):
        client.create_multipart_upload(Bucket=moto_writing.bucket, Key="k", ChecksumType="FULL_OBJECT")

    assert moto_writing.uploads() == []


def test_part_when_its_size_or_checksum_is_not_as_declared_is_refused_and_may_be_sent_again(
    moto_writing: Writing,
) -> None:
    upload = Uploading(moto_writing.client(), moto_writing.bucket)

    with pytest.raises(ConfigurationError, match="ContentLength"):
        upload.part(1, b"four", ContentLength=3)
    with pytest.raises(ClientError, match="BadDigest"):
        upload.part(1, b"four", ChecksumCRC32="AAAAAA==")
    with pytest.raises(UnsupportedOperationError, match="stream that cannot seek"):
        upload.part(1, NonSeekableSource(b"four"), ChecksumCRC32="AAAAAA==")
    # Nothing of these was sealed, so other content may follow.
    upload.part(1, b"five!")
    upload.complete()

    assert moto_writing.read() == b"five!"
