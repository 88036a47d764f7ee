"""What the tests beside Amazon's clients share."""

from collections.abc import Callable, Iterator

import pytest

from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint


@pytest.fixture
def kms() -> Iterator[LocalKms]:
    """Yield a KMS."""
    with LocalKms() as running:
        yield running


@pytest.fixture
def key_arn(kms: LocalKms) -> str:
    """Return a key of it."""
    return kms.create_key()


@pytest.fixture(params=["moto_s3", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> Endpoint:
    """Return each of two S3 servers in turn."""
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint


@pytest.fixture
def bucket(server: Endpoint, new_bucket: Callable[[Endpoint], str]) -> str:
    """Return a new bucket on the server."""
    return new_bucket(server)
