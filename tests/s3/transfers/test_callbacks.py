"""Callbacks and subscribers that raise: the transfer ends as boto3's would, and nothing is left of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from s3transfer.manager import TransferManager
from s3transfer.subscribers import BaseSubscriber

from tests.support.enveloped import plaintext_of
from tests.support.transferring import LARGE, SMALL, Transferring, parts_of_5_mib

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# s3transfer forgets the body of an answer when its own callback raises, and leaves the socket to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("closed_after"),
]
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])


class OwnError(Exception):
    """The caller's own."""


class Raising(BaseSubscriber):
    """Raises at one moment."""

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def on_queued(self, future: Any, **_: object) -> None:
        self._raise("queued")

    def on_progress(self, future: Any, bytes_transferred: int, **_: object) -> None:
        self._raise("progress")

    def on_done(self, future: Any, **_: object) -> None:
        self._raise("done")

    def _raise(self, moment: str) -> None:
        if moment == self._moment:
            raise OwnError(moment)


def _raising_late(limit: int) -> Callable[[int], None]:
    """Return a callback that raises as soon as more bytes have gone."""
    gone = 0

    def count(size: int) -> None:
        nonlocal gone
        gone += size
        if gone > limit:
            raise OwnError("enough")

    return count


def _outcome(do: Callable[[], object]) -> str:
    try:
        do()
    except Exception as error:  # noqa: BLE001 - compared with what plain boto3 raises
        return f"{type(error).__name__}: {error}"
    return "done"


def _by_ways(client: S3Client, bucket: str, size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Return transfers whose callback raises in the middle."""
    path, config = folder / "file", parts_of_5_mib()
    path.write_bytes(plaintext_of(size))
    source: Any = {"Bucket": bucket, "Key": "source"}

    def late() -> Any:
        return {"Callback": _raising_late(size // 2), "Config": config}

    return {
        "upload_file": lambda: client.upload_file(str(path), bucket, "k", **late()),
        "upload_fileobj": lambda: client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k", **late()),
        "download_file": lambda: client.download_file(bucket, "source", str(folder / "target"), **late()),
        "download_fileobj": lambda: client.download_fileobj(bucket, "source", io.BytesIO(), **late()),
        "copy": lambda: client.copy(source, bucket, "k", **late()),
    }


@SIZES
def test_callback_when_it_raises_then_the_transfer_fails_as_boto3_s_and_nothing_is_left(
    at: Transferring, size: int, tmp_path: Path
) -> None:
    folders = {"ours": tmp_path / "ours", "plain": tmp_path / "plain"}
    outcomes: dict[str, dict[str, str]] = {}
    left: dict[str, list[str]] = {}
    for name, client in (("plain", at.plain), ("ours", at.client)):
        folders[name].mkdir()
        client.upload_fileobj(io.BytesIO(plaintext_of(size)), at.bucket, "source")
        ways = _by_ways(client, at.bucket, size, folders[name])
        outcomes[name] = {way: _outcome(do) for way, do in ways.items()}
        # The copy of a small object is told once it is there.
        left[name] = at.object_names()
        for key in left[name]:
            at.direct.delete_object(Bucket=at.bucket, Key=key)

    assert outcomes["ours"] == outcomes["plain"]
    assert set(outcomes["ours"].values()) == {"OwnError: enough"}
    assert left["ours"] == left["plain"]
    assert [path.name for path in folders["ours"].iterdir()] == ["file"]
    at.assert_nothing_is_left()


@SIZES
@pytest.mark.parametrize("moment", ["queued", "progress", "done"])
def test_subscriber_when_it_raises_then_the_transfer_ends_as_boto3_s_and_nothing_is_left(
    at: Transferring, size: int, moment: str, tmp_path: Path
) -> None:
    source, outcomes = tmp_path / "source", dict[str, tuple[str, str, list[str]]]()
    source.write_bytes(plaintext_of(size))
    for name, client in (("plain", at.plain), ("ours", at.client)):
        client.upload_file(str(source), at.bucket, "down")
        folder = tmp_path / name
        folder.mkdir()

        with TransferManager(client, parts_of_5_mib()) as manager:
            up = manager.upload(str(source), at.bucket, "up", subscribers=[Raising(moment)])
            down = manager.download(at.bucket, "down", str(folder / "target"), subscribers=[Raising(moment)])
            outcomes[name] = _outcome(up.result), _outcome(down.result), [path.name for path in folder.iterdir()]
        outcomes[name][2].extend(at.object_names())
        for key in at.object_names():
            at.direct.delete_object(Bucket=at.bucket, Key=key)

    assert outcomes["ours"] == outcomes["plain"]
    at.assert_nothing_is_left()
