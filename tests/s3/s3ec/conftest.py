"""Fixtures of the tests of the Amazon formats."""

import pytest

from s3envelope.testing.local_kms import LocalKms
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, ClientFactory, NewBucket
from tests.support.s3ec_writing import Writing


def _writing(
    server: Endpoint, proxies: ProxyFactory, new_bucket: NewBucket, kms: LocalKms, key_arn: str, sealed: ClientFactory
) -> Writing:
    proxy, endpoint = proxies(server, keep_bodies=True)
    proxy.forbid(CANARY)
    return Writing(endpoint, proxy, new_bucket(server), server.client(), kms, key_arn, sealed)


@pytest.fixture(params=["moto_s3", "seaweedfs"])
def writing(
    request: pytest.FixtureRequest,
    http_proxy: ProxyFactory,
    new_bucket: NewBucket,
    kms: LocalKms,
    key_arn: str,
    sealed: ClientFactory,
) -> Writing:
    """Return a bucket on each of two servers, over http."""
    return _writing(request.getfixturevalue(request.param), http_proxy, new_bucket, kms, key_arn, sealed)


@pytest.fixture
def moto_writing(
    moto_s3: Endpoint,
    http_proxy: ProxyFactory,
    new_bucket: NewBucket,
    kms: LocalKms,
    key_arn: str,
    sealed: ClientFactory,
) -> Writing:
    """Return a bucket of moto's, over http."""
    return _writing(moto_s3, http_proxy, new_bucket, kms, key_arn, sealed)


@pytest.fixture
def tls_writing(
    seaweedfs: Endpoint,
    https_proxy: ProxyFactory,
    new_bucket: NewBucket,
    kms: LocalKms,
    key_arn: str,
    sealed: ClientFactory,
) -> Writing:
    """Return a bucket of SeaweedFS, over https."""
    return _writing(seaweedfs, https_proxy, new_bucket, kms, key_arn, sealed)


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore try again at once."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
