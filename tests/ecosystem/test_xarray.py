"""Xarray over `s3e://`. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("xarray", reason="xarray is in the extra [ecosystem]")
pytest.importorskip("zarr", reason="zarr is in the extra [ecosystem]")
pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("Xarray")

    assert not [name for name, body in stored().items() if b"temperature" in body]
