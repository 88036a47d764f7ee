"""Tasks that are cancelled midway: nothing is left at the server, and no thread and no connection is lost.

The command is in `tests/s3/aio/__init__.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

import s3envelope.aio
from s3envelope import KmsKeyring, RawAesKeyring
from s3envelope.errors import UnsupportedOperationError
from tests.conftest import ProxyFactory
from tests.s3.aio.test_client import BODY, IN_PARTS, PART, WaitingKeyring, read, run
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, plaintext_of

# With one thread and one connection, the next call shows whether either was lost.
ALONE = {"max_pool_connections": 1}


class EndlessSource:
    """Gives its content, and then lets its reader wait for ever."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.is_drained = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        self.is_drained.set()
        await asyncio.Event().wait()


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def assert_nothing_is_left(endpoint: Endpoint, bucket: str) -> None:
    plain = endpoint.client()
    assert "Contents" not in plain.list_objects_v2(Bucket=bucket)
    assert "Uploads" not in plain.list_multipart_uploads(Bucket=bucket)


def test_put_when_cancelled_while_its_source_is_read_stores_nothing(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring
) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments(**ALONE)) as s3:
            source = EndlessSource(BODY)
            put = asyncio.create_task(s3.put_object(Bucket=bucket, Key="k", Body=source))
            await source.is_drained.wait()
            await cancel(put)
            assert_nothing_is_left(moto_s3, bucket)
            await s3.put_object(Bucket=bucket, Key="k", Body=BODY)
            assert await read(s3, bucket) == BODY

    run(main())


def test_upload_in_parts_when_cancelled_is_aborted(
    moto_s3: Endpoint, http_proxy: ProxyFactory, bucket: str, keyring: KmsKeyring
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **endpoint.client_arguments(**ALONE)) as s3:
            source = EndlessSource(plaintext_of(2 * PART))
            upload = asyncio.create_task(s3.upload_fileobj(source, bucket, "k", Config=IN_PARTS))
            await source.is_drained.wait()
            while not any("partNumber" in request.target for request in proxy.requests):
                await asyncio.sleep(0.01)
            await cancel(upload)
            assert_nothing_is_left(moto_s3, bucket)
            assert await s3.list_objects_v2(Bucket=bucket)

    run(main())

    assert "DELETE" in [request.method for request in proxy.requests if "uploadId" in request.target]
    assert proxy.leaks == []


def test_put_when_cancelled_while_the_key_service_is_asked_sends_nothing(
    moto_s3: Endpoint, http_proxy: ProxyFactory, bucket: str
) -> None:
    keyring = WaitingKeyring()
    proxy, endpoint = http_proxy(moto_s3)

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **endpoint.client_arguments(**ALONE)) as s3:
            put = asyncio.create_task(s3.put_object(Bucket=bucket, Key="k", Body=BODY))
            while not keyring.asked.is_set():
                await asyncio.sleep(0.01)
            put.cancel()
            await asyncio.sleep(0)
            # The thread cannot be taken away from the key service: the call ends when that answers, and not before.
            assert not put.done()
            keyring.answered.set()
            with pytest.raises(asyncio.CancelledError):
                await put

    run(main())

    assert proxy.requests == []


class SilentServer:
    """Takes connections and requests, and answers none."""

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()
        self.is_gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            self.was_asked.set()
            while await reader.read(65_536):
                pass
            self.is_gone.set()
        finally:
            writer.close()


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "get": lambda s3: s3.get_object(Bucket="bucket", Key="k"),
    "put": lambda s3: s3.put_object(Bucket="bucket", Key="k", Body=BODY),
    "download": lambda s3: s3.download_file("bucket", "k", "/nowhere/file"),
    "copy": lambda s3: s3.copy({"Bucket": "bucket", "Key": "k"}, "bucket", "copy"),
    "list": lambda s3: s3.list_objects_v2(Bucket="bucket"),
}


async def asked(server: SilentServer, call: Callable[[Any], Awaitable[Any]], after: Callable[[Any], Any]) -> None:
    """Make a call of a server that does not answer, and do something to its task."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    endpoint = Endpoint("silent", f"http://127.0.0.1:{port}", "test", "test")
    keyring = RawAesKeyring(bytes(32), "test")
    async with listening, s3envelope.aio.client("s3", keyring=keyring, **endpoint.client_arguments(**ALONE)) as s3:
        task = asyncio.ensure_future(call(s3))
        await server.was_asked.wait()
        await after(task)


@pytest.mark.parametrize("name", CALLS)
def test_call_when_cancelled_while_the_server_is_silent_gives_its_connection_up(name: str) -> None:
    async def main() -> None:
        server = SilentServer()

        async def after(task: asyncio.Task[Any]) -> None:
            await cancel(task)
            await server.is_gone.wait()

        await asked(server, CALLS[name], after)

    run(main())


@pytest.mark.parametrize("name", CALLS)
def test_loop_when_it_ends_while_the_server_is_silent_ends(name: str) -> None:
    async def main() -> None:
        server, reached = SilentServer(), asyncio.Event()

        async def after(task: asyncio.Task[Any]) -> None:
            reached.set()
            await asyncio.Event().wait()

        background = asyncio.create_task(asked(server, CALLS[name], after))
        await reached.wait()
        assert not background.done()

    # `asyncio.run` cancels what is left, and waits for that.
    run(main())


def test_body_when_its_read_is_cancelled_is_closed_and_releases_nothing_more(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring
) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments(**ALONE)) as s3:
            await s3.put_object(Bucket=bucket, Key="k", Body=plaintext_of(8 << 20))
            body = (await s3.get_object(Bucket=bucket, Key="k"))["Body"]
            reading = asyncio.create_task(body.read())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            with pytest.raises(ValueError, match="was cancelled"):
                await body.read(1)
            body.close()
            assert await read(s3, bucket, Range="bytes=0-9") == plaintext_of(10)

    run(main())


def test_client_when_its_loop_is_closed_says_so(moto_s3: Endpoint, bucket: str, keyring: KmsKeyring) -> None:
    made: list[Any] = []

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            made.append(s3)

    run(main())

    with pytest.raises(UnsupportedOperationError, match="loop of this client was closed"):
        run(made[0].list_objects_v2(Bucket=bucket))
