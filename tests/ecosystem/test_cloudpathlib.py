"""cloudpathlib with our session. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import s3envelope
from s3envelope.errors import UnsupportedOperationError
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, plaintext_of

cloudpathlib = pytest.importorskip("cloudpathlib", reason="cloudpathlib is in the extra [ecosystem]")


@pytest.fixture
def make_client(server: Endpoint, tmp_path: Path) -> Callable[[str], Any]:
    """Return what makes a client with a local cache of that name."""

    def make(name: str) -> Any:
        session = s3envelope.Session(kms_key_id="alias/orders")
        return cloudpathlib.S3Client(boto3_session=session, local_cache_dir=tmp_path / name)

    return make


@pytest.fixture
def client(make_client: Callable[[str], Any]) -> Any:
    return make_client("cache")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("cloudpathlib")

    assert stored().keys() == {"paths/1.txt", "paths/2.txt"}
    assert not [body for body in stored().values() if b"sealed" in body]


def test_large_file_when_up_and_down_then_is_the_same(client: Any, tmp_path: Any) -> None:
    (tmp_path / "up").write_bytes(plaintext_of(20 * MIB))

    path = client.CloudPath("s3://orders/large").upload_from(tmp_path / "up")

    assert path.stat().st_size == 20 * MIB
    assert path.download_to(tmp_path / "down").read_bytes() == plaintext_of(20 * MIB)


def test_path_when_touched_renamed_and_deleted_then_still_opens(client: Any, make_client: Callable[[str], Any]) -> None:
    path = client.CloudPath("s3://orders/k")
    path.write_bytes(b"content")

    path.touch()
    moved = path.rename(client.CloudPath("s3://orders/moved"))

    assert not path.exists()
    other = make_client("another cache")
    assert other.CloudPath("s3://orders/moved").read_bytes() == b"content"
    moved.unlink()
    assert not moved.exists()


def test_presigned_url_when_asked_for_then_refused(client: Any) -> None:
    path = client.CloudPath("s3://orders/k")
    path.write_bytes(b"content")

    with pytest.raises(UnsupportedOperationError, match="presigned"):
        path.as_url(presign=True)
