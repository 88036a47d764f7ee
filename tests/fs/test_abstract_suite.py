"""fsspec's own tests of a filesystem: copy, get, put, pipe, open. Most are slow: they make many small objects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.endpoints import Endpoint
from tests.support.enveloped import NewBucket

pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

from fsspec.tests import abstract

from tests.fs.conftest import MakeFileSystem


class _Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    @pytest.fixture
    def fs(self, make_fs: MakeFileSystem, moto_s3: Endpoint) -> Any:
        return make_fs(moto_s3)

    @pytest.fixture
    def fs_path(self, moto_s3: Endpoint, new_bucket: NewBucket) -> str:
        return new_bucket(moto_s3)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


@pytest.mark.slow
class TestCopy(abstract.AbstractCopyTests, _Fixtures):  # type: ignore[misc]
    """Copies inside S3."""


@pytest.mark.slow
class TestGet(abstract.AbstractGetTests, _Fixtures):  # type: ignore[misc]
    """Downloads."""


@pytest.mark.slow
class TestPut(abstract.AbstractPutTests, _Fixtures):  # type: ignore[misc]
    """Uploads."""


class TestPipe(abstract.AbstractPipeTests, _Fixtures):  # type: ignore[misc]
    """Whole contents."""


class TestOpen(abstract.AbstractOpenTests, _Fixtures):  # type: ignore[misc]
    """Files."""
