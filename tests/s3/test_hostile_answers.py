"""A server that lies about its answers: lengths, ranges, ETags, statuses. Lies are refused, oddities are read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError, ResponseStreamingError
from mypy_boto3_s3 import S3Client

from s3envelope.errors import (
    MalformedEnvelopeError,
    NotEncryptedError,
    ObjectChangedError,
    S3EnvelopeError,
    SegmentAuthenticationError,
    TruncatedObjectError,
)
from s3envelope.testing.s3_proxy import (
    Answer,
    AnswerEditor,
    ErrorAnswer,
    Forwarded,
    S3Proxy,
    drop_header,
    matching,
    replace_status,
    set_header,
    truncate_body,
)
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, MIB, SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of
from tests.support.hostile import KEY, READERS, SEALED_SEGMENT_SIZE

SIZE = 200 * KIB
STORED_SIZE = SIZE + 4 * 28
NOT_SATISFIABLE = ErrorAnswer(416, "InvalidRange")
EVERY_READER = pytest.mark.parametrize("reader", READERS)
GET = matching(method="GET")


@dataclass(frozen=True, slots=True)
class Scene:
    """A client of moto, the proxy that lies to it, and a bucket with one object of `SIZE` bytes."""

    client: S3Client
    proxy: S3Proxy
    bucket: str

    def get(self, byte_range: str | None = None) -> bytes:
        """Read the object, or a range of it."""
        asked: dict[str, Any] = {} if byte_range is None else {"Range": f"bytes={byte_range}"}
        return self.client.get_object(Bucket=self.bucket, Key=KEY, **asked)["Body"].read()


@pytest.fixture
def scene(moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory) -> Scene:
    proxy, endpoint = http_proxy(moto_s3)
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key=KEY, Body=plaintext_of(SIZE))
    return Scene(client, proxy, bucket)


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 1-{SEALED_SEGMENT_SIZE - 1}/{STORED_SIZE}",
        f"bytes 0-{SEALED_SEGMENT_SIZE - 2}/{STORED_SIZE}",
        f"bytes 0-{SEALED_SEGMENT_SIZE}/{STORED_SIZE}",
        f"bytes {SEALED_SEGMENT_SIZE}-{2 * SEALED_SEGMENT_SIZE - 1}/{STORED_SIZE}",
        f"bytes 0-{SEALED_SEGMENT_SIZE - 1}/{SEALED_SEGMENT_SIZE}",
        f"bytes 0-{SEALED_SEGMENT_SIZE - 1}/*",
        f"bytes 0-{SEALED_SEGMENT_SIZE - 1}",
        "bytes */1000",
        "bytes 5-1/100",
        f"pages 0-{SEALED_SEGMENT_SIZE - 1}/{STORED_SIZE}",
        f"bytes 0-{SEALED_SEGMENT_SIZE - 1}/{'9' * 40}",
        "",
    ],
)
def test_range_when_content_range_lies_then_refused(scene: Scene, content_range: str) -> None:
    scene.proxy.on_response(GET, set_header("Content-Range", content_range))

    with pytest.raises(TruncatedObjectError):
        scene.get("0-9")


def test_range_when_content_range_is_missing_then_refused(scene: Scene) -> None:
    scene.proxy.on_response(GET, drop_header("Content-Range"))

    with pytest.raises(TruncatedObjectError):
        scene.get("0-9")


@pytest.mark.parametrize("step", [-SEALED_SEGMENT_SIZE, -8192, -28, -1, 1, 28, SEALED_SEGMENT_SIZE])
def test_range_to_the_end_when_total_and_body_are_changed_then_no_false_end(scene: Scene, step: int) -> None:
    def lie(answer: Answer) -> Answer:
        size = len(answer.body) + step
        body = answer.body[:size].ljust(size, b"\0")
        return replace(answer, body=body).with_header("Content-Range", f"bytes 0-{size - 1}/{size}")

    scene.proxy.on_response(GET, lie)

    with pytest.raises((TruncatedObjectError, SegmentAuthenticationError)):
        scene.get("0-")


@pytest.mark.parametrize("step", [-SEALED_SEGMENT_SIZE, -8192, -28, -1])
@pytest.mark.parametrize("byte_range", [None, "7-", "-100"])
def test_read_when_body_is_cut_and_its_new_length_declared_then_refused(
    scene: Scene, byte_range: str | None, step: int
) -> None:
    scene.proxy.on_response(GET, lambda answer: truncate_body(max(0, len(answer.body) + step))(answer))

    with pytest.raises((TruncatedObjectError, SegmentAuthenticationError)):
        scene.get(byte_range)


def _declare(size: int) -> AnswerEditor:
    return lambda answer: replace(answer, declared_size=size)


@pytest.mark.parametrize("declared_size", [STORED_SIZE + 1, STORED_SIZE + SEALED_SEGMENT_SIZE])
def test_read_when_content_length_is_too_long_then_no_clean_end(scene: Scene, declared_size: int) -> None:
    scene.proxy.on_response(GET, _declare(declared_size))

    with pytest.raises((IncompleteReadError, ResponseStreamingError, S3EnvelopeError)):
        scene.get()


@pytest.mark.parametrize("declared_size", [1, 27, 28, 1000, STORED_SIZE - 1])
def test_read_when_content_length_is_too_short_then_refused(scene: Scene, declared_size: int) -> None:
    # Exactly so many bytes are sent: more would begin the next answer.
    scene.proxy.on_response(GET, truncate_body(declared_size))

    with pytest.raises((TruncatedObjectError, SegmentAuthenticationError)):
        scene.get()


@EVERY_READER
def test_read_when_etag_is_missing_then_refused(scene: Scene, reader: str, tmp_path: Path) -> None:
    scene.proxy.on_response(matching(), drop_header("ETag"))

    released, error = READERS[reader](scene.client, scene.bucket, KEY, tmp_path)

    assert (type(error), released) == (ObjectChangedError, b"")


def test_read_when_etag_is_not_the_demanded_one_then_refused(scene: Scene) -> None:
    etag = scene.client.head_object(Bucket=scene.bucket, Key=KEY)["ETag"]
    scene.proxy.on_response(GET, set_header("ETag", '"another"'))

    with pytest.raises(ObjectChangedError):
        scene.client.get_object(Bucket=scene.bucket, Key=KEY, IfMatch=etag)


def test_multipart_download_when_one_range_has_another_etag_then_refused(scene: Scene, tmp_path: Path) -> None:
    scene.client.put_object(Bucket=scene.bucket, Key=KEY, Body=plaintext_of(9 * MIB))
    path = tmp_path / "downloaded"
    scene.proxy.on_response(GET, set_header("ETag", '"another"'), times=1)

    with pytest.raises(ObjectChangedError):
        scene.client.download_file(scene.bucket, KEY, str(path))

    assert list(tmp_path.iterdir()) == []


def test_read_when_answered_by_206_although_no_range_was_asked_then_refused(scene: Scene) -> None:
    content_range = f"bytes 0-{STORED_SIZE - 1}/{STORED_SIZE}"
    scene.proxy.on_response(GET, replace_status(206))
    scene.proxy.on_response(GET, set_header("Content-Range", content_range))

    with pytest.raises(TruncatedObjectError):
        scene.get()


def _without_range(forwarded: Forwarded) -> Forwarded:
    headers = tuple(header for header in forwarded.headers if header[0].lower() != "range")
    return replace(forwarded, headers=headers)


@pytest.mark.parametrize(
    ("byte_range", "start", "end"),
    [
        ("0-9", 0, 10),
        ("65530-65540", 65530, 65541),
        ("100000-", 100_000, SIZE),
        ("-7", SIZE - 7, SIZE),
        (f"{SIZE - 1}-{SIZE + 5}", SIZE - 1, SIZE),
    ],
)
def test_range_when_answered_by_200_and_everything_then_the_range_is_returned(
    scene: Scene, byte_range: str, start: int, end: int
) -> None:
    scene.proxy.on_request(GET, _without_range)

    answer = scene.client.get_object(Bucket=scene.bucket, Key=KEY, Range=f"bytes={byte_range}")

    assert answer["Body"].read() == plaintext_of(SIZE)[start:end]
    assert answer["ContentRange"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer["ContentLength"] == end - start
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206


@pytest.mark.parametrize("byte_range", ["0-9", "70000-", "-5", f"{SIZE - 1}-"])
def test_range_when_it_exists_but_416_is_answered_then_refused_and_not_passed_on(scene: Scene, byte_range: str) -> None:
    scene.proxy.inject(NOT_SATISFIABLE, GET, times=1)

    with pytest.raises(TruncatedObjectError):
        scene.get(byte_range)


@EVERY_READER
def test_read_when_every_get_is_answered_by_416_then_refused(scene: Scene, reader: str, tmp_path: Path) -> None:
    scene.proxy.inject(NOT_SATISFIABLE, GET, times=None)

    released, error = READERS[reader](scene.client, scene.bucket, KEY, tmp_path)

    assert (type(error), released) == (NotEncryptedError, b"")


def test_multipart_download_when_a_later_range_is_answered_by_416_then_no_short_file(
    scene: Scene, tmp_path: Path
) -> None:
    scene.client.put_object(Bucket=scene.bucket, Key=KEY, Body=plaintext_of(9 * MIB))
    # s3transfer takes a 416 for the end of the object.
    scene.proxy.inject(NOT_SATISFIABLE, lambda request: request.header("range").endswith("-"), times=1)

    with pytest.raises(TruncatedObjectError):
        scene.client.download_file(scene.bucket, KEY, str(tmp_path / "downloaded"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("byte_range", [f"{SIZE}-", "900000-", "900000-900001"])
def test_range_when_behind_the_end_but_its_proof_is_forged_then_refused(scene: Scene, byte_range: str) -> None:
    def forge(answer: Answer) -> Answer:
        return replace(answer, body=bytes(len(answer.body))) if answer.status == 206 else answer

    scene.proxy.on_response(GET, forge)

    with pytest.raises(SegmentAuthenticationError):
        scene.get(byte_range)


@EVERY_READER
@pytest.mark.parametrize("name", ["x-amz-missing-meta", "X-Amz-Missing-Meta"])
def test_read_when_server_withholds_metadata_then_refused(scene: Scene, reader: str, name: str, tmp_path: Path) -> None:
    scene.proxy.on_response(matching(), set_header(name, "1"))

    released, error = READERS[reader](scene.client, scene.bucket, KEY, tmp_path)

    assert (type(error), released) == (MalformedEnvelopeError, b"")


def _renamed(change: Callable[[str], str]) -> AnswerEditor:
    def edit(answer: Answer) -> Answer:
        headers = tuple(
            (change(name), value) if name.lower().startswith("x-amz-meta-") else (name, value)
            for name, value in answer.headers
        )
        return replace(answer, headers=headers)

    return edit


@pytest.mark.parametrize("change", [str.title, str.upper])
def test_read_when_metadata_names_are_in_other_case_then_read_all_the_same(
    scene: Scene, change: Callable[[str], str]
) -> None:
    rule = scene.proxy.on_response(GET, _renamed(change))

    assert scene.get() == plaintext_of(SIZE)
    assert scene.get("5-9") == plaintext_of(SIZE)[5:10]
    assert rule.hit_count == 2


def test_head_when_content_length_is_no_size_of_an_object_then_refused(scene: Scene) -> None:
    scene.proxy.on_response(matching(method="HEAD"), set_header("Content-Length", str(SEALED_SEGMENT_SIZE + 27)))

    with pytest.raises(TruncatedObjectError):
        scene.client.head_object(Bucket=scene.bucket, Key=KEY)


@pytest.mark.parametrize("lost_size", [1, SEGMENT_SIZE])
def test_download_when_head_tells_a_shorter_object_then_no_short_file(
    scene: Scene, lost_size: int, tmp_path: Path
) -> None:
    scene.proxy.on_response(matching(method="HEAD"), set_header("Content-Length", str(STORED_SIZE - lost_size)))
    path = tmp_path / "downloaded"

    scene.client.download_file(scene.bucket, KEY, str(path))

    assert path.read_bytes() == plaintext_of(SIZE)


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchKey"), (412, "PreconditionFailed")])
def test_error_when_it_is_s3_s_own_then_passed_on(scene: Scene, status: int, code: str) -> None:
    scene.proxy.inject(ErrorAnswer(status, code), GET)

    with pytest.raises(ClientError, match=code):
        scene.get("0-9")
