"""upload_file, upload_fileobj, download_file, download_fileobj, copy: as aioboto3 adds them to a client.

They are the synchronous client's, with its arguments, on its transfer manager, in a thread; files are read and written
there. `Fileobj` may also be a stream whose `read` or `write` is to be awaited, or an asynchronous iterable of bytes.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from aiobotocore.client import AioBaseClient

from s3envelope.aio.blocking import blocking_view
from s3envelope.aio.bodies import BlockingSink, BlockingSource, is_async_source
from s3envelope.aio.bridge import Bridge
from s3envelope.errors import UnsupportedOperationError
from s3envelope.s3 import install

_Callback = Callable[[int], Any]


class _Progress:
    """Tells how far a transfer is. A callback that is a coroutine function runs on the loop; its errors are kept."""

    def __init__(self, callback: _Callback | None) -> None:
        self._callback = callback
        self._is_async = inspect.iscoroutinefunction(callback)
        self._loop = asyncio.get_running_loop()
        self._told: list[Any] = []

    @property
    def callback(self) -> _Callback | None:
        """What to pass on."""
        return self._later if self._is_async else self._callback

    def _later(self, size: int) -> None:
        assert self._callback is not None
        self._told.append(asyncio.run_coroutine_threadsafe(self._callback(size), self._loop))

    async def end(self) -> None:
        """Wait until everything was told."""
        await asyncio.gather(*(asyncio.wrap_future(future) for future in self._told))


def _source(stream: Any, bridge: Bridge) -> Any:
    return BlockingSource(stream, bridge) if is_async_source(stream) else stream


def _sink(stream: Any, bridge: Bridge) -> Any:
    is_async = inspect.iscoroutinefunction(getattr(stream, "write", None))
    return BlockingSink(stream, bridge) if is_async else stream


def _source_client(client: Any, bridge: Bridge) -> Any:
    if not isinstance(client, AioBaseClient):
        return client
    return getattr(client, "_s3envelope_blocking", None) or blocking_view(client, bridge)


# What a thread cannot use as it is given: the argument, and what is made of it.
_ADAPTED: Mapping[str, tuple[str, Callable[[Any, Bridge], Any]]] = {
    "upload_fileobj": ("Fileobj", _source),
    "download_fileobj": ("Fileobj", _sink),
    "copy": ("SourceClient", _source_client),
}


def _awaited(name: str, method: Callable[..., None]) -> Callable[..., Any]:
    """Return a method of the synchronous client as one that is to be awaited."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    async def run(self: Any, *args: Any, **kwargs: Any) -> None:
        # An argument of aioboto3 that boto3 has not.
        if name == "upload_fileobj" and kwargs.pop("Processing", None) is not None:
            raise UnsupportedOperationError(
                "Processing is refused: what it is given depends on how the parts are cut. Instead, pass a stream "
                "that gives the processed bytes"
            )
        given = signature.bind(self, *args, **kwargs).arguments
        del given["self"]
        adapted, adapt = _ADAPTED.get(name, ("", None))
        if adapt is not None and adapted in given:
            given[adapted] = adapt(given[adapted], self._s3envelope_blocking.bridge)
        progress = _Progress(given.pop("Callback", None))
        await self._s3envelope_await(name, **given, Callback=progress.callback)
        await progress.end()

    return run


TRANSFER_METHODS: Mapping[str, Callable[..., Any]] = {
    name: _awaited(name, method) for name, method in install.TRANSFER_METHODS.items()
}
