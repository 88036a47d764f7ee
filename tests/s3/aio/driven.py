"""An asynchronous client driven from a synchronous program: every call runs to its end, on a loop of its own."""

from __future__ import annotations

import asyncio
import inspect
import io
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import boto3
from aiobotocore.response import AioStreamingBody
from botocore.response import StreamingBody

import s3envelope.aio

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop-of-the-tests", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def soon(self, function: Callable[[], object]) -> None:
        """Have the loop call a function, if it still runs."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _DrivenRaw(io.RawIOBase):
    """Reads an asynchronous body."""

    def __init__(self, loop: LoopThread, body: Any) -> None:
        super().__init__()
        self._loop = loop
        self._body = body

    def read(self, size: int | None = -1) -> bytes:
        piece: bytes = self._loop.run(self._body.read(None if size is None or size < 0 else size))
        return piece

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        position: int = self._body.tell()
        return position

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        while piece := self.read(amt):
            yield piece

    def close(self) -> None:
        # Also called when it is collected, which may be on the loop's own thread.
        if not self.closed:
            self._loop.soon(self._body.close)
        super().close()


class _DrivenPages:
    def __init__(self, loop: LoopThread, pages: Any) -> None:
        self._loop = loop
        self._pages = pages

    def __iter__(self) -> Iterator[Any]:
        found = aiter(self._pages)
        while True:
            try:
                yield self._loop.run(anext(found))
            except StopAsyncIteration:
                return

    def search(self, expression: str) -> Iterator[Any]:
        found = self._pages.search(expression)
        while True:
            try:
                yield self._loop.run(anext(found))
            except StopAsyncIteration:
                return

    def build_full_result(self) -> Any:
        return self._loop.run(self._pages.build_full_result())


class _DrivenPaginator:
    def __init__(self, loop: LoopThread, paginator: Any) -> None:
        self._loop = loop
        self._paginator = paginator

    def paginate(self, **arguments: Any) -> _DrivenPages:
        return _DrivenPages(self._loop, self._paginator.paginate(**arguments))


class _DrivenWaiter:
    def __init__(self, loop: LoopThread, waiter: Any) -> None:
        self._loop = loop
        self._waiter = waiter

    def wait(self, **arguments: Any) -> None:
        self._loop.run(self._waiter.wait(**arguments))


class DrivenClient:
    """A client of `s3envelope.aio`, to be used as one of boto3."""

    def __init__(self, loop: LoopThread, made: Any) -> None:
        self._loop = loop
        self._made = made
        self._client: Any = loop.run(made.__aenter__())

    def close(self) -> None:
        self._loop.run(self._made.__aexit__(None, None, None))
        self._loop.close()

    def get_paginator(self, name: str) -> _DrivenPaginator:
        return _DrivenPaginator(self._loop, self._client.get_paginator(name))

    def get_waiter(self, name: str) -> _DrivenWaiter:
        return _DrivenWaiter(self._loop, self._client.get_waiter(name))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        return self._driven(value) if inspect.ismethod(value) and name not in ("can_paginate",) else value

    def _driven(self, method: Any) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            answer = method(*arguments, **options)
            return await answer if inspect.isawaitable(answer) else answer

        def run(*arguments: Any, **options: Any) -> Any:
            answer = self._loop.run(call(*arguments, **options))
            body = answer.get("Body") if isinstance(answer, dict) else None
            if isinstance(body, AioStreamingBody):
                raw: Any = _DrivenRaw(self._loop, body)
                answer["Body"] = StreamingBody(raw, answer["ContentLength"])
            return answer

        return run


def driven_client(fields: dict[str, Any], arguments: dict[str, Any]) -> DrivenClient:
    """Return a client.

    Args:
        fields: Of the configuration.
        arguments: As for boto3.
    """
    return DrivenClient(LoopThread(), s3envelope.aio.client("s3", **fields, **arguments))


class DrivenSession(boto3.session.Session):
    """A boto3 session whose S3 clients are asynchronous ones that are driven."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self._fields = fields

    def client(self, service_name: Any, *_: Any, **arguments: Any) -> Any:
        return driven_client(self._fields, {name: value for name, value in arguments.items() if value is not None})
