"""fsspec itself: the block of the page. The tests of the filesystem are in tests/fs.

It needs the extra [ecosystem], in an environment of its own: see README.md in this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ecosystem.watching import Watch
from tests.support.enveloped import MIB, plaintext_of

fsspec = pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("fsspec: `s3e://`")

    assert stored().keys() == {"notes/2.txt"}
    assert b"acme" not in stored()["notes/2.txt"]


@pytest.mark.parametrize("protocol", ["simplecache", "filecache", "blockcache"])
def test_caching_protocol_when_it_is_in_the_url_then_is_filled_once(
    watch: Watch, tmp_path: Path, protocol: str
) -> None:
    content = plaintext_of(3 * MIB)
    storage = fsspec.filesystem("s3e", **watch.options)
    storage.pipe_file("orders/k", content)
    watch.forget()
    options = {"s3e": watch.options, protocol: {"cache_storage": str(tmp_path / "cache")}}

    for _ in range(2):
        with fsspec.open(f"{protocol}::s3e://orders/k", "rb", **options) as file:
            assert file.read() == content

    # Once, in whole segments with what belongs to them.
    assert watch.fetched()["k"] < 2 * len(content)
    assert watch.key_calls() == {"Decrypt": 1}
