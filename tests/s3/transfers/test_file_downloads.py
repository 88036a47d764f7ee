"""Files that are written by the threads that download them."""

from __future__ import annotations

import io
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from s3transfer.download import DownloadSeekableOutputManager, DownloadSpecialFilenameOutputManager
from s3transfer.futures import TransferCoordinator, TransferFuture, TransferMeta
from s3transfer.utils import CallArgs, OSUtils

from s3envelope.s3.file_downloads import FileDownload, FileOutput
from tests.support.transferring import LARGE, Transferring, parts_of_5_mib

PIECE = 1000
CONTENT = random.Random(3).randbytes(400 * PIECE)


class _NoQueue:
    """Stands for s3transfer's queue, which nothing may use."""

    def submit(self, *_: object, **__: object) -> None:
        pytest.fail("a piece went to the queue")


class _SteppedFile(io.BytesIO):
    """A file that lets other threads run between the moves to a place and the writing there."""

    def __init__(self) -> None:
        super().__init__(bytes(len(CONTENT)))
        self._turn = threading.Event()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        place = super().seek(offset, whence)
        self._turn.wait(0)
        return place


@pytest.fixture
def switching() -> Any:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_output_when_threads_write_at_once_then_each_piece_is_at_its_place() -> None:
    output, file = FileOutput(OSUtils(), TransferCoordinator(), _NoQueue()), _SteppedFile()
    offsets = list(range(0, len(CONTENT), PIECE))
    random.Random(4).shuffle(offsets)

    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda offset: output.queue_file_io_task(file, CONTENT[offset : offset + PIECE], offset), offsets)
        )

    assert file.getvalue() == CONTENT


def test_output_when_the_system_refuses_then_the_transfer_has_the_error_and_not_the_task() -> None:
    class Full(io.BytesIO):
        def write(self, piece: Any, /) -> int:
            raise OSError(28, "No space left on device")

    transfer = TransferCoordinator()

    FileOutput(OSUtils(), transfer, _NoQueue()).queue_file_io_task(Full(), b"piece", 0)

    assert isinstance(transfer.exception, OSError)
    assert transfer.exception.errno == 28
    # Frames would keep the answer of the server, and its socket.
    assert transfer.exception.__traceback__ is None


def _transfer_to(target: object) -> Any:
    arguments: Any = CallArgs(fileobj=target)
    return TransferFuture(TransferMeta(arguments), TransferCoordinator())


@pytest.mark.parametrize(
    ("target", "expected"),
    [("a/file", FileOutput), (io.BytesIO(), DownloadSeekableOutputManager)],
    ids=["file", "stream"],
)
def test_download_when_its_target_is_chosen_then_only_files_are_written_directly(target: Any, expected: type) -> None:
    future = _transfer_to(target)

    chosen = FileDownload(TransferCoordinator())._get_download_output_manager_cls(future, OSUtils())

    assert chosen is expected


@pytest.mark.skipif(sys.platform == "win32", reason="there are no special files")
def test_download_when_its_target_is_a_device_then_it_is_written_in_order() -> None:
    future = _transfer_to("/dev/null")

    chosen = FileDownload(TransferCoordinator())._get_download_output_manager_cls(future, OSUtils())

    assert chosen is DownloadSpecialFilenameOutputManager


def test_download_file_when_it_is_large_then_its_pieces_are_written_directly(
    at: Transferring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    sizes: list[int] = []
    source.write_bytes(random.Random(5).randbytes(LARGE))
    at.client.upload_file(str(source), at.bucket, "k", Config=parts_of_5_mib())
    write = FileOutput.queue_file_io_task

    def counted(output: FileOutput, file: Any, piece: bytes, offset: int) -> None:
        sizes.append(len(piece))
        write(output, file, piece, offset)

    monkeypatch.setattr(FileOutput, "queue_file_io_task", counted)

    at.client.download_file(at.bucket, "k", str(target), Config=parts_of_5_mib())

    assert target.read_bytes() == source.read_bytes()
    assert sum(sizes) == LARGE
