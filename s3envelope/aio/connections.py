"""Connections for the requests that this library makes itself while a call is under way."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

from s3envelope.errors import UnsupportedOperationError

_UNLIMITED = 0


class Endpoints:
    """The endpoint of a client, and one like it whose connections are not limited.

    A read of some objects needs a second request while the answer to the first one is open. aiohttp, unlike urllib3,
    lets a request wait for a connection: if as many reads as there are connections did so, none could go on.

    Args:
        endpoint: Of the client.

    Raises:
        UnsupportedOperationError: The client does not use aiohttp.
    """

    def __init__(self, endpoint: Any) -> None:
        theirs = endpoint.http_session
        if not isinstance(theirs, AIOHTTPSession):
            raise UnsupportedOperationError(
                f"http_session_cls={type(theirs).__name__} is refused: only aiobotocore's AIOHTTPSession is supported"
            )
        session = copy.copy(theirs)
        # The parts of it that are not settings.
        fresh = AIOHTTPSession()
        session._exit_stack = contextlib.AsyncExitStack()
        session._sessions_lock, session._sessions = fresh._sessions_lock, None
        session._max_pool_connections = _UNLIMITED
        self.inner = copy.copy(endpoint)
        self.inner.http_session = session
        self.thread_count = max(1, int(theirs._max_pool_connections))

    async def open(self) -> None:
        await self.inner.http_session.__aenter__()

    async def close(self) -> None:
        await self.inner.http_session.close()
