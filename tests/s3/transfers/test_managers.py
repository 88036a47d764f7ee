"""Transfers by managers that the caller builds: boto3's and s3transfer's own, with subscribers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import S3Transfer, create_transfer_manager
from s3transfer import S3Transfer as LegacyTransfer
from s3transfer import TransferConfig as LegacyConfig
from s3transfer.manager import TransferManager
from s3transfer.subscribers import BaseSubscriber

from tests.support.enveloped import MIB, plaintext_of
from tests.support.transferring import LARGE, SMALL, Transferring, parts_of_5_mib

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIZES = pytest.mark.parametrize("size", [0, SMALL, LARGE])


class Telling(BaseSubscriber):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.sizes: list[int] = []
        self.total: int | None = None
        self._lock = threading.Lock()

    def on_queued(self, future: Any, **_: object) -> None:
        self.events.append("queued")

    def on_progress(self, future: Any, bytes_transferred: int, **_: object) -> None:
        with self._lock:
            self.sizes.append(bytes_transferred)

    def on_done(self, future: Any, **_: object) -> None:
        self.events.append("done")
        self.total = future.meta.size


def _by_manager(client: S3Client) -> Any:
    return TransferManager(client, parts_of_5_mib())


def _by_boto3(client: S3Client) -> Any:
    return create_transfer_manager(client, parts_of_5_mib())


MANAGERS: dict[str, Callable[[S3Client], Any]] = {"TransferManager": _by_manager, "create_transfer_manager": _by_boto3}


@SIZES
@pytest.mark.parametrize("make", MANAGERS)
def test_manager_when_built_by_the_caller_then_seals_opens_and_tells_plaintext_sizes(
    at: Transferring, make: str, size: int, tmp_path: Path
) -> None:
    source, target, plaintext = tmp_path / "source", tmp_path / "target", plaintext_of(size)
    source.write_bytes(plaintext)
    up, down = Telling(), Telling()

    with MANAGERS[make](at.client) as manager:
        manager.upload(str(source), at.bucket, "k", subscribers=[up]).result()
    with MANAGERS[make](at.client) as manager:
        manager.download(at.bucket, "k", str(target), subscribers=[down]).result()

    assert target.read_bytes() == plaintext
    for told in (up, down):
        assert (told.events, sum(told.sizes), told.total) == (["queued", "done"], size, size)
    assert at.proxy.leaks == []
    at.assert_nothing_is_left("k")


@SIZES
def test_boto3_s_s3transfer_when_built_by_the_caller_then_seals_and_opens(
    at: Transferring, size: int, tmp_path: Path
) -> None:
    source, target, plaintext = tmp_path / "source", tmp_path / "target", plaintext_of(size)
    source.write_bytes(plaintext)
    sent, received = list[int](), list[int]()

    config: Any = parts_of_5_mib()
    with S3Transfer(at.client, config) as transfer:
        transfer.upload_file(str(source), at.bucket, "k", callback=sent.append, extra_args={"Metadata": {"a": "b"}})
        transfer.download_file(at.bucket, "k", str(target), callback=received.append)

    assert target.read_bytes() == plaintext
    assert (sum(sent), sum(received)) == (size, size)
    assert at.client.head_object(Bucket=at.bucket, Key="k")["Metadata"] == {"a": "b"}
    assert at.proxy.leaks == []
    at.assert_nothing_is_left("k")


@SIZES
def test_legacy_s3transfer_when_built_by_the_caller_then_seals_and_opens(
    at: Transferring, size: int, tmp_path: Path
) -> None:
    source, target, plaintext = tmp_path / "source", tmp_path / "target", plaintext_of(size)
    source.write_bytes(plaintext)
    sent, received = list[int](), list[int]()
    transfer: Any = LegacyTransfer(at.client, LegacyConfig(multipart_chunksize=5 * MIB, max_concurrency=3))

    transfer.upload_file(str(source), at.bucket, "k", callback=sent.append)
    transfer.download_file(at.bucket, "k", str(target), callback=received.append)

    assert target.read_bytes() == plaintext
    assert (sum(sent), sum(received)) == (size, size)
    assert at.proxy.leaks == []
    at.assert_nothing_is_left("k")


def test_manager_when_it_transfers_many_objects_at_once_then_each_is_its_own(at: Transferring, tmp_path: Path) -> None:
    bodies = {f"k{index}": plaintext_of(SMALL)[index:] for index in range(12)} | {"large": plaintext_of(LARGE)}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)

    with TransferManager(at.client, parts_of_5_mib()) as manager:
        for name in bodies:
            manager.upload(str(tmp_path / name), at.bucket, name)
    with TransferManager(at.client, parts_of_5_mib()) as manager:
        futures = [manager.download(at.bucket, name, str(tmp_path / f"{name}.back")) for name in bodies]
        for future in futures:
            future.result()

    assert {name: (tmp_path / f"{name}.back").read_bytes() == body for name, body in bodies.items()} == dict.fromkeys(
        bodies, True
    )
    assert at.proxy.leaks == []
    at.assert_nothing_is_left(*bodies)


def test_manager_when_it_deletes_then_the_object_is_gone(at: Transferring) -> None:
    at.client.put_object(Bucket=at.bucket, Key="k", Body=b"x")

    with TransferManager(at.client) as manager:
        manager.delete(at.bucket, "k").result()

    at.assert_nothing_is_left()
