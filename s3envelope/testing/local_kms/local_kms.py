"""LocalKms: the strict KMS that tests talk to."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config

from s3envelope.testing.local_kms.calls import CallLog, KmsCall
from s3envelope.testing.local_kms.faults import KmsFaults
from s3envelope.testing.local_kms.random_source import random_source
from s3envelope.testing.local_kms.request import Answer, Caller
from s3envelope.testing.local_kms.server import HOST, HttpServer
from s3envelope.testing.local_kms.service import KmsService
from s3envelope.testing.local_kms.store import KeyStore

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from typing_extensions import Self

DEFAULT_REGION = "us-east-1"
DEFAULT_ACCESS_KEY_ID = "LOCALKMSACCESSKEY"


class LocalKms:
    """A KMS on a loopback port, for tests: as strict as AWS's, with a log of calls and failures on demand.

    It speaks the protocol of the real one, so every boto3 KMS client can use it; `client()` makes one. Keys live in
    memory, per Region; the Region is the one that the client signs for. Use it in a `with` block, or call `start()`
    and `close()`.

    Not implemented: signatures are not verified, grants (tokens are logged and mean nothing), IAM policies (what a key
    policy does not explicitly deny is allowed), key import, custom key stores and asymmetric or HMAC operations (such
    keys can be made, to see how their misuse fails). Other accounts do not exist.

    Args:
        account_id: Twelve digits.
        regions: The Regions that exist; by default all that are asked for.
        seed: Makes keys, ids and ciphertexts the same in every run that makes the same calls in the same order.
        clock: Seconds since the epoch; a test that turns it sees deletions and automatic rotations happen.
    """

    def __init__(
        self,
        *,
        account_id: str = "111122223333",
        regions: Iterable[str] | None = None,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._account_id = account_id
        self._log = CallLog()
        self._server = HttpServer()
        self.faults = KmsFaults(self._server.refuse, self._server.listen)
        store = KeyStore(account_id, random=random_source(seed), clock=clock, regions=regions)
        self._service = KmsService(store, self.faults, self._log, pause=self._server.stopping.wait)
        self._server.serve(self._service.respond)
        self._session_lock = threading.Lock()
        self._session: boto3.session.Session | None = None
        # Nothing above refers to this object, so that one that is dropped without `close()` gives its port back.
        weakref.finalize(self, self._server.close)

    def start(self) -> Self:
        """Listen: the first time on a free port, later on the same one. Keys and the log are kept."""
        self._server.listen()
        return self

    def stop(self) -> None:
        """Be unreachable: open connections are closed, new ones refused. Keys, the log and the port are kept."""
        self._server.refuse()

    def close(self) -> None:
        """Stop and give the port back."""
        self._server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def endpoint_url(self) -> str:
        """What `boto3.client("kms", endpoint_url=...)` needs; available once the server has been started."""
        if not self._server.port:
            raise RuntimeError("this LocalKms has no port yet; call start() or use it in a with block")
        return f"http://{HOST}:{self._server.port}"

    def client(
        self,
        region_name: str = DEFAULT_REGION,
        *,
        access_key_id: str = DEFAULT_ACCESS_KEY_ID,
        max_attempts: int = 1,
        config: Config | None = None,
    ) -> KMSClient:
        """Return a boto3 KMS client of this server that takes nothing from the environment.

        Args:
            access_key_id: Key policies and the log see the caller as this user.
            max_attempts: 1 is no retry, so that every ordered failure is seen.
            config: Goes before the settings that this method makes.
        """
        own = Config(
            proxies={},
            retries={"mode": "standard", "total_max_attempts": max_attempts},
            connect_timeout=5,
            read_timeout=30,
        )
        # Sessions load the service model only once, but must not make two clients at the same time.
        with self._session_lock:
            if self._session is None:
                self._session = _hermetic_session()
            return self._session.client(
                "kms",
                region_name=region_name,
                endpoint_url=self.endpoint_url,
                aws_access_key_id=access_key_id,
                aws_secret_access_key="any secret is right",  # noqa: S106
                config=own.merge(config) if config else own,
            )

    def perform(self, operation: str, region_name: str = DEFAULT_REGION, **parameters: object) -> Answer:
        """Carry out an operation as the owner of the account: not logged, no failures, above key policies.

        Parameters and answer are those of the wire: blobs are base64 strings, tags lists of objects, dates floats.
        Works while the server is stopped.

        Raises:
            KmsServiceError: The error answer.
        """
        caller = Caller(DEFAULT_ACCESS_KEY_ID, region_name, self._account_id, is_owner=True)
        return self._service.execute(operation, parameters, caller)

    def create_key(self, region_name: str = DEFAULT_REGION, *, alias: str | None = None, **parameters: object) -> str:
        """Make a key as `perform` does and return its ARN.

        Args:
            alias: A name like "alias/orders" to give to the key.
            parameters: Of CreateKey.
        """
        metadata = self.perform("CreateKey", region_name, **parameters)["KeyMetadata"]
        assert isinstance(metadata, dict)
        arn = str(metadata["Arn"])
        if alias is not None:
            self.perform("CreateAlias", region_name, AliasName=alias, TargetKeyId=arn)
        return arn

    @property
    def calls(self) -> tuple[KmsCall, ...]:
        """The requests that reached the server so far, failed ones too, in the order of their answers."""
        return self._log.snapshot()

    def count(self, operation: str | None = None) -> int:
        """Return the number of logged calls of one operation, or of all."""
        return sum(operation in (None, call.operation) for call in self.calls)

    def clear_calls(self) -> None:
        """Empty the log."""
        self._log.clear()


def _hermetic_session() -> boto3.session.Session:
    """Return a session that reads neither configuration files nor the name of a profile."""
    inner = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    inner.set_config_variable("config_file", os.devnull)
    inner.set_config_variable("credentials_file", os.devnull)
    return boto3.session.Session(botocore_session=inner)
