"""A scenario gives a program the same with an enveloped client as with a plain one, and S3 sees no plaintext."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import s3envelope
from s3envelope import KmsKeyring
from s3envelope.testing.s3_proxy import S3Proxy
from tests.conftest import SERVER_NAMES
from tests.s3.matrix import (
    bodies_scenarios,
    buckets_scenarios,
    conditions_scenarios,
    copying_scenarios,
    errors_scenarios,
    keys_scenarios,
    listings_scenarios,
    multipart_scenarios,
    reading_scenarios,
    refused_scenarios,
    resources_scenarios,
    transfers_scenarios,
    versions_scenarios,
    writing_scenarios,
)
from tests.s3.matrix.harness import SCHEMES, Differs, Side, check, collected, digests_in_heads
from tests.support.certificates import TlsFiles
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY
from tests.support.unlogged import nothing_logged

SCENARIOS = collected(
    reading_scenarios,
    conditions_scenarios,
    writing_scenarios,
    bodies_scenarios,
    keys_scenarios,
    multipart_scenarios,
    copying_scenarios,
    transfers_scenarios,
    resources_scenarios,
    listings_scenarios,
    versions_scenarios,
    buckets_scenarios,
    errors_scenarios,
    refused_scenarios,
)


# What a plain client is caught with.
CAUGHT = ("writing.put_answer", "multipart.parts_and_their_answers", "transfers.file_in_parts")


@dataclass(frozen=True, slots=True)
class Desk:
    """A resource of one kind, behind a proxy that knows the canary, with its buckets."""

    kind: str
    resource: Any
    proxy: S3Proxy
    bucket: str
    versioned_bucket: str

    def side(self, name: str, folder: Path) -> Side:
        """Return a place for one scenario."""
        self.proxy.clear()
        own_folder = folder / self.kind
        own_folder.mkdir()
        host = self.proxy.url.partition("://")[2]
        names = {self.versioned_bucket: "<versioned bucket>", self.bucket: "<bucket>", host: "<host>"}
        return Side(
            self.resource, self.bucket, self.versioned_bucket, prefix=f"{name}/", folder=own_folder, names=names
        )


@dataclass(frozen=True, slots=True)
class Lane:
    """Both clients of one server, over http or https."""

    server: str
    scheme: str
    plain: Desk
    sealed: Desk


@pytest.fixture(scope="module")
def sealed_session(keyring: KmsKeyring) -> boto3.session.Session:
    """Return the session that makes the enveloped clients."""
    return s3envelope.Session(keyring=keyring)


@pytest.fixture(scope="module")
def more_differs() -> Mapping[str, Differs]:
    """Return the differences of another kind of client, beside those that scenarios declare, by scenario."""
    return {}


@pytest.fixture(
    scope="module",
    params=[(server, scheme) for server in SERVER_NAMES for scheme in SCHEMES],
    ids="-".join,
)
def lane(request: pytest.FixtureRequest, sealed_session: boto3.session.Session, tls: TlsFiles) -> Iterator[Lane]:
    """Yield a plain client and an enveloped one."""
    server, scheme = request.param
    endpoint: Endpoint = request.getfixturevalue({"moto": "moto_s3"}.get(server, server))
    with ExitStack() as stack:
        files = tls if scheme == "https" else None
        plain = desk(stack, "plain", boto3.session.Session(), endpoint, files)
        sealed = desk(stack, "sealed", sealed_session, endpoint, files)
        yield Lane(server, scheme, plain, sealed)


def desk(stack: ExitStack, kind: str, session: boto3.session.Session, endpoint: Endpoint, tls: TlsFiles | None) -> Desk:
    certificate_files = None if tls is None else tls.certificate_files
    proxy = stack.enter_context(S3Proxy(endpoint.url, certificate_files=certificate_files))
    proxy.forbid(CANARY)
    behind = endpoint.behind(proxy.url, ca_file=None if tls is None else tls.ca_file)
    # This gateway takes no trailers, which boto3 sends over https by default.
    needs_headers = tls is not None and endpoint.name == "juicefs"
    config = {"request_checksum_calculation": "when_required"} if needs_headers else {}
    resource: Any = session.resource("s3", **behind.client_arguments(**config))
    stack.callback(resource.meta.client.close)
    buckets = [f"{kind}-{os.urandom(6).hex()}", f"{kind}-versions-{os.urandom(6).hex()}"]
    for bucket in buckets:
        resource.create_bucket(Bucket=bucket)
    try:
        resource.BucketVersioning(buckets[1]).enable()
    except ClientError:
        # A server without versions: the scenarios see that for themselves.
        assert endpoint.name == "juicefs"
    return Desk(kind, resource, proxy, *buckets)


def is_slow(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a case is left to the slow run.

    Behind moto every scenario is run over http and https; behind each other server over one of them, in turn.
    """
    server, scheme = parameters.get("lane", ("moto", ""))
    if server == "moto" or parameters["name"] in CAUGHT:
        return False
    turns = (list(SCENARIOS).index(parameters["name"]), SERVER_NAMES.index(server), SCHEMES.index(scheme))
    return sum(turns) % len(SCHEMES) != 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_when_run_with_both_clients_gives_the_same_and_shows_no_plaintext(
    request: pytest.FixtureRequest, lane: Lane, name: str, tmp_path: Path, more_differs: Mapping[str, Differs]
) -> None:
    scenario = SCENARIOS[name]
    if name in more_differs:
        scenario = replace(scenario, differs=(*scenario.differs, more_differs[name]))
    defect = scenario.defect(lane.server, lane.scheme)
    if defect is not None:
        request.applymarker(pytest.mark.xfail(reason=defect, strict=True))

    plain, sealed = lane.plain.side(name, tmp_path), lane.sealed.side(name, tmp_path)

    with nothing_logged():
        theirs = plain.tell(lambda: scenario.run(plain))
    ours = sealed.tell(lambda: scenario.run(sealed))

    assert lane.sealed.proxy.leaks == []
    assert digests_in_heads(lane.sealed.proxy.requests) == []
    check(ours, theirs, scenario.declared(lane.server, lane.scheme, plain))


@pytest.mark.parametrize("name", CAUGHT)
def test_plain_client_when_it_writes_is_caught_with_canary_and_digest(lane: Lane, name: str, tmp_path: Path) -> None:
    plain = lane.plain.side(f"caught.{name}", tmp_path)

    SCENARIOS[name].run(plain)

    assert {leak.where for leak in lane.plain.proxy.leaks} == {"body"}
    # Over https a plain client signs no body, and its checksum is a CRC.
    is_signed = lane.scheme == "http" or lane.server == "juicefs"
    assert (digests_in_heads(lane.plain.proxy.requests) != []) == (is_signed and name == "writing.put_answer")


def test_scenarios_when_counted_are_at_least_150() -> None:
    assert len(SCENARIOS) >= 150
