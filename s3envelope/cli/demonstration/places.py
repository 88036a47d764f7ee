"""Where the demonstration runs: servers that it starts itself, or those that it is told to use."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from s3envelope.cli.options import Connection
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import install
from s3envelope.testing import LocalKms

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

_ALIAS = "alias/s3envelope-demo"
_REGION = "us-east-1"
_SHORTEST_WAIT_DAYS = 7
# What a user's own configuration must not do to a server on loopback.
_NEUTRAL = {
    "config_file": os.devnull,
    "credentials_file": os.devnull,
    "request_checksum_calculation": "when_supported",
    "response_checksum_validation": "when_supported",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """An S3 server.

    Args:
        label: For people.
        plain: A boto3 client of it that knows nothing of encryption.
        make_enveloped: Returns an enveloped client, given its configuration.
        is_own: Whether it is the user's: then what was put there must be removed.
    """

    label: str
    plain: S3Client
    make_enveloped: Callable[[EnvelopeConfig], S3Client]
    is_own: bool


@dataclass(frozen=True, slots=True)
class KeyService:
    """A KMS and a key in it.

    Args:
        label: For people.
        count_calls: Returns the calls so far by operation.
        away: Makes it unreachable while a block runs.
    """

    label: str
    client: KMSClient
    key_id: str
    count_calls: Callable[[], Counter[str]]
    away: Callable[[], AbstractContextManager[None]]


@contextmanager
def embedded_storage() -> Iterator[Storage]:
    """Start moto's S3 on a free port of loopback.

    Raises:
        ModuleNotFoundError: moto or what its server needs is not installed.
    """
    with warnings.catch_warnings():
        # moto warns of what is missing too, in its own words, before it fails.
        warnings.simplefilter("ignore")
        # Here, because only this needs the extra [demo].
        from moto.server import ThreadedMotoServer

    requests = logging.getLogger("werkzeug")
    level = requests.level
    requests.setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        plain, sealing = _neutral_session(), _neutral_session()
        url = f"http://{host}:{port}"
        yield Storage(
            f"moto's S3, started on {url}",
            _neutral_client(plain, url),
            lambda config: _enveloped(sealing, config, lambda: _neutral_client(sealing, url)),
            is_own=False,
        )
    finally:
        server.stop()
        requests.setLevel(level)


@contextmanager
def own_storage(connection: Connection) -> Iterator[Storage]:
    """Use an S3 server that is there."""
    plain, sealing = connection.session(), connection.session()
    client = connection.s3(plain)
    yield Storage(
        client.meta.endpoint_url,
        client,
        lambda config: _enveloped(sealing, config, lambda: connection.s3(sealing)),
        is_own=True,
    )


@contextmanager
def embedded_key_service() -> Iterator[KeyService]:
    """Start a KMS on a free port of loopback and make a key in it."""
    with LocalKms() as kms:
        kms.create_key(alias=_ALIAS, Description="s3envelope demo")
        yield KeyService(
            f"LocalKms, started on {kms.endpoint_url}",
            kms.client(),
            _ALIAS,
            lambda: Counter(call.operation for call in kms.calls),
            kms.faults.refuse_connections,
        )


@contextmanager
def own_key_service(connection: Connection, key_id: str | None) -> Iterator[KeyService]:
    """Use a KMS that is there; without a key id, with a key that is made now and scheduled for deletion afterwards."""
    client = connection.kms(connection.session(), key_id)
    made = None if key_id else client.create_key(Description="s3envelope demo")["KeyMetadata"]["Arn"]
    counter = _CallCounter()
    # The administration of the key is not what is counted, nor are calls that nobody answered.
    client.meta.events.register("after-call.kms", counter)
    try:
        yield KeyService(
            client.meta.endpoint_url, client, key_id or made or "", counter.snapshot, lambda: _cut_off(client)
        )
    finally:
        if made:
            client.schedule_key_deletion(KeyId=made, PendingWindowInDays=_SHORTEST_WAIT_DAYS)


@contextmanager
def _cut_off(client: KMSClient) -> Iterator[None]:
    """Let a client reach no server: a key service that is not ours is not stopped."""

    def fail(**_: object) -> NoReturn:
        raise EndpointConnectionError(endpoint_url=client.meta.endpoint_url)

    client.meta.events.register("before-send.kms", fail)
    try:
        yield
    finally:
        client.meta.events.unregister("before-send.kms", fail)


@dataclass(slots=True)
class _CallCounter:
    """An event handler that counts calls by operation."""

    calls: list[str] = field(default_factory=list)

    def __call__(self, *, event_name: str, **_: object) -> None:
        self.calls.append(event_name.rpartition(".")[2])

    def snapshot(self) -> Counter[str]:
        return Counter(self.calls)


@dataclass(slots=True)
class FetchMeter:
    """Counts the requests for objects that an S3 client sends, and the bytes of their answers on the wire."""

    request_count: int = 0
    fetched_size: int = 0

    @classmethod
    def of(cls, client: S3Client) -> FetchMeter:
        """Return a meter that sees every answer of a client before anything else does."""
        meter = cls()
        client.meta.events.register_first("before-parse.s3.GetObject", meter._see)
        return meter

    def _see(self, response_dict: dict[str, object], **_: object) -> None:
        headers = response_dict.get("headers")
        get = getattr(headers, "get", None)
        self.request_count += 1
        self.fetched_size += int(get("Content-Length") or 0) if callable(get) else 0


def _enveloped(session: boto3.Session, config: EnvelopeConfig, make: Callable[[], S3Client]) -> S3Client:
    """Make an enveloped client; a session keeps only the configuration that was installed last."""
    install(session, config)
    return make()


def _neutral_session() -> boto3.Session:
    """Return a session that the user's AWS configuration, profile and credentials do not reach."""
    inner = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    for name, value in _NEUTRAL.items():
        inner.set_config_variable(name, value)
    return boto3.Session(
        aws_access_key_id="demo",
        aws_secret_access_key="demo",  # noqa: S106  # the server on loopback asks for any
        region_name=_REGION,
        botocore_session=inner,
    )


def _neutral_client(session: boto3.Session, url: str) -> S3Client:
    config = Config(proxies={}, s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 2})
    return session.client("s3", endpoint_url=url, config=config)
