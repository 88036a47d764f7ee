"""The server goes away in the middle of a transfer: botocore's error, and nothing is left here."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from boto3.exceptions import RetriesExceededError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError
from s3transfer.exceptions import RetriesExceededError as TransferRetriesExceededError

from s3envelope.testing.s3_proxy import Matcher, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.support.enveloped import plaintext_of
from tests.support.transferring import LARGE, SECOND_PART, Transferring, parts_of_5_mib, when_reached

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [
    # A transfer forgets the answer that broke off, and leaves its socket to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("closed_after"),
]
Transfer = Callable[["S3Client", str, Path], object]
PUT, GET = matching(method="PUT", contains="/up"), matching(method="GET")
GONE = (NoConnectionError, HTTPClientError, RetriesExceededError, TransferRetriesExceededError)


def _upload_file(client: S3Client, bucket: str, folder: Path) -> None:
    client.upload_file(str(folder / "source"), bucket, "up", Config=parts_of_5_mib())


def _upload_stream(client: S3Client, bucket: str, folder: Path) -> None:
    stream: Any = NonSeekableSource(plaintext_of(LARGE))
    client.upload_fileobj(stream, bucket, "up", Config=parts_of_5_mib())


def _put_object(client: S3Client, bucket: str, folder: Path) -> None:
    client.put_object(Bucket=bucket, Key="up", Body=plaintext_of(LARGE))


def _put_stream(client: S3Client, bucket: str, folder: Path) -> None:
    stream: Any = NonSeekableSource(plaintext_of(LARGE))
    client.put_object(Bucket=bucket, Key="up", Body=stream)


def _download_file(client: S3Client, bucket: str, folder: Path) -> None:
    client.download_file(bucket, "stored", str(folder / "target"), Config=parts_of_5_mib())


def _download_stream(client: S3Client, bucket: str, folder: Path) -> None:
    client.download_fileobj(bucket, "stored", io.BytesIO(), Config=parts_of_5_mib())


def _get_object(client: S3Client, bucket: str, folder: Path) -> None:
    client.get_object(Bucket=bucket, Key="stored")["Body"].read()


def _copy(client: S3Client, bucket: str, folder: Path) -> None:
    source: Any = {"Bucket": bucket, "Key": "stored"}
    # One part at a time: s3transfer raises a KeyError for a part whose answer has lost its body.
    client.copy(source, bucket, "up", Config=parts_of_5_mib(max_concurrency=1))


def _go_away(at: Transferring) -> None:
    """Close all connections; whoever waits for the one that is held waits no longer than it is."""
    threading.Thread(target=at.proxy.close, name="s3-proxy-close").start()


TRANSFERS: dict[str, tuple[Transfer, Matcher]] = {
    "upload_file": (_upload_file, SECOND_PART),
    "upload_fileobj": (_upload_stream, SECOND_PART),
    "put_object": (_put_object, PUT),
    "put_object of a stream": (_put_stream, PUT),
    "download_file": (_download_file, GET),
    "download_fileobj": (_download_stream, GET),
    "get_object": (_get_object, GET),
    "copy": (_copy, SECOND_PART),
}


@pytest.mark.parametrize("name", TRANSFERS)
def test_transfer_when_the_server_goes_away_then_botocore_s_error_and_nothing_left_here(
    at: Transferring, name: str, tmp_path: Path
) -> None:
    transfer, moment = TRANSFERS[name]
    (tmp_path / "source").write_bytes(plaintext_of(LARGE))
    at.client.upload_file(str(tmp_path / "source"), at.bucket, "stored", Config=parts_of_5_mib())

    with at.held(moment) as gate:
        thread = when_reached(gate, lambda: _go_away(at))
        with pytest.raises(GONE):
            transfer(at.client, at.bucket, tmp_path)
        thread.join()

    assert at.object_names() in (["stored"], ["stored", "up"])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["source"]
    # The abort could not be sent either, by nobody.
    assert set(at.uploads()) <= {"up"}
    assert at.state_folders() == []
