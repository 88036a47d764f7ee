"""Fixtures of the tests of the client: a local KMS, a keyring of it, enveloped clients."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope import KmsKeyring
from s3envelope.testing.local_kms import LocalKms
from tests.conftest import ProxyFactory
from tests.support.copying import Copying
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, ClientFactory, NewBucket, enveloped_client
from tests.support.rewrapping import Scene, scenes
from tests.support.rotating_reads import Reading, readings


@pytest.fixture(scope="session")
def keyring(kms_server: LocalKms, key_arn: str) -> KmsKeyring:
    """Return a keyring of that key."""
    return KmsKeyring(key_arn, kms_server.client())


@pytest.fixture
def kms(kms_server: LocalKms) -> LocalKms:
    """Return the KMS with an empty log."""
    kms_server.faults.clear()
    kms_server.clear_calls()
    return kms_server


@pytest.fixture
def sealed(keyring: KmsKeyring) -> Iterator[ClientFactory]:
    """Yield a maker of enveloped clients, closed after the test."""
    with ExitStack() as stack:

        def make(endpoint: Endpoint, *, envelope: dict[str, Any] | None = None, **config: Any) -> S3Client:
            client = enveloped_client(endpoint, keyring, envelope=envelope, **config)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def copying(any_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory) -> Copying:
    """Return a bucket on each server in turn, reached through a proxy that looks for the canary."""
    proxy, endpoint = http_proxy(any_s3)
    proxy.forbid(CANARY)
    return Copying(endpoint, proxy, new_bucket(any_s3), sealed(endpoint), any_s3.client())


@pytest.fixture
def scene(
    any_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, kms: LocalKms, key_arn: str
) -> Iterator[Scene]:
    """Yield a scene; see there."""
    yield from scenes(any_s3, http_proxy, new_bucket, kms, key_arn)


@pytest.fixture
def moto_scene(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, kms: LocalKms, key_arn: str
) -> Iterator[Scene]:
    """Yield a scene; see there."""
    yield from scenes(moto_s3, http_proxy, new_bucket, kms, key_arn)


@pytest.fixture
def seaweedfs_scene(
    seaweedfs: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, kms: LocalKms, key_arn: str
) -> Iterator[Scene]:
    """Yield a scene on a server that obeys the conditions of copies."""
    yield from scenes(seaweedfs, http_proxy, new_bucket, kms, key_arn)


@pytest.fixture
def reading(seaweedfs_scene: Scene) -> Iterator[Reading]:
    """Yield a scene whose first key is retired, on a server that obeys the conditions of copies."""
    yield from readings(seaweedfs_scene)
