"""A KMS for the tests of keyrings; each module has one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from s3envelope.testing.local_kms import LocalKms


@pytest.fixture(scope="module")
def running_kms() -> Iterator[LocalKms]:
    with LocalKms() as kms:
        yield kms


@pytest.fixture
def kms(running_kms: LocalKms) -> LocalKms:
    running_kms.faults.clear()
    running_kms.clear_calls()
    return running_kms


@pytest.fixture
def arn(kms: LocalKms) -> str:
    return kms.create_key()
