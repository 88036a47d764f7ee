"""smart_open with our client. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

import s3envelope
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, plaintext_of

smart_open = pytest.importorskip("smart_open", reason="smart_open is in the extra [ecosystem]")


@pytest.fixture
def parameters(server: Endpoint) -> dict[str, Any]:
    return {"client": s3envelope.client("s3", kms_key_id="alias/orders")}


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("smart_open")

    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(stored()["lines.txt.gz"])


@pytest.mark.parametrize("size", [0, 1, 6 * MIB, 51 * MIB])
def test_file_when_written_then_is_read_whole_and_in_places(parameters: dict[str, Any], size: int) -> None:
    content = plaintext_of(size)

    with smart_open.open("s3://orders/k", "wb", transport_params=parameters) as file:
        file.write(content)

    with smart_open.open("s3://orders/k", "rb", transport_params=parameters) as file:
        assert file.read() == content
    with smart_open.open("s3://orders/k", "rb", transport_params=parameters) as file:
        file.seek(size // 2)
        assert file.read(100) == content[size // 2 : size // 2 + 100]
        file.seek(0, 2)
        assert file.tell() == size
    assert parameters["client"].head_object(Bucket="orders", Key="k")["ContentLength"] == size


def test_default_session_when_installed_then_seals_too(
    server: Endpoint, stored: Callable[[], dict[str, bytes]]
) -> None:
    s3envelope.install(kms_key_id="alias/orders")

    with smart_open.open("s3://orders/k", "w") as file:
        file.write("sealed")

    assert b"sealed" not in stored()["k"]
    with smart_open.open("s3://orders/k") as file:
        assert file.read() == "sealed"
