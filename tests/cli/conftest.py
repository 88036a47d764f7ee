"""Places where the commands can be tried."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3envelope.testing import LocalKms
from tests.cli.commands import ALIAS, Place
from tests.cli.resuming import SIZE, Behind
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint


@pytest.fixture
def kms() -> Iterator[LocalKms]:
    """Yield a KMS with a key."""
    with LocalKms() as running:
        yield running


@pytest.fixture
def place(moto_s3: Endpoint, kms: LocalKms, new_bucket: Callable[[Endpoint], str]) -> Place:
    """Return a new bucket on moto's S3."""
    return Place(moto_s3, kms, new_bucket(moto_s3), kms.create_key(alias=ALIAS))


@pytest.fixture
def real_place(seaweedfs: Endpoint, kms: LocalKms, new_bucket: Callable[[Endpoint], str]) -> Place:
    """Return a new bucket on SeaweedFS."""
    return Place(seaweedfs, kms, new_bucket(seaweedfs), kms.create_key(alias=ALIAS))


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of upload states of this test."""
    monkeypatch.setenv("S3ENVELOPE_STATE_DIR", str(tmp_path / "states"))
    return tmp_path / "states"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file of two parts."""
    path = tmp_path / "source"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def behind(place: Place, http_proxy: ProxyFactory, monkeypatch: pytest.MonkeyPatch) -> Behind:
    """Return a place on moto behind a proxy, where nothing is tried twice."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy, endpoint = http_proxy(place.endpoint)
    return Behind(proxy, dataclasses.replace(place, endpoint=endpoint))


@pytest.fixture
def really_behind(real_place: Place, http_proxy: ProxyFactory) -> Behind:
    """Return a place on SeaweedFS behind a proxy."""
    proxy, endpoint = http_proxy(real_place.endpoint)
    return Behind(proxy, dataclasses.replace(real_place, endpoint=endpoint))
