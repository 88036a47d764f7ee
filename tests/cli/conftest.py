"""Places where the commands can be tried."""

from collections.abc import Callable, Iterator

import pytest

from s3envelope.testing import LocalKms
from tests.cli.commands import ALIAS, Place
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
