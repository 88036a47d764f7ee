"""Fixtures of the tests of transfers."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, ClientFactory, NewBucket
from tests.support.open_answers import noted_answers
from tests.support.transferring import Transferring, busy_threads, unnamed_files


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore not wait between attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """See after each test that no thread and no unnamed file of it is left."""
    threads, files = busy_threads(), unnamed_files()
    yield
    assert busy_threads() <= threads
    assert unnamed_files() == files


@pytest.fixture
def closed_after() -> Iterator[None]:
    """Close after the test what s3transfer leaves to the garbage collector, so that no other test is told of it.

    Answers first: which of the objects around a socket is freed first, and whether that closes it, is left to chance.
    """
    with noted_answers() as answers:
        yield
        answers.close()
    gc.collect()


@pytest.fixture(params=["moto", "seaweedfs"])
def storage(request: pytest.FixtureRequest) -> Endpoint:
    """Return each of two servers in turn."""
    endpoint: Endpoint = request.getfixturevalue({"moto": "moto_s3"}.get(request.param, request.param))
    return endpoint


@pytest.fixture
def at(
    storage: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, tmp_path: Path
) -> Iterator[Transferring]:
    """Yield a bucket of a server, through a proxy that looks for the canary."""
    proxy, endpoint = http_proxy(storage)
    proxy.forbid(CANARY)
    states = tmp_path / "states"
    client = sealed(endpoint, envelope={"state_dir": states})
    retrying = sealed(endpoint, envelope={"state_dir": states}, retries={"mode": "standard", "total_max_attempts": 3})
    plain, direct = endpoint.client(), storage.client()
    yield Transferring(endpoint, proxy, new_bucket(storage), client, retrying, plain, direct, states)
    for each in (plain, direct):
        each.close()
