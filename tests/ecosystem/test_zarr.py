"""Zarr over `s3e://`. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ecosystem.watching import Watch
from tests.support.endpoints import Endpoint
from tests.support.enveloped import SEGMENT_SIZE

numpy = pytest.importorskip("numpy", reason="numpy is in the extra [ecosystem]")
zarr = pytest.importorskip("zarr", reason="zarr is in the extra [ecosystem]")
pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

OPTIONS = {"kms_key_id": "alias/orders"}


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("Zarr")

    assert len([name for name in stored() if name.startswith("grid.zarr/c/")]) == 4
    assert not [name for name, body in stored().items() if b"zarr_format" in body]


def test_group_when_walked_and_deleted_then_goes(server: Endpoint) -> None:
    group = zarr.open_group("s3e://orders/group.zarr", mode="w", storage_options=OPTIONS)
    for name in ("a", "b"):
        group.create_array(name, shape=(10,), chunks=(5,), dtype="i4")[:] = range(10)

    assert sorted(group.array_keys()) == ["a", "b"]
    assert zarr.open_group("s3e://orders/group.zarr", mode="r", storage_options=OPTIONS)["b"][7:].tolist() == [7, 8, 9]
    del group["a"]
    # SeaweedFS lists the empty folder for a while, of which Zarr says that it is none of its own.
    assert sorted(zarr.open_group("s3e://orders/group.zarr", mode="r", storage_options=OPTIONS)) == ["b"]


def test_row_when_read_then_only_its_chunk_is_fetched_with_one_call_of_kms_for_each_file(watch: Watch) -> None:
    grid = numpy.random.default_rng(1).random((200, 1000))
    zarr.create_array("s3e://orders/grid.zarr", data=grid, chunks=(50, 1000), storage_options=watch.options)
    assert watch.key_calls() == {"GenerateDataKey": watch.written_count()}
    assert watch.written_count() > 4
    watch.forget()

    row = zarr.open_array("s3e://orders/grid.zarr", mode="r", storage_options=watch.options)[60]

    assert numpy.array_equal(row, grid[60])
    assert watch.fetched().keys() == {"grid.zarr/zarr.json", "grid.zarr/c/1/0"}
    assert watch.key_calls() == {"Decrypt": 2}


def test_row_when_read_of_a_shard_then_its_index_and_a_chunk_are_fetched_by_ranges(watch: Watch) -> None:
    grid = numpy.random.default_rng(1).random((200, 5000))
    zarr.create_array(
        "s3e://orders/shards.zarr", data=grid, chunks=(10, 5000), shards=(200, 5000), storage_options=watch.options
    )
    watch.forget()

    array = zarr.open_array("s3e://orders/shards.zarr", mode="r", storage_options=watch.options)
    rows = array[60:62]

    assert numpy.array_equal(rows, grid[60:62])
    fetched = watch.fetched()
    assert fetched.keys() == {"shards.zarr/zarr.json", "shards.zarr/c/0/0"}
    # An index and a chunk, in whole segments, of a shard of 8 MB.
    assert fetched["shards.zarr/c/0/0"] < 10 * 5000 * 8 + 6 * SEGMENT_SIZE
    assert watch.key_calls() == {"Decrypt": 2}
    assert numpy.array_equal(array[:], grid)
    assert watch.key_calls() == {"Decrypt": 2}
