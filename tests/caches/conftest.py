"""A place for caches."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3envelope.testing import LocalKms
from tests.support.bad_cache import Keys
from tests.support.caching import Place, Process


@pytest.fixture(scope="session")
def running_kms() -> Iterator[LocalKms]:
    """Yield a KMS, shared by all tests."""
    with LocalKms() as kms:
        yield kms


@pytest.fixture
def place(running_kms: LocalKms, tmp_path: Path) -> Place:
    """Return a place with a key of its own."""
    running_kms.start()
    running_kms.faults.clear()
    running_kms.clear_calls()
    return Place(running_kms, tmp_path)


@pytest.fixture
def kept(place: Place) -> tuple[Keys, bytes]:
    """Return the keys of an object, and its data key, which is in the cache."""
    keys, data_key = place.new_keys()
    assert Process(place, place.arn).open(keys) == data_key
    return keys, data_key
