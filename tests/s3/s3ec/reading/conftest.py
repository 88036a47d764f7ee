"""Fixtures: a bucket for objects of the Amazon clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3envelope.testing.local_kms import LocalKms
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import NewBucket
from tests.support.s3ec_reading import S3ecScene, s3ec_scene


@pytest.fixture
def s3ec(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, kms: LocalKms, key_arn: str, tmp_path: Path
) -> Iterator[S3ecScene]:
    """Yield a scene on moto."""
    proxy, behind = http_proxy(moto_s3)
    bucket = new_bucket(moto_s3)
    with s3ec_scene(moto_s3, behind, proxy, kms=kms, key_arn=key_arn, bucket=bucket, folder=tmp_path) as scene:
        yield scene


@pytest.fixture
def s3ec_on_disk(
    seaweedfs: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, kms: LocalKms, key_arn: str, tmp_path: Path
) -> Iterator[S3ecScene]:
    """Yield a scene on SeaweedFS."""
    proxy, behind = http_proxy(seaweedfs)
    bucket = new_bucket(seaweedfs)
    with s3ec_scene(seaweedfs, behind, proxy, kms=kms, key_arn=key_arn, bucket=bucket, folder=tmp_path) as scene:
        yield scene
