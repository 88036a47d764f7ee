"""Progress of transfers by every manager, with a bandwidth limit, and transfers that are cancelled midway."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
import s3transfer
from boto3.s3.transfer import S3Transfer, TransferConfig
from botocore.exceptions import HTTPClientError
from s3transfer.manager import TransferManager
from s3transfer.subscribers import BaseSubscriber

from s3envelope.testing.s3_proxy import ErrorAnswer, S3Proxy, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import PART, read

SCHEMES = pytest.mark.parametrize("scheme", ["http", "https"])
# The stubs want a class of s3transfer here and of boto3 there.
IN_PARTS: Any = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=3)
PUT = matching(method="PUT")
Upload = Callable[[Any, str, str, Callable[[int], None]], None]


class Progress:
    """Adds up what a callback is told, and remembers the lowest total."""

    def __init__(self) -> None:
        self.total = self.lowest = 0
        self._lock = threading.Lock()

    def __call__(self, size: int) -> None:
        with self._lock:
            self.total += size
            self.lowest = min(self.lowest, self.total)


def _client_method(client: Any, bucket: str, path: str, callback: Callable[[int], None]) -> None:
    client.upload_file(path, bucket, "k", Callback=callback, Config=IN_PARTS)


def _boto3_transfer(client: Any, bucket: str, path: str, callback: Callable[[int], None]) -> None:
    with S3Transfer(client, IN_PARTS) as transfer:
        transfer.upload_file(path, bucket, "k", callback=callback)


def _legacy_transfer(client: Any, bucket: str, path: str, callback: Callable[[int], None]) -> None:
    legacy: Any = s3transfer
    config = legacy.TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=3)
    legacy.S3Transfer(client, config).upload_file(path, bucket, "k", callback=callback)


def _limited(client: Any, bucket: str, path: str, callback: Callable[[int], None]) -> None:
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_bandwidth=200 * MIB)
    client.upload_file(path, bucket, "k", Callback=callback, Config=config)


UPLOADS: list[Upload] = [_client_method, _boto3_transfer, _legacy_transfer, _limited]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore not wait between attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@SCHEMES
@pytest.mark.parametrize("size", [0, 1, 2 * MIB, 2 * PART + 1])
@pytest.mark.parametrize("faults", [0, 2])
@pytest.mark.parametrize("upload", UPLOADS, ids=lambda upload: upload.__name__.strip("_"))
def test_progress_of_an_upload_sums_to_the_plaintext_and_its_total_is_never_negative(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    scheme: str,
    size: int,
    faults: int,
    upload: Upload,
    tmp_path: Path,
) -> None:
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    proxy, endpoint = make(moto_s3)
    client, bucket = sealed(endpoint, retries={"mode": "standard", "total_max_attempts": 4}), new_bucket(moto_s3)
    path, progress = tmp_path / "file", Progress()
    path.write_bytes(plaintext_of(size))
    rule = proxy.inject(ErrorAnswer(500, "InternalError"), PUT, times=faults)

    upload(client, bucket, str(path), progress)

    assert rule.hit_count == faults
    assert (progress.total, progress.lowest) == (size, 0)
    assert read(client, bucket) == plaintext_of(size)


@SCHEMES
@pytest.mark.parametrize("size", [0, 1, 2 * MIB, 2 * PART + 1])
@pytest.mark.parametrize("how", ["boto3", "legacy", "limited"])
def test_progress_of_a_download_by_other_managers_sums_to_the_plaintext(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    scheme: str,
    size: int,
    how: str,
    tmp_path: Path,
) -> None:
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    client, bucket = sealed(make(moto_s3)[1]), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(size))
    path, progress = tmp_path / "file", Progress()

    if how == "boto3":
        with S3Transfer(client, IN_PARTS) as transfer:
            transfer.download_file(bucket, "k", str(path), callback=progress)
    elif how == "legacy":
        legacy: Any = s3transfer
        config = legacy.TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
        legacy.S3Transfer(client, config).download_file(bucket, "k", str(path), callback=progress)
    else:
        limited = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_bandwidth=200 * MIB)
        client.download_file(bucket, "k", str(path), Callback=progress, Config=limited)

    assert path.read_bytes() == plaintext_of(size)
    assert (progress.total, progress.lowest) == (size, 0)


# ---- cancelling ----


class CancelAt(BaseSubscriber):  # type: ignore[misc,unused-ignore]
    """Cancels its transfer as soon as so many bytes are through."""

    def __init__(self, size: int) -> None:
        self._left = size

    def on_progress(self, future: Any, bytes_transferred: int, **_: object) -> None:
        self._left -= bytes_transferred
        if self._left <= 0:
            future.cancel()


@pytest.fixture
def proxied(moto_s3: Endpoint, http_proxy: ProxyFactory) -> tuple[S3Proxy, Endpoint]:
    return http_proxy(moto_s3)


@pytest.mark.parametrize("seekable", [True, False])
def test_upload_when_cancelled_midway_sends_no_more_parts_and_leaves_nothing(
    proxied: tuple[S3Proxy, Endpoint], moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, seekable: bool
) -> None:
    proxy, endpoint = proxied
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=1)
    body: Any = (io.BytesIO if seekable else NonSeekableSource)(plaintext_of(10 * PART))

    with TransferManager(client, config) as manager:
        future = manager.upload(body, bucket, "k", subscribers=[CancelAt(1000)])
        with pytest.raises(CancelledError):
            future.result()

    parts = [request for request in proxy.requests if "partNumber=" in request.query]
    assert len(parts) < 10
    assert [request.method for request in proxy.requests][-1] == "DELETE"
    plain = moto_s3.client()
    assert "Uploads" not in plain.list_multipart_uploads(Bucket=bucket)
    assert plain.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_put_when_cancelled_midway_stores_nothing(
    proxied: tuple[S3Proxy, Endpoint], moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    proxy, endpoint = proxied
    client, bucket = sealed(endpoint, retries={"mode": "standard", "total_max_attempts": 4}), new_bucket(moto_s3)

    with TransferManager(client, TransferConfig(multipart_threshold=64 * MIB)) as manager:
        future = manager.upload(io.BytesIO(plaintext_of(20 * MIB)), bucket, "k", subscribers=[CancelAt(1000)])
        with pytest.raises(CancelledError):
            future.result()

    # It was cancelled in the first attempt, and that was the only one. A request that broke off is in the log when the
    # proxy has seen that.
    proxy.close()
    assert len([request for request in proxy.requests if request.method == "PUT"]) == 1
    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_download_when_cancelled_midway_asks_for_no_more_ranges_and_leaves_no_file(
    proxied: tuple[S3Proxy, Endpoint], moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, tmp_path: Path
) -> None:
    proxy, endpoint = proxied
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(10 * PART))
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=1)

    with TransferManager(client, config) as manager:
        future = manager.download(bucket, "k", str(tmp_path / "file"), subscribers=[CancelAt(1000)])
        with pytest.raises(CancelledError):
            future.result()

    assert len([request for request in proxy.requests if request.method == "GET"]) < 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [MIB, 9 * MIB])
def test_upload_file_whose_callback_raises_fails_as_that_of_a_plain_client_and_leaves_nothing(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, size: int, tmp_path: Path
) -> None:
    client, bucket, path = sealed(moto_s3), new_bucket(moto_s3), tmp_path / "file"
    path.write_bytes(plaintext_of(size))
    calls = itertools.count()

    def give_up(_: int) -> None:
        if next(calls) == 1:
            raise KeyError("the progress bar broke")

    # As with a plain client: botocore wraps what is raised while it sends.
    with pytest.raises(HTTPClientError, match="progress bar"):
        client.upload_file(str(path), bucket, "k", Callback=give_up, Config=TransferConfig(use_threads=False))

    plain = moto_s3.client()
    assert "Uploads" not in plain.list_multipart_uploads(Bucket=bucket)
    assert plain.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
