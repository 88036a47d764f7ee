"""Failures on the way: the retry sends the same ciphertext, and a source that changed meanwhile is never mixed in."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.errors import SourceChangedError
from s3envelope.testing.s3_proxy import (
    ErrorAnswer,
    Fault,
    Latency,
    RecordedRequest,
    ResetRequest,
    ResetResponse,
    S3Proxy,
    TruncatedResponse,
    matching,
)
from s3envelope.testing.streams import ChangingSource, FailingSource, NonSeekableSource, ResizingSource
from tests.support.endpoints import Endpoint
from tests.support.enveloped import (
    KIB,
    MIB,
    SEGMENT_SIZE,
    ClientFactory,
    NewBucket,
    keeping_nothing,
    plaintext_of,
)

SIZE = 200 * KIB
PUT = matching(method="PUT")
GET = matching(method="GET")
FAULTS: dict[str, Fault] = {
    "500": ErrorAnswer(500, "InternalError"),
    "503": ErrorAnswer(503, "SlowDown"),
    "reset before the body": ResetRequest(0),
    "reset in the body": ResetRequest(100_000),
    "reset before the answer": ResetResponse(None),
}
LANES = pytest.mark.parametrize(
    ("scheme", "mode"),
    [(scheme, mode) for scheme in ("http", "https") for mode in ("legacy", "standard", "adaptive")],
)
Proxied = Callable[[str], tuple[S3Proxy, Endpoint]]


@pytest.fixture
def proxied(request: pytest.FixtureRequest, moto_s3: Endpoint) -> Proxied:
    """Return a maker of proxies in front of moto that keep request bodies, by scheme."""

    def make(scheme: str) -> tuple[S3Proxy, Endpoint]:
        proxy, endpoint = request.getfixturevalue(f"{scheme}_proxy")(moto_s3, keep_bodies=True)
        return proxy, endpoint

    return make


def _retries(mode: str, attempts: int = 3) -> dict[str, Any]:
    return {"retries": {"mode": mode, "total_max_attempts": attempts}}


def _digests(requests: list[RecordedRequest]) -> set[tuple[str, str]]:
    """Return what the whole bodies of requests were, by target."""
    return {
        (request.target, hashlib.sha256(request.body or b"").hexdigest())
        for request in requests
        if request.method == "PUT" and request.status is not None and request.body
    }


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore not wait between attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@LANES
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("make_body", [lambda: plaintext_of(SIZE), lambda: NonSeekableSource(plaintext_of(SIZE))])
def test_put_when_attempts_fail_then_same_ciphertext_again_and_right_object(
    proxied: Proxied,
    new_bucket: NewBucket,
    moto_s3: Endpoint,
    sealed: ClientFactory,
    scheme: str,
    mode: str,
    fault: str,
    make_body: Callable[[], Any],
) -> None:
    proxy, endpoint = proxied(scheme)
    client, bucket = sealed(endpoint, **_retries(mode)), new_bucket(moto_s3)
    rule = proxy.inject(FAULTS[fault], PUT, times=2)

    client.put_object(Bucket=bucket, Key="k", Body=make_body())

    assert rule.hit_count == 2
    assert len([request for request in proxy.requests if request.method == "PUT"]) == 3
    assert len(_digests(proxy.requests)) == 1
    bodies = [request.body or b"" for request in proxy.requests]
    assert all(bodies[-1].startswith(body) for body in bodies)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == plaintext_of(SIZE)


@LANES
@pytest.mark.parametrize("fault", FAULTS)
def test_multipart_upload_when_parts_fail_then_same_ciphertext_again_and_right_object(
    proxied: Proxied,
    new_bucket: NewBucket,
    moto_s3: Endpoint,
    sealed: ClientFactory,
    scheme: str,
    mode: str,
    fault: str,
) -> None:
    proxy, endpoint = proxied(scheme)
    client, bucket = sealed(endpoint, **_retries(mode)), new_bucket(moto_s3)
    plaintext = plaintext_of(11 * MIB)
    seen: list[int] = []
    rule = proxy.inject(FAULTS[fault], PUT, times=2)
    config = TransferConfig(multipart_chunksize=5 * MIB)

    client.upload_fileobj(io.BytesIO(plaintext), bucket, "k", Config=config, Callback=seen.append)

    assert rule.hit_count == 2
    assert len(_digests(proxy.requests)) == 3
    assert sum(seen) == len(plaintext)
    sink = io.BytesIO()
    client.download_fileobj(bucket, "k", sink)
    assert sink.getvalue() == plaintext


def test_put_when_body_starts_in_the_middle_and_is_sent_again_then_exactly_the_rest_is_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = sealed(endpoint, **_retries("standard")), new_bucket(moto_s3)
    body = io.BytesIO(plaintext_of(SIZE))
    body.seek(MIB // 8)
    proxy.inject(FAULTS["500"], PUT)

    client.put_object(Bucket=bucket, Key="k", Body=body)

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == plaintext_of(SIZE)[MIB // 8 :]


@pytest.mark.parametrize("fault", ["500", "reset in the body"])
def test_put_when_all_attempts_fail_then_botocore_s_error_and_nothing_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory, fault: str
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = sealed(endpoint, **_retries("standard", 2)), new_bucket(moto_s3)
    proxy.inject(FAULTS[fault], PUT, times=None)

    with pytest.raises((ClientError, BotoCoreError)):
        client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))

    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


# Over http a large body is read for a checksum, to be signed and to be sent: whatever changes, it is noticed before.
@pytest.mark.parametrize("offset", [0, SEGMENT_SIZE + 5, SIZE - 1])
def test_source_when_changed_between_passes_then_refused_and_its_first_byte_never_sent(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory, offset: int
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = keeping_nothing(sealed(endpoint, **_retries("standard", 5))), new_bucket(moto_s3)
    body: Any = ChangingSource(plaintext_of(SIZE), offset=offset)

    with pytest.raises(SourceChangedError):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert proxy.requests == []


def test_source_when_changed_after_it_was_sealed_and_kept_then_what_was_sealed_is_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = sealed(endpoint, **_retries("standard", 5)), new_bucket(moto_s3)
    body: Any = ChangingSource(plaintext_of(SIZE), offset=SEGMENT_SIZE + 5)

    client.put_object(Bucket=bucket, Key="k", Body=body)

    assert len(proxy.requests) == 1
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == plaintext_of(SIZE)


def test_source_when_changed_after_it_was_kept_and_sent_then_the_retry_is_refused_and_nothing_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = sealed(endpoint, **_retries("standard", 5)), new_bucket(moto_s3)
    body: Any = ChangingSource(plaintext_of(SIZE), offset=SEGMENT_SIZE + 5)
    proxy.inject(FAULTS["503"], PUT)

    with pytest.raises(SourceChangedError):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert len(proxy.requests) == 1
    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_source_when_changed_between_signing_and_sending_then_refused_once_and_nothing_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = keeping_nothing(sealed(endpoint, **_retries("standard", 5))), new_bucket(moto_s3)
    body: Any = ChangingSource(plaintext_of(SIZE), offset=SEGMENT_SIZE + 5, stable_passes=2)

    with pytest.raises(SourceChangedError):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    # One attempt: an error of ours is not retried. What left is the first segment, which had not changed.
    assert len(proxy.requests) <= 1
    assert all(request.body_size <= SEGMENT_SIZE + 28 for request in proxy.requests)
    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_source_when_changed_before_a_retry_then_refused_and_nothing_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory, scheme: str
) -> None:
    proxy, endpoint = proxied(scheme)
    client, bucket = keeping_nothing(sealed(endpoint, **_retries("standard", 5))), new_bucket(moto_s3)
    # Over http it is read three times before the first answer, over https once.
    passes = {"http": 3, "https": 1}[scheme]
    body: Any = ChangingSource(plaintext_of(SIZE), offset=5, stable_passes=passes)
    proxy.inject(FAULTS["503"], PUT)

    with pytest.raises(SourceChangedError):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert proxy.requests[0].status == 503
    assert len(proxy.requests) <= 2
    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_source_when_it_shrinks_then_refused_and_nothing_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory, scheme: str
) -> None:
    client, bucket = keeping_nothing(sealed(proxied(scheme)[1])), new_bucket(moto_s3)
    # The first pass ends when the size is known: nothing was read yet, so it goes on.
    body: Any = FailingSource(plaintext_of(SIZE), offset=SIZE - 1, make_error=lambda: OSError("gone"))
    shrinking: Any = ResizingSource(plaintext_of(SIZE), sizes=[SIZE, SIZE - 1])

    with pytest.raises((OSError, BotoCoreError)):
        client.put_object(Bucket=bucket, Key="k", Body=body)
    if scheme == "http":
        with pytest.raises(SourceChangedError):
            client.put_object(Bucket=bucket, Key="k", Body=shrinking)

    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_file_when_changed_during_a_multipart_upload_then_refused_and_no_upload_is_left(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory, scheme: str, tmp_path: Path
) -> None:
    proxy, endpoint = proxied(scheme)
    client, bucket = keeping_nothing(sealed(endpoint, **_retries("standard", 5))), new_bucket(moto_s3)
    path = tmp_path / "file"
    path.write_bytes(plaintext_of(11 * MIB))

    attempts: list[RecordedRequest] = []

    def change_before_second(request: RecordedRequest) -> bool:
        if first_part(request):
            attempts.append(request)
        if len(attempts) == 2:
            with path.open("r+b") as file:
                file.seek(1000)
                file.write(b"changed")
        return False

    first_part = matching(method="PUT", contains="partNumber=1")
    proxy.inject(Latency(0), change_before_second)
    proxy.inject(FAULTS["503"], first_part)

    with pytest.raises(SourceChangedError):
        client.upload_file(str(path), bucket, "k", Config=TransferConfig(multipart_chunksize=5 * MIB))

    assert len(attempts) == 2
    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert "Uploads" not in moto_s3.client().list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("fault", [TruncatedResponse(100_000), ResetResponse(70_000), TruncatedResponse(0)])
@pytest.mark.parametrize("size", [SIZE, 9 * MIB])
def test_download_when_answers_break_off_then_s3transfer_asks_again_and_the_file_is_right(
    proxied: Proxied,
    new_bucket: NewBucket,
    moto_s3: Endpoint,
    sealed: ClientFactory,
    scheme: str,
    fault: Fault,
    size: int,
    tmp_path: Path,
) -> None:
    proxy, endpoint = proxied(scheme)
    client, bucket, path = sealed(endpoint), new_bucket(moto_s3), tmp_path / "downloaded"
    seen: list[int] = []
    client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k")
    rule = proxy.inject(fault, GET, times=2)

    client.download_file(bucket, "k", str(path), Callback=seen.append)

    assert rule.hit_count == 2
    assert path.read_bytes() == plaintext_of(size)
    assert sum(seen) == size


def test_read_when_answer_breaks_off_then_botocore_s_error_after_verified_bytes_only(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))
    proxy.inject(TruncatedResponse(100_000), GET)
    body = client.get_object(Bucket=bucket, Key="k")["Body"]

    assert body.read(SEGMENT_SIZE) == plaintext_of(SEGMENT_SIZE)
    for _ in range(2):
        with pytest.raises(BotoCoreError):
            body.read(1)
