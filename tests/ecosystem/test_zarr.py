"""Zarr over `s3e://`. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.endpoints import Endpoint

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
