"""s3path with our resource. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import s3envelope
from s3envelope.errors import UnsupportedOperationError
from tests.support.endpoints import Endpoint

s3path = pytest.importorskip("s3path", reason="s3path is in the extra [ecosystem]")


@pytest.fixture(autouse=True)
def _own_configuration(server: Endpoint) -> Iterator[None]:
    resource = s3envelope.resource("s3", kms_key_id="alias/orders")
    s3path.register_configuration_parameter(s3path.PureS3Path("/"), resource=resource)
    yield
    s3path.accessor.configuration_map.arguments = s3path.accessor.configuration_map.resources = None


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("s3path")

    assert b"sealed" not in stored()["s3path/1.txt"]


def test_path_when_renamed_listed_and_deleted_then_still_opens() -> None:
    path = s3path.S3Path("/orders/folder/k")
    path.write_bytes(b"content")

    path.rename(s3path.S3Path("/orders/folder/moved"))

    moved = s3path.S3Path("/orders/folder/moved")
    assert [str(found) for found in s3path.S3Path("/orders/folder").iterdir()] == [str(moved)]
    assert moved.read_bytes() == b"content"
    moved.unlink()
    assert not moved.exists()


def test_presigned_url_when_asked_for_then_refused() -> None:
    path = s3path.S3Path("/orders/k")
    path.write_bytes(b"content")

    with pytest.raises(UnsupportedOperationError, match="presigned"):
        path.get_presigned_url(60)
