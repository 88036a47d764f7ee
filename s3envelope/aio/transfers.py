"""upload_file, upload_fileobj, download_file, download_fileobj, copy: as aioboto3 adds them to a client.

They are the synchronous client's, on its transfer manager, in a thread; files are read and written there.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from aiobotocore.client import AioBaseClient

from s3envelope.aio.blocking import blocking_view
from s3envelope.aio.bodies import BlockingSink, BlockingSource, is_async_source
from s3envelope.errors import UnsupportedOperationError

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


async def _transfer(client: Any, method: str, callback: _Callback | None, *arguments: Any, **options: Any) -> None:
    progress = _Progress(callback)
    await client._s3envelope_await(method, *arguments, Callback=progress.callback, **options)
    await progress.end()


async def upload_file(
    self: Any,
    Filename: str | os.PathLike[str],  # noqa: N803  # boto3's names
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: _Callback | None = None,  # noqa: N803
    Config: Any = None,  # noqa: N803
) -> None:
    """Upload a file, sealed; see `s3envelope.s3.transfers.upload_file`."""
    await _transfer(self, "upload_file", Callback, Filename, Bucket, Key, ExtraArgs, Config=Config)


async def upload_fileobj(
    self: Any,
    Fileobj: Any,  # noqa: N803
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: _Callback | None = None,  # noqa: N803
    Config: Any = None,  # noqa: N803
    Processing: Callable[[bytes], bytes] | None = None,  # noqa: N803
) -> None:
    """Upload a binary stream, sealed; also one whose `read` is to be awaited, or an asynchronous iterable of bytes.

    Raises:
        UnsupportedOperationError: `Processing` is given.
    """
    if Processing is not None:
        raise UnsupportedOperationError(
            "Processing is refused: what it is given depends on how the parts are cut. Instead, pass a stream that "
            "gives the processed bytes"
        )
    source = BlockingSource(Fileobj, self._s3envelope_blocking.bridge) if is_async_source(Fileobj) else Fileobj
    await _transfer(self, "upload_fileobj", Callback, source, Bucket, Key, ExtraArgs, Config=Config)


async def download_file(
    self: Any,
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    Filename: str | os.PathLike[str],  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: _Callback | None = None,  # noqa: N803
    Config: Any = None,  # noqa: N803
) -> None:
    """Download an object to a file, verified; the file has its name only when it is whole."""
    await _transfer(self, "download_file", Callback, Bucket, Key, Filename, ExtraArgs, Config=Config)


async def download_fileobj(
    self: Any,
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    Fileobj: Any,  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: _Callback | None = None,  # noqa: N803
    Config: Any = None,  # noqa: N803
) -> None:
    """Download an object to a binary stream, verified; also to one whose `write` is to be awaited."""
    is_async = inspect.iscoroutinefunction(getattr(Fileobj, "write", None))
    sink = BlockingSink(Fileobj, self._s3envelope_blocking.bridge) if is_async else Fileobj
    await _transfer(self, "download_fileobj", Callback, Bucket, Key, sink, ExtraArgs, Config=Config)


async def copy(
    self: Any,
    CopySource: Mapping[str, str],  # noqa: N803
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: _Callback | None = None,  # noqa: N803
    SourceClient: Any = None,  # noqa: N803
    Config: Any = None,  # noqa: N803
) -> None:
    """Copy an object; see `s3envelope.s3.managed_copies.copy`. `SourceClient` may be of either kind."""
    source = SourceClient
    if isinstance(SourceClient, AioBaseClient):
        own = getattr(SourceClient, "_s3envelope_blocking", None)
        source = own or blocking_view(SourceClient, self._s3envelope_blocking.bridge)
    options = {"SourceClient": source, "Config": Config}
    await _transfer(self, "copy", Callback, CopySource, Bucket, Key, ExtraArgs, **options)


TRANSFER_METHODS: Mapping[str, Callable[..., Any]] = {
    "upload_file": upload_file,
    "upload_fileobj": upload_fileobj,
    "download_file": download_file,
    "download_fileobj": download_fileobj,
    "copy": copy,
}
