"""The good set-up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from tests.support.compliant import SetUp, good_set_up, moto_of_everything, plain_client


@pytest.fixture(scope="session")
def moto_clients() -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the URL of moto's servers, and clients of S3, KMS and CloudTrail."""
    with moto_of_everything() as url, ExitStack() as stack:
        s3, kms, trails = (
            stack.enter_context(closing(plain_client(service, url))) for service in ("s3", "kms", "cloudtrail")
        )
        yield url, s3, kms, trails


@pytest.fixture
def good(moto_clients: tuple[str, Any, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetUp]:
    """Yield a set-up that passes every check; its trails are gone afterwards, for the account has them."""
    # A bucket policy that asks for TLS is stored and shown, but not kept to: these tests talk http over loopback.
    monkeypatch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
    made = good_set_up(*moto_clients, tmp_path)
    yield made
    for trail in made.trails.describe_trails()["trailList"]:
        made.trails.delete_trail(Name=trail["Name"])
