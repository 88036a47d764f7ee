"""Transfers that are cancelled in the middle: nothing is left of them, here or on the server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3transfer.exceptions import CancelledError, FatalError
from s3transfer.manager import TransferManager

from s3envelope.testing.s3_proxy import Matcher, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.support.enveloped import plaintext_of
from tests.support.transferring import (
    FIRST_PART,
    LARGE,
    SECOND_PART,
    SMALL,
    Gate,
    Transferring,
    parts_of_5_mib,
    when_reached,
)

Start = Callable[[TransferManager, str, Path], Any]
CREATE = matching(method="POST", contains="?uploads")
PUT, GET = matching(method="PUT", contains="/up"), matching(method="GET")
SECOND_RANGE: Matcher = lambda request: not request.header("range", "bytes=0-").startswith("bytes=0-")  # noqa: E731


def _upload(manager: TransferManager, bucket: str, folder: Path) -> Any:
    return manager.upload(str(folder / "large"), bucket, "up")


def _upload_small(manager: TransferManager, bucket: str, folder: Path) -> Any:
    return manager.upload(str(folder / "small"), bucket, "up")


def _upload_stream(manager: TransferManager, bucket: str, folder: Path) -> Any:
    stream: Any = NonSeekableSource(plaintext_of(LARGE))
    return manager.upload(stream, bucket, "up")


def _download(manager: TransferManager, bucket: str, folder: Path) -> Any:
    return manager.download(bucket, "large", str(folder / "target"))


def _download_small(manager: TransferManager, bucket: str, folder: Path) -> Any:
    return manager.download(bucket, "small", str(folder / "target"))


TRANSFERS: dict[str, tuple[Start, Matcher]] = {
    "upload, as it begins": (_upload, CREATE),
    "upload, at a part": (_upload, FIRST_PART),
    "upload, at a later part": (_upload, SECOND_PART),
    "upload of a stream": (_upload_stream, SECOND_PART),
    "download": (_download, GET),
    "download, at a later range": (_download, SECOND_RANGE),
    "small download": (_download_small, GET),
}


@pytest.fixture
def folder(at: Transferring, tmp_path: Path) -> Path:
    """Return a folder with two files, which the bucket has too."""
    for name, size in (("large", LARGE), ("small", SMALL)):
        (tmp_path / name).write_bytes(plaintext_of(size))
        at.client.upload_file(str(tmp_path / name), at.bucket, name)
    return tmp_path


def _until(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not is_so():
        pause.wait(0.01)


def _assert_as_before(at: Transferring, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["large", "small"]
    at.assert_nothing_is_left("large", "small")


@pytest.mark.parametrize("name", TRANSFERS)
def test_future_when_cancelled_then_nothing_is_left(at: Transferring, name: str, folder: Path) -> None:
    start, moment = TRANSFERS[name]

    with TransferManager(at.client, parts_of_5_mib()) as manager, at.held(moment) as gate:
        future = start(manager, at.bucket, folder)
        thread = when_reached(gate, future.cancel)
        with pytest.raises(CancelledError):
            future.result()
        thread.join()

    _assert_as_before(at, folder)


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize(("error", "told"), [(OSError, FatalError), (KeyboardInterrupt, CancelledError)])
def test_manager_when_its_block_is_left_by_an_error_then_nothing_is_left(
    at: Transferring, name: str, error: type[BaseException], told: type[Exception], folder: Path
) -> None:
    (start, moment), futures = TRANSFERS[name], list[Any]()

    def leave(gate: Gate) -> None:
        with TransferManager(at.client, parts_of_5_mib()) as manager:
            futures.append(start(manager, at.bucket, folder))
            gate.wait()
            # The manager cancels, then waits for what is on its way.
            when_reached(gate, lambda: _until(futures[0].done))
            raise error("elsewhere")

    with at.held(moment) as gate, pytest.raises(error, match="elsewhere"):
        leave(gate)

    with pytest.raises(told):
        futures[0].result()
    _assert_as_before(at, folder)


def test_put_when_cancelled_while_it_is_sent_then_is_there_whole_or_not_at_all(at: Transferring, folder: Path) -> None:
    with TransferManager(at.client, parts_of_5_mib()) as manager, at.held(PUT) as gate:
        future = _upload_small(manager, at.bucket, folder)
        thread = when_reached(gate, future.cancel)
        with pytest.raises(CancelledError):
            future.result()
        thread.join()

    if "up" in at.object_names():
        assert at.read("up") == plaintext_of(SMALL)
        at.direct.delete_object(Bucket=at.bucket, Key="up")
    _assert_as_before(at, folder)
