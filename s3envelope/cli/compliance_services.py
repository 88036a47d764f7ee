"""The clients of `s3envelope compliance`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.caches.limits import CacheLimits
from s3envelope.cli.options import Connection
from s3envelope.compliance.subject import Clients, TrailClient
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import Keyring
from s3envelope.keyrings.kms import region_of
from s3envelope.s3.config import make_config
from s3envelope.s3.install import install


class Services:
    """Makes clients from the options of a command, and closes them with a stack."""

    def __init__(self, connection: Connection, key_id: str, stack: ExitStack) -> None:
        self._connection = connection
        self._session: Any = connection.session()
        self._key_id = key_id
        self._region = region_of(key_id) or self._session.region_name
        self._stack = stack
        self._trails: dict[str | None, TrailClient] = {}

    def caller(self, endpoint_url: str | None) -> str | None:
        """Return the ARN of whoever the credentials belong to; `None` if STS does not tell."""
        try:
            with closing(self._session.client("sts", region_name=self._region, endpoint_url=endpoint_url)) as sts:
                return str(sts.get_caller_identity()["Arn"])
        except (ClientError, BotoCoreError):
            return None

    def clients(self, context: EncryptionContext, trail_endpoint_url: str | None) -> Clients:
        """Return the clients; call it once.

        Args:
            context: The encryption context of what is sealed.
            trail_endpoint_url: Of a CloudTrail server.
        """

        # INVARIANT: made before anything is installed in the session, else checks would see plaintext for stored bytes.
        plain = self._stack.enter_context(closing(self._connection.s3(self._session)))

        @contextmanager
        def sealing(keyring: Keyring) -> Iterator[Any]:
            fields = {"keyring": keyring, "encryption_context": context, "cache": None, "cache_limits": None}
            formats = {"write_format": "se1", "read_formats": ("se1",), "unencrypted": "refuse"}
            # Loading the model of S3 into a session of its own would take longer than all requests.
            install(self._session, make_config({**fields, **formats}, os.environ))
            with closing(self._connection.s3(self._session)) as client:
                yield client

        return Clients(
            kms=self._stack.enter_context(closing(self._connection.kms(self._session, self._key_id))),
            s3=plain,
            sealing=sealing,
            trails=lambda region: self._trail_client(region or self._region, trail_endpoint_url),
        )

    def cache_limits(self) -> CacheLimits | None:
        """Return the cache limits of a client that is made in this environment with this key."""
        return make_config({"kms_key_id": self._key_id}, os.environ).cache_limits

    def _trail_client(self, region: str | None, endpoint_url: str | None) -> TrailClient:
        if region not in self._trails:
            client: Any = self._session.client("cloudtrail", region_name=region, endpoint_url=endpoint_url)
            self._trails[region] = self._stack.enter_context(closing(client))
        return self._trails[region]
