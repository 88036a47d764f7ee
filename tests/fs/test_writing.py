"""Files that are written: whole or not at all, sealed, in bounded memory."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.testing.s3_proxy import ErrorAnswer, matching
from tests.conftest import ProxyFactory
from tests.fs.conftest import MakeFileSystem
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, NewBucket, plaintext_of

fsspec = pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

PART = 5 * MIB
WAYS = ("file", "text", "gzip", "text of gzip", "OpenFile", "OpenFile of text", "OpenFile of gzip", "contextlib")


class _FailedError(Exception):
    """What goes wrong while a file is written."""


@pytest.fixture
def moto_bucket(moto_s3: Endpoint, new_bucket: NewBucket) -> str:
    return new_bucket(moto_s3)


@pytest.fixture
def moto_fs(make_fs: MakeFileSystem, moto_s3: Endpoint) -> Any:
    return make_fs(moto_s3, default_block_size=PART)


def nothing_is_left(fs: Any, bucket: str) -> bool:
    """Tell whether there is no object, and no upload."""
    return not fs.find(bucket) and not fs.client.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
def test_file_when_written_in_pieces_then_is_read_whole_and_its_size_is_exact(
    moto_fs: Any, moto_bucket: str, size: int
) -> None:
    content = plaintext_of(size)

    with moto_fs.open(f"{moto_bucket}/k", "wb") as file:
        for start in range(0, size, 1_700_000):
            file.write(content[start : start + 1_700_000])

    assert moto_fs.cat_file(f"{moto_bucket}/k") == content
    assert moto_fs.ls(moto_bucket)[0]["size"] == size


def test_write_when_larger_than_a_part_then_never_more_than_a_part_is_held(moto_fs: Any, moto_bucket: str) -> None:
    content = plaintext_of(3 * PART + 7)

    with moto_fs.open(f"{moto_bucket}/k", "wb") as file:
        assert file.write(memoryview(content)) == len(content)
        assert len(file.buffer.getbuffer()) == 7

    assert moto_fs.cat_file(f"{moto_bucket}/k") == content


def test_file_when_written_then_no_plaintext_leaves(
    make_fs: MakeFileSystem, storage: Endpoint, bucket: str, http_proxy: ProxyFactory
) -> None:
    proxy, endpoint = http_proxy(storage)
    proxy.forbid(CANARY)
    fs = make_fs(endpoint)

    with fs.open(f"{bucket}/large", "wb", block_size=PART) as file:
        file.write(plaintext_of(PART + MIB))
    fs.pipe_file(f"{bucket}/small", plaintext_of(MIB))

    assert not proxy.leaks
    assert fs.du(bucket, total=False) == {f"{bucket}/large": PART + MIB, f"{bucket}/small": MIB}


@contextlib.contextmanager
def _closing(file: Any) -> Iterator[Any]:
    try:
        yield file
    finally:
        file.close()


def _opened(way: str, fs: Any, path: str) -> Any:
    ways: dict[str, Callable[[], Any]] = {
        "file": lambda: fs.open(path, "wb"),
        "text": lambda: fs.open(path, "w"),
        "gzip": lambda: fs.open(path, "wb", compression="gzip"),
        "text of gzip": lambda: fs.open(path, "w", compression="gzip"),
        "OpenFile": lambda: fsspec.core.OpenFile(fs, path, "wb"),
        "OpenFile of text": lambda: fsspec.core.OpenFile(fs, path, "w", encoding="utf-8"),
        "OpenFile of gzip": lambda: fsspec.core.OpenFile(fs, path, "wb", compression="gzip"),
        "contextlib": lambda: _closing(fs.open(path, "wb")),
    }
    return ways[way]()


@pytest.mark.parametrize(
    ("way", "amount"), [*((way, 1000) for way in WAYS), ("file", PART + 1000), ("OpenFile of text", PART + 1000)]
)
def test_with_block_when_it_raises_then_nothing_is_left(moto_fs: Any, moto_bucket: str, way: str, amount: int) -> None:
    content = plaintext_of(amount)

    with pytest.raises(_FailedError), _opened(way, moto_fs, f"{moto_bucket}/k") as file:  # noqa: PT012  # it fails late
        file.write(content.hex() if "text" in way.split() else content)
        raise _FailedError

    assert nothing_is_left(moto_fs, moto_bucket)


@pytest.mark.parametrize("way", WAYS)
def test_with_block_when_it_ends_then_the_file_is_there_at_once(moto_fs: Any, moto_bucket: str, way: str) -> None:
    is_text = "text" in way.split()

    with _opened(way, moto_fs, f"{moto_bucket}/k") as file:
        file.write("content" if is_text else b"content")

    compression = "gzip" if "gzip" in way else None
    with moto_fs.open(f"{moto_bucket}/k", "rb", compression=compression) as file:
        assert file.read() == b"content"


def test_file_when_closed_by_an_except_clause_then_is_there(moto_fs: Any, moto_bucket: str) -> None:
    file = moto_fs.open(f"{moto_bucket}/k", "wb")
    try:
        raise _FailedError
    except _FailedError:
        file.write(b"the default")
        file.close()

    assert moto_fs.cat_file(f"{moto_bucket}/k") == b"the default"


def test_file_when_written_while_another_block_is_left_by_an_exception_then_is_there(
    moto_fs: Any, moto_bucket: str
) -> None:
    @contextlib.contextmanager
    def reporting() -> Iterator[None]:
        try:
            yield
        except _FailedError:
            with moto_fs.open(f"{moto_bucket}/report", "w") as report:
                report.write("it failed")
            raise

    with pytest.raises(_FailedError), reporting():
        raise _FailedError

    assert moto_fs.cat_file(f"{moto_bucket}/report") == b"it failed"


def test_file_when_never_closed_then_is_discarded_with_a_warning(moto_fs: Any, moto_bucket: str) -> None:
    file = moto_fs.open(f"{moto_bucket}/k", "wb")
    file.write(plaintext_of(PART + 1))

    with pytest.warns(ResourceWarning, match="was not closed"):  # noqa: PT031  # either of them is enough
        del file
        gc.collect()

    assert nothing_is_left(moto_fs, moto_bucket)


@pytest.mark.parametrize("failing", ["partNumber=2", "uploadId="])
def test_file_when_a_request_fails_then_nothing_is_left(
    make_fs: MakeFileSystem, moto_s3: Endpoint, moto_bucket: str, http_proxy: ProxyFactory, failing: str
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    method = "PUT" if "part" in failing else "POST"
    proxy.inject(ErrorAnswer(status=500, code="InternalError"), matching(method=method, contains=failing))
    fs = make_fs(endpoint, default_block_size=PART)

    file = fs.open(f"{moto_bucket}/k", "wb")
    with pytest.raises(ClientError, match="InternalError"):  # noqa: PT012  # either of them sends the request
        file.write(plaintext_of(2 * PART + 1))
        file.close()

    assert file.closed
    file.close()
    assert nothing_is_left(fs, moto_bucket)


def test_transaction_when_it_ends_then_its_files_are_there_together(moto_fs: Any, moto_bucket: str) -> None:
    with moto_fs.transaction:
        moto_fs.pipe_file(f"{moto_bucket}/small", b"1")
        with moto_fs.open(f"{moto_bucket}/large", "wb") as file:
            file.write(plaintext_of(PART + 1))
        moto_fs.pipe_file(f"{moto_bucket}/empty", b"")
        assert moto_fs.find(moto_bucket) == []

    assert moto_fs.du(moto_bucket, total=False) == {
        f"{moto_bucket}/empty": 0,
        f"{moto_bucket}/large": PART + 1,
        f"{moto_bucket}/small": 1,
    }


def test_transaction_when_it_raises_then_nothing_is_left(moto_fs: Any, moto_bucket: str) -> None:
    with pytest.raises(_FailedError), moto_fs.transaction:  # noqa: PT012  # it fails late
        moto_fs.pipe_file(f"{moto_bucket}/small", b"1")
        moto_fs.pipe_file(f"{moto_bucket}/empty", b"")
        raise _FailedError

    assert nothing_is_left(moto_fs, moto_bucket)


def test_exclusive_file_when_another_writer_is_first_then_file_exists_and_that_one_stays(fs: Any, bucket: str) -> None:
    file = fs.open(f"{bucket}/k", "xb")
    file.write(b"second")
    fs.pipe_file(f"{bucket}/k", b"first")

    with pytest.raises(FileExistsError):
        file.close()
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{bucket}/k", b"third", mode="create")
    with pytest.raises(FileExistsError):
        fs.open(f"{bucket}/k", "xb")

    assert fs.cat_file(f"{bucket}/k") == b"first"


def test_append_when_asked_for_then_refused_before_any_request(moto_fs: Any, moto_bucket: str) -> None:
    moto_fs.pipe_file(f"{moto_bucket}/k", b"x")

    with pytest.raises(UnsupportedOperationError, match="appended"):
        moto_fs.open(f"{moto_bucket}/k", "ab")

    assert moto_fs.cat_file(f"{moto_bucket}/k") == b"x"


def test_file_when_it_has_too_many_parts_then_says_what_to_do_and_nothing_is_left(
    moto_fs: Any, moto_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3envelope.fs.writing.MAX_PART_NUMBER", 1)

    with pytest.raises(ConfigurationError, match="larger block_size"), moto_fs.open(f"{moto_bucket}/k", "wb") as file:
        file.write(plaintext_of(2 * PART))

    assert nothing_is_left(moto_fs, moto_bucket)


def test_arguments_of_boto3_when_given_to_open_then_are_stored(fs: Any, bucket: str) -> None:
    with fs.open(f"{bucket}/k", "wb", ContentType="text/csv", Metadata={"source": "web"}) as file:
        file.write(b"a,b\n")

    entry = fs.info(f"{bucket}/k", refresh=True)

    assert (entry["ContentType"], entry["Metadata"]) == ("text/csv", {"source": "web"})
