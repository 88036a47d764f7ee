"""Callbacks of transfers count plaintext bytes, each once, with and without retries."""

import io
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from s3envelope.testing.s3_proxy import ErrorAnswer, S3Proxy, TruncatedResponse, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, ClientFactory, NewBucket, plaintext_of

SIZES = [0, 1, 70_000, 17 * MIB]
RETRIED = pytest.mark.parametrize("retried", [False, True], ids=["smooth", "retried"])


Lane = tuple[S3Proxy, Endpoint]


@pytest.fixture(params=["http", "https"])
def lane(request: pytest.FixtureRequest, moto_s3: Endpoint) -> Lane:
    """Return a proxy of each scheme, and the server as reached through it."""
    make: ProxyFactory = request.getfixturevalue(f"{request.param}_proxy")
    return make(moto_s3)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore not wait between attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@RETRIED
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["file", "stream", "pipe"])
def test_callback_when_uploading_then_sums_to_the_plaintext(
    lane: Lane,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    retried: bool,
    size: int,
    how: str,
    tmp_path: Path,
) -> None:
    proxy, endpoint = lane
    client, bucket = sealed(endpoint, retries={"mode": "standard", "total_max_attempts": 3}), new_bucket(moto_s3)
    path, seen = tmp_path / "file", list[int]()
    path.write_bytes(plaintext_of(size))
    if retried:
        proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="PUT"), times=2)

    if how == "file":
        client.upload_file(str(path), bucket, "k", Callback=seen.append)
    else:
        stream: Any = {"stream": io.BytesIO, "pipe": NonSeekableSource}[how](plaintext_of(size))
        client.upload_fileobj(stream, bucket, "k", Callback=seen.append)

    assert sum(seen) == size
    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


@RETRIED
@pytest.mark.parametrize("size", SIZES)
def test_callback_when_downloading_then_sums_to_the_plaintext(
    lane: Lane,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    retried: bool,
    size: int,
    tmp_path: Path,
) -> None:
    proxy, endpoint = lane
    client, bucket, path = sealed(endpoint), new_bucket(moto_s3), tmp_path / "file"
    client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k")
    seen: list[int] = []
    if retried:
        proxy.inject(TruncatedResponse(20), matching(method="GET"), times=2)

    client.download_file(bucket, "k", str(path), Callback=seen.append)

    assert sum(seen) == size
    assert path.read_bytes() == plaintext_of(size)


@RETRIED
@pytest.mark.parametrize("size", SIZES)
def test_callback_when_copying_then_sums_to_the_plaintext(
    lane: Lane,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    retried: bool,
    size: int,
) -> None:
    proxy, endpoint = lane
    client, bucket = sealed(endpoint, retries={"mode": "standard", "total_max_attempts": 3}), new_bucket(moto_s3)
    client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k")
    seen, sink = list[int](), io.BytesIO()
    if retried:
        proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="PUT"), times=2)

    client.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Callback=seen.append)

    assert sum(seen) == size
    client.download_fileobj(bucket, "copy", sink)
    assert sink.getvalue() == plaintext_of(size)


@pytest.mark.parametrize("use_threads", [False, True])
@pytest.mark.parametrize("size", [70_000, 11 * MIB])
def test_callback_when_threads_are_off_or_on_then_sums_to_the_plaintext(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, use_threads: bool, size: int
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    config = TransferConfig(use_threads=use_threads, multipart_chunksize=5 * MIB)
    sent, received, sink = list[int](), list[int](), io.BytesIO()

    client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k", Callback=sent.append, Config=config)
    client.download_fileobj(bucket, "k", sink, Callback=received.append, Config=config)

    assert (sum(sent), sum(received)) == (size, size)
    assert sink.getvalue() == plaintext_of(size)
