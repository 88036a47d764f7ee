"""PyArrow's datasets over `s3e://`. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ecosystem.watching import Watch
from tests.support.enveloped import SEGMENT_SIZE

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is in the extra [ecosystem]")
pytest.importorskip("pyarrow.dataset", reason="pyarrow is in the extra [ecosystem]")
pytest.importorskip("pyarrow.parquet", reason="pyarrow is in the extra [ecosystem]")
numpy = pytest.importorskip("numpy", reason="numpy is in the extra [ecosystem]")
fsspec = pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

ROWS = 500_000
FILES = ("orders/many/1.parquet", "orders/many/2.parquet")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    names = run_block("PyArrow")

    assert {name.rpartition("/")[0] for name in stored()} == {"by-year/year=2025", "by-year/year=2026"}
    assert not [name for name, body in stored().items() if b"PAR1" in body]
    assert sorted(names["totals"].files) == sorted(f"orders/{name}" for name in stored())


def test_footers_and_columns_when_read_then_are_fetched_by_ranges_with_one_call_of_kms_for_each_file(
    watch: Watch,
) -> None:
    noise = numpy.random.default_rng(1)
    columns = {f"c{number}": noise.random(ROWS) for number in range(8)}
    storage = fsspec.filesystem("s3e", **watch.options)
    for name in FILES:
        pyarrow.parquet.write_table(pyarrow.table(columns), name, filesystem=storage, compression="none")
    sizes = {entry["name"].partition("/")[2]: entry["size"] for entry in storage.ls("orders/many")}
    assert min(sizes.values()) > 30_000_000
    assert (watch.key_calls(), watch.written_count()) == ({"GenerateDataKey": 2}, 2)
    watch.forget()

    found = pyarrow.dataset.dataset("orders/many", filesystem=fsspec.filesystem("s3e", **watch.options))
    row_count, footers = found.count_rows(), watch.fetched()
    column = found.to_table(columns=["c3"])["c3"].to_numpy()

    assert row_count == 2 * ROWS
    assert footers.keys() == sizes.keys()
    # What PyArrow takes for a footer, in whole segments.
    assert max(footers.values()) < 10 * SEGMENT_SIZE
    assert numpy.array_equal(column, numpy.concatenate([columns["c3"]] * 2))
    fetched = watch.fetched()
    # The column is an eighth, and fsspec reads ahead.
    assert all(ROWS * 8 < fetched[name] < size / 2 for name, size in sizes.items())
    assert watch.key_calls() == {"Decrypt": 2}


def test_open_file_when_given_to_pyarrow_then_is_read(watch: Watch) -> None:
    table = pyarrow.table({"year": [2025, 2026]})
    storage = fsspec.filesystem("s3e", **watch.options)

    with storage.open("orders/k.parquet", "wb") as file:
        pyarrow.parquet.write_table(table, file)

    with fsspec.open("s3e://orders/k.parquet", **watch.options) as file:
        assert pyarrow.parquet.read_table(file).equals(table)
    assert pyarrow.parquet.read_metadata("orders/k.parquet", filesystem=storage).num_rows == 2
