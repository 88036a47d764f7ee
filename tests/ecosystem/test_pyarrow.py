"""PyArrow's datasets over `s3e://`. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is in the extra [ecosystem]")
pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    names = run_block("PyArrow")

    assert {name.rpartition("/")[0] for name in stored()} == {"by-year/year=2025", "by-year/year=2026"}
    assert not [name for name, body in stored().items() if b"PAR1" in body]
    assert sorted(names["totals"].files) == sorted(f"orders/{name}" for name in stored())
