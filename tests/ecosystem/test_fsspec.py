"""fsspec itself: the block of the page. The tests of the filesystem are in tests/fs.

It needs the extra [ecosystem], in an environment of its own: see README.md in this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("fsspec: `s3e://`")

    assert stored().keys() == {"notes/2.txt"}
    assert b"acme" not in stored()["notes/2.txt"]
