"""Fixtures of the edge cases: a bucket behind a proxy, and clients of it that keep upload states in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope import RawAesKeyring
from s3envelope.testing.s3_proxy import S3Proxy
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, NewBucket, enveloped_client

# Processes of these tests have the same one.
KEYRING = RawAesKeyring(bytes(range(32)), "edge-cases")
ClientWith = Callable[[Path | None], S3Client]
Watched = tuple[Endpoint, S3Proxy, str]


@pytest.fixture
def watched(moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket) -> Watched:
    """Return moto behind a proxy that keeps bodies and knows the canary, and a bucket."""
    proxy, endpoint = http_proxy(moto_s3, keep_bodies=True)
    proxy.forbid(CANARY)
    return endpoint, proxy, new_bucket(moto_s3)


@pytest.fixture
def client_with(watched: Watched) -> Iterator[ClientWith]:
    """Yield a maker of clients that keep upload states in a folder, or in memory only."""
    made: list[S3Client] = []

    def make(state_dir: Path | None) -> S3Client:
        made.append(enveloped_client(watched[0], KEYRING, envelope={"state_dir": state_dir}))
        return made[-1]

    yield make
    for client in made:
        client.close()
