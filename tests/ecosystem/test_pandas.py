"""pandas reads and writes `s3e://`. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3envelope.core.ranges import ByteRange
from s3envelope.testing import LocalKms, S3Proxy
from tests.ecosystem.watching import Watch
from tests.support.endpoints import Endpoint

pandas = pytest.importorskip("pandas", reason="pandas is in the extra [ecosystem]")
numpy = pytest.importorskip("numpy", reason="numpy is in the extra [ecosystem]")
pytest.importorskip("pyarrow", reason="pyarrow is in the extra [ecosystem]")
pytest.importorskip("fsspec.parquet", reason="fsspec is in the extra [fsspec]")
fsspec = pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

ROWS = 1_000_000


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("pandas")

    assert stored().keys() == {"totals.parquet", "totals.csv"}
    assert b"PAR1" not in stored()["totals.parquet"]
    assert b"order" not in stored()["totals.csv"]


def test_one_column_when_read_of_a_large_file_then_little_is_fetched_with_one_call_of_kms(
    server: Endpoint, kms: LocalKms
) -> None:
    noise = numpy.random.default_rng(1)
    frame = pandas.DataFrame({f"c{number}": noise.random(ROWS) for number in range(8)})
    options: dict[str, Any] = {"kms_key_id": "alias/orders", "cache": "memory"}
    frame.to_parquet("s3e://orders/large.parquet", storage_options=options, row_group_size=ROWS // 4)
    plain = server.client()
    stored_size = plain.head_object(Bucket="orders", Key="large.parquet")["ContentLength"]
    plain.close()
    assert stored_size > 60_000_000
    kms.clear_calls()

    with S3Proxy(server.url) as proxy:
        options["endpoint_url"] = proxy.url
        column = pandas.read_parquet("s3e://orders/large.parquet", columns=["c3"], storage_options=options)
        requests = proxy.take_requests()

    assert column["c3"].equals(frame["c3"])
    asked = [ByteRange.parse(request.header("range")) for request in requests]
    ends = [one.resolve(stored_size) for one in asked if one is not None]
    fetched = sum(end - start for start, end in ends)
    # Half of it and less: the column is an eighth, and fsspec reads ahead.
    assert 8_000_000 < fetched < stored_size / 2
    assert len(requests) < 20
    assert kms.count("Decrypt") == 1


def test_csv_when_writing_it_fails_then_nothing_is_left(server: Endpoint) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ZeroDivisionError("it cannot be printed")

    frame = pandas.DataFrame({"a": [*range(3_000_000), Unprintable()]}, dtype=object)

    with pytest.raises(ZeroDivisionError):
        frame.to_csv("s3e://orders/failed.csv", storage_options={"kms_key_id": "alias/orders"})

    plain = server.client()
    assert "Contents" not in plain.list_objects_v2(Bucket="orders")
    assert "Uploads" not in plain.list_multipart_uploads(Bucket="orders")
    plain.close()


def test_simplecache_when_put_in_front_then_reads_the_same(server: Endpoint) -> None:
    options = {"kms_key_id": "alias/orders"}
    frame = pandas.DataFrame({"order": [1, 2]})
    frame.to_csv("s3e://orders/k.csv", index=False, storage_options=options)

    assert pandas.read_csv("simplecache::s3e://orders/k.csv", storage_options={"s3e": options}).equals(frame)


def test_files_when_written_and_read_then_take_one_call_of_kms_each(watch: Watch) -> None:
    frame = pandas.DataFrame({"order": range(200_000), "name": [f"name {number}" for number in range(200_000)]})
    frame.to_parquet("s3e://orders/k.parquet", storage_options=watch.options)
    frame.to_csv("s3e://orders/k.csv", index=False, storage_options=watch.options)
    frame.to_csv("s3e://orders/k.csv.gz", index=False, storage_options=watch.options)
    assert (watch.key_calls(), watch.written_count()) == ({"GenerateDataKey": 3}, 3)
    watch.forget()

    assert pandas.read_parquet("s3e://orders/k.parquet", storage_options=watch.options).equals(frame)
    with pandas.read_csv("s3e://orders/k.csv", storage_options=watch.options, chunksize=70_000) as pieces:
        assert pandas.concat(pieces).equals(frame)
    assert pandas.read_csv("s3e://orders/k.csv.gz", storage_options=watch.options).equals(frame)

    assert watch.key_calls() == {"Decrypt": len(watch.fetched())} == {"Decrypt": 3}


def test_parts_of_a_file_when_fetched_ahead_by_fsspec_then_pandas_reads_them(watch: Watch) -> None:
    noise = numpy.random.default_rng(1)
    frame = pandas.DataFrame({f"c{number}": noise.random(ROWS // 4) for number in range(8)})
    frame.to_parquet("s3e://orders/k.parquet", storage_options=watch.options)
    watch.forget()

    opened = fsspec.parquet.open_parquet_file(
        "s3e://orders/k.parquet", columns=["c3"], engine="pyarrow", storage_options=watch.options
    )
    with opened as file:
        column = pandas.read_parquet(file, columns=["c3"])

    assert column["c3"].equals(frame["c3"])
    # The column is an eighth of the file.
    assert ROWS // 4 * 8 < watch.fetched()["k.parquet"] < ROWS // 4 * 8 * 3
    assert watch.key_calls() == {"Decrypt": 1}
