"""Xarray over `s3e://`. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ecosystem.watching import Watch

numpy = pytest.importorskip("numpy", reason="numpy is in the extra [ecosystem]")
xarray = pytest.importorskip("xarray", reason="xarray is in the extra [ecosystem]")
pytest.importorskip("zarr", reason="zarr is in the extra [ecosystem]")
pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("Xarray")

    assert not [name for name, body in stored().items() if b"temperature" in body]


def test_dataset_when_appended_to_and_a_day_is_read_then_its_chunks_alone_are_fetched(watch: Watch) -> None:
    numbers = numpy.random.default_rng(1).random((20, 3000))
    known: dict[str, Any] = {"storage_options": watch.options, "consolidated": False}

    def days(start: int) -> Any:
        return xarray.Dataset(
            {"temperature": (("day", "place"), numbers[start : start + 10])}, coords={"day": range(start, start + 10)}
        )

    days(0).to_zarr("s3e://orders/climate.zarr", **known)
    # Xarray reads meanwhile what it has written.
    assert watch.key_calls()["GenerateDataKey"] == watch.written_count()
    days(10).to_zarr("s3e://orders/climate.zarr", append_dim="day", **known)
    watch.forget()

    with xarray.open_zarr("s3e://orders/climate.zarr", chunks=None, **known) as climate:
        found = climate["temperature"].sel(day=14).to_numpy()

    assert numpy.array_equal(found, numbers[14])
    fetched = watch.fetched()
    assert [name for name in fetched if "/temperature/c/" in name] == ["climate.zarr/temperature/c/1/0"]
    assert watch.key_calls() == {"Decrypt": len(fetched)}
