"""Fixtures of the tests of the filesystem: storage options without secrets, as a library is given them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.enveloped import NewBucket

MakeFileSystem = Callable[..., Any]


@pytest.fixture
def kms(kms_server: LocalKms, monkeypatch: pytest.MonkeyPatch) -> LocalKms:
    """Return the KMS with an empty log, found as that of an account."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms_server.endpoint_url)
    kms_server.clear_calls()
    return kms_server


@pytest.fixture(params=["moto_s3", "seaweedfs"])
def storage(request: pytest.FixtureRequest) -> Endpoint:
    """Return each of two S3 servers in turn."""
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint


@pytest.fixture
def bucket(storage: Endpoint, new_bucket: NewBucket) -> str:
    """Return a new bucket on the server."""
    return new_bucket(storage)


@pytest.fixture
def make_fs(kms: LocalKms, key_arn: str) -> Iterator[MakeFileSystem]:
    """Yield a maker of filesystems, with their options over the default: a key of the local KMS."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")
    made: list[Any] = []

    def make(endpoint: Endpoint, **options: Any) -> Any:
        given = {
            "kms_key_id": key_arn,
            "endpoint_url": endpoint.url,
            "cache": "memory",
            "config_kwargs": {"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 1}},
            **options,
        }
        made.append(fsspec.filesystem("s3e", skip_instance_cache=True, **given))
        return made[-1]

    yield make
    for each in made:
        each.client.close()


@pytest.fixture
def fs(make_fs: MakeFileSystem, storage: Endpoint) -> Any:
    """Return a filesystem on the server."""
    return make_fs(storage)
