"""What the tests beside other libraries share: a bucket and a key where programs find them, and what was stored."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from s3envelope.core.envelope import is_envelope_name
from s3envelope.testing import LocalKms, S3Proxy
from tests.ecosystem.page import block
from tests.ecosystem.watching import Watch
from tests.support.endpoints import Endpoint

BUCKET = "orders"
KEY = "alias/orders"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let other libraries warn about each other and themselves, and leave files to the garbage collector."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKms]:
    """Yield a KMS with the key of the page, found as that of an account."""
    with LocalKms() as running:
        running.create_key(alias=KEY)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", running.endpoint_url)
        yield running


@pytest.fixture(params=["moto_s3", "seaweedfs"])
def server(
    request: pytest.FixtureRequest, kms: LocalKms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Endpoint]:
    """Yield each of two S3 servers in turn, found as that of an account, with an empty bucket; in an empty folder."""
    endpoint: Endpoint = request.getfixturevalue(request.param)
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = path\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint.url)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.chdir(tmp_path)
    plain = endpoint.client()
    if BUCKET in [bucket["Name"] for bucket in plain.list_buckets()["Buckets"]]:
        for item in plain.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            plain.delete_object(Bucket=BUCKET, Key=item["Key"])
    else:
        plain.create_bucket(Bucket=BUCKET)
    yield endpoint
    plain.close()
    if "s3envelope.fs" in sys.modules:
        # A filesystem of one server is not that of the next, though its options are the same.
        sys.modules["s3envelope.fs"].S3EnvelopeFileSystem.clear_instance_cache()


@pytest.fixture
def stored(server: Endpoint) -> Callable[[], dict[str, bytes]]:
    """Return what gives the stored bytes of every object, all of which have an envelope."""

    def look() -> dict[str, bytes]:
        # moto gives a copy the checksum that the parts of its source had.
        plain = server.client(response_checksum_validation="when_required")
        found = {}
        for item in plain.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            answer = plain.get_object(Bucket=BUCKET, Key=item["Key"])
            found[item["Key"]] = answer["Body"].read()
            assert any(map(is_envelope_name, answer["Metadata"])), f"{item['Key']} has no envelope"
        plain.close()
        assert found
        return found

    return look


@pytest.fixture
def watch(server: Endpoint, kms: LocalKms) -> Iterator[Watch]:
    """Yield what sees the requests of a library."""
    with S3Proxy(server.url) as proxy:
        yield Watch(server, kms, proxy)


@pytest.fixture
def run_block(server: Endpoint) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Yield what executes the block of a library, and returns its names."""

    def run(heading: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "ecosystem"}
        exec(compile(block(heading), f"ECOSYSTEM.md, {heading}", "exec"), names)  # noqa: S102  # the page is ours
        return names

    yield run
    # What a block leaves to the garbage collector goes while its library may warn of it, and not when all is over.
    gc.collect()
