"""Transfers of streams that give little at a time or cannot seek, in one thread, and with a limit of bandwidth."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from s3transfer.manager import TransferManager

from s3envelope.testing.streams import HashingSink, NonSeekableSource, ShortReadSource
from tests.support.enveloped import MIB, plaintext_of
from tests.support.transferring import LARGE, SMALL, Transferring, parts_of_5_mib


class Trickle:
    """Gives a few bytes to each read, also to one for all, as a socket does; it cannot seek, and cannot be closed."""

    def __init__(self, plaintext: bytes, step: int) -> None:
        self._plaintext, self._step = io.BytesIO(plaintext), step

    def read(self, size: int = -1) -> bytes:
        return self._plaintext.read(self._step if size < 0 else min(size, self._step))


class OnlyWrite:
    """Takes what is written; it cannot seek."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)


STREAMS: dict[str, Callable[[bytes], Any]] = {
    "one byte": lambda plaintext: Trickle(plaintext, 1),
    "a few bytes, seekable": lambda plaintext: ShortReadSource(plaintext, longest=7),
}
LARGE_STREAMS: dict[str, Callable[[bytes], Any]] = {
    "short": lambda plaintext: Trickle(plaintext, 100_001),
    "short, seekable": lambda plaintext: ShortReadSource(plaintext, longest=300_000),
    "whole": NonSeekableSource,
}


@pytest.mark.parametrize("size", [0, 1, 70_000])
@pytest.mark.parametrize("name", STREAMS)
def test_upload_when_reads_give_little_then_the_whole_stream_is_the_object(
    at: Transferring, name: str, size: int
) -> None:
    seen: list[int] = []

    at.client.upload_fileobj(STREAMS[name](plaintext_of(size)), at.bucket, "k", Callback=seen.append)

    assert (at.read(), sum(seen)) == (plaintext_of(size), size)


@pytest.mark.parametrize("use_threads", [True, False])
@pytest.mark.parametrize("name", LARGE_STREAMS)
def test_multipart_upload_when_reads_are_short_then_the_whole_stream_is_the_object(
    at: Transferring, name: str, use_threads: bool
) -> None:
    seen, stream = list[int](), LARGE_STREAMS[name](plaintext_of(LARGE))

    at.client.upload_fileobj(
        stream, at.bucket, "k", Callback=seen.append, Config=parts_of_5_mib(use_threads=use_threads)
    )

    assert (at.read(), sum(seen)) == (plaintext_of(LARGE), LARGE)
    assert at.proxy.leaks == []
    at.assert_nothing_is_left("k")


def test_upload_when_the_source_is_a_pipe_then_its_whole_content_is_the_object(at: Transferring) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as source:

        def fill() -> None:
            with open(writing, "wb") as pipe:
                pipe.write(plaintext_of(LARGE))

        thread = threading.Thread(target=fill)
        thread.start()
        at.client.upload_fileobj(source, at.bucket, "k", Config=parts_of_5_mib())
        thread.join()

    assert at.read() == plaintext_of(LARGE)


def test_upload_when_a_stream_ends_in_an_error_then_it_passes_and_nothing_is_left(at: Transferring) -> None:
    class Broken(Trickle):
        def read(self, size: int = -1) -> bytes:
            piece = super().read(size)
            if not piece:
                raise ConnectionAbortedError("the other side is gone")
            return piece

    for size in (SMALL, LARGE):
        broken: Any = Broken(plaintext_of(size), 99_999)
        with pytest.raises(ConnectionAbortedError):
            at.client.upload_fileobj(broken, at.bucket, "k", Config=parts_of_5_mib())

    at.assert_nothing_is_left()


def test_upload_when_a_stream_has_nothing_yet_then_refused_and_no_short_object_stored(at: Transferring) -> None:
    class NotYet(Trickle):
        def read(self, size: int = -1) -> bytes:
            # What streams give that do not block.
            return super().read(size) or None  # type: ignore[return-value]

    for size in (SMALL, LARGE):
        waiting: Any = NotYet(plaintext_of(size), 99_999)
        with pytest.raises(TypeError):
            at.client.upload_fileobj(waiting, at.bucket, "k", Config=parts_of_5_mib())

    at.assert_nothing_is_left()


@pytest.mark.parametrize("use_threads", [True, False])
@pytest.mark.parametrize("size", [0, SMALL, LARGE])
def test_download_when_the_sink_cannot_seek_then_everything_comes_in_order(
    at: Transferring, size: int, use_threads: bool
) -> None:
    at.client.upload_fileobj(io.BytesIO(plaintext_of(size)), at.bucket, "k")
    sink, hashing, seen = OnlyWrite(), HashingSink(), list[int]()
    config = parts_of_5_mib(use_threads=use_threads)

    at.client.download_fileobj(at.bucket, "k", sink, Callback=seen.append, Config=config)  # type: ignore[arg-type]
    with TransferManager(at.client, config) as manager:
        manager.download(at.bucket, "k", hashing).result()  # type: ignore[arg-type]

    assert b"".join(sink.pieces) == plaintext_of(size)
    assert (sum(seen), hashing.size) == (size, size)


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_download_when_the_sink_is_an_open_file_then_the_object_is_in_it(
    at: Transferring, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    at.client.upload_fileobj(io.BytesIO(plaintext_of(LARGE)), at.bucket, "k")

    with path.open(mode) as sink:
        at.client.download_fileobj(at.bucket, "k", sink, Config=parts_of_5_mib())

    # Opened to append, it is written by one thread: others would append out of order.
    assert path.read_bytes() == {"wb": b"", "ab": b"before"}[mode] + plaintext_of(LARGE)


@pytest.mark.parametrize("size", [SMALL, 3 * MIB])
def test_transfers_when_bandwidth_is_limited_then_right_and_counted(
    at: Transferring, size: int, tmp_path: Path
) -> None:
    config = TransferConfig(max_bandwidth=20 * MIB, multipart_threshold=5 * MIB)
    source, target, plaintext = tmp_path / "source", tmp_path / "target", plaintext_of(size)
    source.write_bytes(plaintext)
    sent, received = list[int](), list[int]()

    at.client.upload_file(str(source), at.bucket, "k", Callback=sent.append, Config=config)
    at.client.download_file(at.bucket, "k", str(target), Callback=received.append, Config=config)

    assert target.read_bytes() == plaintext
    assert (sum(sent), sum(received)) == (size, size)
    assert at.proxy.leaks == []


def test_file_transfers_when_threads_are_off_then_right_and_no_thread_is_made(at: Transferring, tmp_path: Path) -> None:
    source, target, config = tmp_path / "source", tmp_path / "target", parts_of_5_mib(use_threads=False)
    source.write_bytes(plaintext_of(LARGE))
    here, seen = threading.current_thread(), set[threading.Thread]()

    def note(_: int) -> None:
        seen.add(threading.current_thread())

    at.client.upload_file(str(source), at.bucket, "k", Callback=note, Config=config)
    at.client.copy({"Bucket": at.bucket, "Key": "k"}, at.bucket, "copy", Callback=note, Config=config)
    at.client.download_file(at.bucket, "copy", str(target), Callback=note, Config=config)

    assert seen == {here}
    assert target.read_bytes() == plaintext_of(LARGE)
    at.assert_nothing_is_left("copy", "k")
