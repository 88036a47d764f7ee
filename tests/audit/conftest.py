"""What the audit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3envelope.testing import LocalKms
from tests.conftest import ProxyFactory
from tests.support.audited import Audited
from tests.support.endpoints import Endpoint
from tests.support.enveloped import NewBucket


@pytest.fixture
def audited(moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, tmp_path: Path) -> Iterator[Audited]:
    proxy, endpoint = http_proxy(moto_s3)
    bucket = new_bucket(moto_s3)
    plain = moto_s3.client()
    plain.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    plain.close()
    with LocalKms() as kms:
        yield Audited(tmp_path, endpoint, proxy, bucket, kms)
