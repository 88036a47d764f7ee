"""s3fs on our session: files, ranges, listings, and tables of pandas. The command is in `tests/s3/aio/__init__.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")

import s3fs

import s3envelope.aio
from s3envelope import KmsKeyring
from s3envelope.testing.s3_proxy import S3Proxy
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, plaintext_of

SIZE = 200_000
BODY = plaintext_of(SIZE)


@pytest.fixture
def proxied(moto_s3: Endpoint, http_proxy: ProxyFactory) -> tuple[S3Proxy, Endpoint]:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    return proxy, endpoint


@pytest.fixture
def files(proxied: tuple[S3Proxy, Endpoint], keyring: KmsKeyring) -> Iterator[Any]:
    proxy, endpoint = proxied
    yield s3fs.S3FileSystem(
        session=s3envelope.aio.Session(keyring=keyring),
        key=endpoint.access_key,
        secret=endpoint.secret_key,
        endpoint_url=endpoint.url,
        client_kwargs={"region_name": endpoint.region},
        skip_instance_cache=True,
    )
    assert proxy.leaks == []


def test_file_when_written_is_read_back_whole_and_in_ranges(files: Any, bucket: str, moto_s3: Endpoint) -> None:
    path = f"{bucket}/folder/file"

    with files.open(path, "wb") as file:
        file.write(BODY)

    assert files.cat(path) == BODY
    assert files.cat_file(path, start=65_530, end=65_550) == BODY[65_530:65_550]
    with files.open(path, "rb") as file:
        file.seek(100_000)
        assert file.read(10) == BODY[100_000:100_010]
    assert moto_s3.client().head_object(Bucket=bucket, Key="folder/file")["ContentLength"] > SIZE


def test_listing_when_asked_for_has_plaintext_sizes(files: Any, bucket: str) -> None:
    files.pipe_file(f"{bucket}/a", BODY)
    files.pipe_file(f"{bucket}/b", b"")

    assert [(item["name"], item["size"]) for item in files.ls(bucket, detail=True)] == [
        (f"{bucket}/a", SIZE),
        (f"{bucket}/b", 0),
    ]
    assert (files.info(f"{bucket}/a")["size"], files.du(bucket)) == (SIZE, SIZE)


def test_file_in_parts_when_written_is_read_back_copied_and_removed(files: Any, bucket: str) -> None:
    content, path = plaintext_of(11 * MIB), f"{bucket}/big"

    with files.open(path, "wb", block_size=5 * MIB) as file:
        file.write(content)
    files.cp_file(path, f"{bucket}/copy")

    assert files.cat(f"{bucket}/copy") == content
    assert files.info(path)["size"] == len(content)
    with files.open(path, "rb", block_size=MIB) as file:
        file.seek(-10, 2)
        assert file.read() == content[-10:]
    files.rm(path)
    assert not files.exists(path)


def test_files_when_put_and_got_are_the_same(files: Any, bucket: str, tmp_path: Any) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(BODY)

    files.put_file(str(source), f"{bucket}/file")
    files.get_file(f"{bucket}/file", str(target))

    assert target.read_bytes() == BODY


def test_table_when_written_as_parquet_is_read_back(files: Any, bucket: str) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pandas.DataFrame({"order": range(10_000), "name": [CANARY.hex()] * 10_000})

    table.to_parquet(f"s3://{bucket}/table.parquet", filesystem=files)

    assert pandas.read_parquet(f"s3://{bucket}/table.parquet", filesystem=files).equals(table)
    columns = pandas.read_parquet(f"s3://{bucket}/table.parquet", filesystem=files, columns=["order"])
    assert list(columns["order"]) == list(range(10_000))
