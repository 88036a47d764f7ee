"""Files that cannot be written, and files that change while they are uploaded."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from s3envelope.errors import SourceChangedError
from s3envelope.testing.s3_proxy import ErrorAnswer, Matcher, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.support.enveloped import MIB, keeping_nothing, plaintext_of
from tests.support.transferring import (
    FIRST_PART,
    LARGE,
    SECOND_PART,
    SMALL,
    Transferring,
    parts_of_5_mib,
    when_reached,
)

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])
PUT = matching(method="PUT", contains="/k")
# Of which size, at which request a file is changed.
MOMENTS: dict[str, tuple[int, Matcher]] = {
    "put": (SMALL, PUT),
    "first part": (LARGE, FIRST_PART),
    "second part": (LARGE, SECOND_PART),
}


def _stored(at: Transferring, folder: Path, size: int) -> Path:
    """Store an object of a size; return the file."""
    path = folder / "source"
    path.write_bytes(plaintext_of(size))
    at.client.upload_file(str(path), at.bucket, "k", Config=parts_of_5_mib())
    return path


@SIZES
@pytest.mark.parametrize("where", ["missing/target", "source/target", "read-only/target"])
def test_download_when_the_folder_takes_no_file_then_the_error_of_the_system_and_nothing_is_left(
    at: Transferring, size: int, where: str, tmp_path: Path
) -> None:
    _stored(at, tmp_path, size)
    read_only = tmp_path / "read-only"
    read_only.mkdir()
    read_only.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if where.startswith("read-only") and os.access(read_only, os.W_OK):
        pytest.skip("this user writes to read-only folders")

    with pytest.raises(OSError, match=r"target"):
        at.client.download_file(at.bucket, "k", str(tmp_path / where), Config=parts_of_5_mib())

    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "states") == ["read-only", "source"]
    assert list(read_only.iterdir()) == []


@contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """Let writes fail beyond a size, as those to a full disk do."""
    import resource  # Not on Windows.

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name != "posix", reason="limits of processes are POSIX's")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("closed_after")
@pytest.mark.parametrize("use_threads", [True, False])
@SIZES
def test_download_when_the_disk_is_full_then_the_error_of_the_system_and_nothing_is_left(
    at: Transferring, size: int, use_threads: bool, tmp_path: Path
) -> None:
    _stored(at, tmp_path, size)
    target = tmp_path / "target"
    target.write_bytes(b"before")

    with _no_file_larger_than(size - 1000), pytest.raises(OSError) as raised:  # noqa: PT011 - its number is looked at
        at.client.download_file(at.bucket, "k", str(target), Config=parts_of_5_mib(use_threads=use_threads))

    assert raised.value.errno == errno.EFBIG
    # What was there before is there still.
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["source", "target"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_download_when_the_stream_is_full_then_the_error_of_the_system(at: Transferring, tmp_path: Path) -> None:
    _stored(at, tmp_path, SMALL)

    with open("/dev/full", "wb", buffering=0) as sink, pytest.raises(OSError, match="No space left"):
        at.client.download_fileobj(at.bucket, "k", sink)


@pytest.mark.skipif(os.name != "posix", reason="limits of processes are POSIX's")
def test_put_when_there_is_no_room_for_its_ciphertext_then_the_error_of_the_system_and_nothing_is_left(
    at: Transferring,
) -> None:
    body: Any = NonSeekableSource(plaintext_of(20 * MIB))
    with _no_file_larger_than(17 * MIB), pytest.raises(OSError) as raised:  # noqa: PT011 - its number is looked at
        at.client.put_object(Bucket=at.bucket, Key="k", Body=body)

    assert raised.value.errno == errno.EFBIG
    at.assert_nothing_is_left()


@pytest.mark.parametrize("moment", MOMENTS)
def test_upload_when_the_file_is_cut_meanwhile_then_refused_and_nothing_is_left(
    at: Transferring, moment: str, tmp_path: Path
) -> None:
    size, held = MOMENTS[moment]
    path = tmp_path / "source"
    path.write_bytes(plaintext_of(size))

    with at.held(held) as gate:
        # Retried, so that it is read once more.
        at.proxy.inject(ErrorAnswer(), held)
        thread = when_reached(gate, lambda: os.truncate(path, size // 7))
        with pytest.raises(SourceChangedError):
            keeping_nothing(at.retrying).upload_file(str(path), at.bucket, "k", Config=parts_of_5_mib())
        thread.join()

    at.assert_nothing_is_left()


@pytest.mark.parametrize("moment", MOMENTS)
def test_upload_when_the_file_grows_meanwhile_then_what_was_there_is_the_object(
    at: Transferring, moment: str, tmp_path: Path
) -> None:
    size, held = MOMENTS[moment]
    path, seen = tmp_path / "source", list[int]()
    path.write_bytes(plaintext_of(size))

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more" * 100_000)

    with at.held(held) as gate:
        at.proxy.inject(ErrorAnswer(), held)
        thread = when_reached(gate, grow)
        at.retrying.upload_file(str(path), at.bucket, "k", Config=parts_of_5_mib(), Callback=seen.append)
        thread.join()

    assert (at.read(), sum(seen)) == (plaintext_of(size), size)
    at.assert_nothing_is_left("k")
