"""awscrt: a transfer client that sees no handler of ours, and a signer that reads bodies in its own way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s3envelope.core.layout import run_size
from s3envelope.testing.s3_proxy import ErrorAnswer, Forwarded, S3Proxy, matching
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, KIB, MIB, SEGMENT_SIZE, NewBucket

SIGNERS = pytest.mark.parametrize("signer", ["python", "awscrt"])
SCHEMES = pytest.mark.parametrize("scheme", ["http", "https"])
PUT = matching(method="PUT")

Run = Callable[..., dict[str, Any]]


class Lane:
    """A bucket of the strict server behind a recording proxy, and processes that use it."""

    def __init__(self, proxy: S3Proxy, endpoint: Endpoint, bucket: str, folder: Path) -> None:
        self.proxy, self.endpoint, self.bucket, self.folder = proxy, endpoint, bucket, folder

    def run(self, action: str, *, crt: bool, **job: Any) -> dict[str, Any]:
        """Do something in a process with awscrt or without; return what it printed."""
        job |= {"action": action, "url": self.endpoint.url, "ca_file": self.endpoint.ca_file}
        job |= {"bucket": self.bucket, "folder": str(self.folder)}
        environment = {**os.environ, "BOTO_DISABLE_CRT": str(not crt).lower()}
        command = [sys.executable, "-m", "tests.support.crt_process", json.dumps(job)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        seen: dict[str, Any] = json.loads(done.stdout)
        assert seen["crt"] is crt
        return seen


@pytest.fixture
def lane(request: pytest.FixtureRequest, moto_s3: Endpoint, new_bucket: NewBucket, tmp_path: Path) -> Lane:
    """Return a lane over the scheme that the test names, by default http."""
    scheme = request.node.callspec.params.get("scheme", "http") if hasattr(request.node, "callspec") else "http"
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    proxy, endpoint = make(moto_s3, keep_bodies=True)
    proxy.forbid(CANARY)
    return Lane(proxy, endpoint, new_bucket(moto_s3), tmp_path)


@pytest.mark.parametrize("plain_first", [True, False])
def test_upload_file_on_a_crt_optimised_host_sends_no_plaintext(lane: Lane, plain_first: bool) -> None:
    seen = lane.run("optimised", crt=True, plain_first=plain_first)

    assert seen["enveloped"] == "TransferManager"
    # boto3 does choose the other one here: the test would see it if ours did.
    assert seen["plain"] == ("CRTTransferManager" if plain_first else "TransferManager")
    assert seen["read back"] == [[True] * 4] * 2
    assert lane.proxy.leaks == []


@SIGNERS
@pytest.mark.parametrize("kept", [True, False])
def test_http_put_when_read_in_three_passes_sends_identical_bytes(lane: Lane, signer: str, kept: bool) -> None:
    size = 3 * MIB + 5

    seen = lane.run("put", crt=signer == "awscrt", body="source", size=size, start=0, kept=kept)

    # The strict server has compared what it received with the checksum of one pass and the signed digest of another.
    assert seen["right"]
    assert kept or seen["passes"] >= 3
    (put,) = [request for request in lane.proxy.requests if request.method == "PUT"]
    assert (put.status, put.body_size) == (200, run_size(size))
    assert len(put.header("x-amz-content-sha256")) == 64
    assert put.header("x-amz-checksum-crc32")
    assert lane.proxy.leaks == []


@SIGNERS
def test_http_put_when_one_byte_changes_on_the_way_is_refused_by_the_strict_server(lane: Lane, signer: str) -> None:
    def change(sent: Forwarded) -> Forwarded:
        return replace(sent, body=sent.body[:100] + bytes([sent.body[100] ^ 1]) + sent.body[101:])

    lane.proxy.on_request(PUT, change)

    with pytest.raises(AssertionError, match=r"XAmzContentSHA256Mismatch|BadDigest"):
        lane.run("put", crt=signer == "awscrt", body="source", size=SEGMENT_SIZE, start=0)


@SIGNERS
@SCHEMES
@pytest.mark.parametrize("body", ["file", "source", "misleading"])
def test_body_positioned_at_1_mib_when_sent_twice_is_stored_from_there_with_either_signer(
    lane: Lane, scheme: str, signer: str, body: str
) -> None:
    rule = lane.proxy.inject(ErrorAnswer(500, "InternalError"), PUT)
    size = MIB + 100 * KIB

    seen = lane.run("put", crt=signer == "awscrt", body=body, size=size, start=MIB)

    assert seen["right"]
    assert rule.hit_count == 1
    first, second = (request for request in lane.proxy.requests if request.method == "PUT")
    assert first.body == second.body
    assert second.body_size == run_size(100 * KIB)
    assert lane.proxy.leaks == []


@SIGNERS
@SCHEMES
def test_body_that_inherits_readinto_is_signed_and_sent_as_its_read_gives_it(
    lane: Lane, scheme: str, signer: str
) -> None:
    seen = lane.run("put", crt=signer == "awscrt", body="misleading", size=200 * KIB, start=0)

    assert seen["right"]
    assert [request.status for request in lane.proxy.requests] == [200, 200]
    assert lane.proxy.leaks == []
