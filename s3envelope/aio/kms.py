"""KMS clients for an asynchronous S3 client: synchronous ones, used in its worker threads, with its credentials."""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore.credentials import Credentials, ReadOnlyCredentials

from s3envelope.aio.bridge import Bridge


class _LoopCredentials(Credentials):
    """The credentials of an asynchronous client, which are found and renewed on its loop."""

    def __init__(self, original: Any, bridge: Bridge) -> None:
        super().__init__(access_key="", secret_key="", method=getattr(original, "method", None))
        self._original = original
        self._bridge = bridge

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        frozen: ReadOnlyCredentials = self._bridge.wait_for(self._original.get_frozen_credentials)
        return frozen


class KmsSession:
    """Makes KMS clients.

    Args:
        session: aiobotocore's; its profile and certificate authorities are used.
        credentials: Of the S3 client; `None` if its requests are not signed.
    """

    def __init__(self, session: Any, credentials: Any, bridge: Bridge) -> None:
        self._session = session
        self._credentials = None if credentials is None else _LoopCredentials(credentials, bridge)

    def create_client(self, service_name: str, **arguments: Any) -> Any:
        """Return a synchronous client, as botocore's session does."""
        session: Any = botocore.session.Session(profile=self._session.profile)
        for name in ("config_file", "ca_bundle"):
            session.set_config_variable(name, self._session.get_config_variable(name))
        if self._credentials is not None:
            session._credentials = self._credentials
        return session.create_client(service_name, **arguments)
