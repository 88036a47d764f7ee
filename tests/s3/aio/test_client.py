"""What only an asynchronous client has: awaited bodies and sources, tasks beside each other, a loop that must not wait.

The command is in `tests/s3/aio/__init__.py`.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

from aiobotocore.response import AioStreamingBody
from aiobotocore.session import AioSession
from boto3.s3.transfer import TransferConfig

import s3envelope.aio
from s3envelope import DataKey, EncryptionContext, KmsKeyring, RawAesKeyring
from s3envelope.errors import ConfigurationError, NotEncryptedError, UnsupportedOperationError
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, plaintext_of

SIZE = 200_000
BODY = plaintext_of(SIZE)
PART = 5 * MIB
IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
# Nothing here takes as long as that; it ends a test that would hang.
PATIENCE_SECONDS = 60


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a test; what hangs fails."""
    return asyncio.run(asyncio.wait_for(main, PATIENCE_SECONDS))


async def pieces_of(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


class AsyncFile:
    """A file whose methods are to be awaited, as aiofiles has them."""

    def __init__(self, content: bytes = b"") -> None:
        self._file = io.BytesIO(content)

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self._file.read(size)

    async def write(self, piece: bytes) -> int:
        await asyncio.sleep(0)
        return self._file.write(piece)

    def content(self) -> bytes:
        return self._file.getvalue()


async def read(client: Any, bucket: str, key: str = "k", **arguments: Any) -> bytes:
    answer = await client.get_object(Bucket=bucket, Key=key, **arguments)
    body: bytes = await answer["Body"].read()
    return body


def plain_session() -> Any:
    return AioSession()


def installed_session(keyring: KmsKeyring) -> Any:
    session = AioSession()
    s3envelope.aio.install(session, keyring=keyring)
    return session


WAYS: dict[str, Callable[[KmsKeyring, dict[str, Any]], Any]] = {
    "client": lambda keyring, arguments: s3envelope.aio.client("s3", keyring=keyring, **arguments),
    "session": lambda keyring, arguments: s3envelope.aio.Session(keyring=keyring).create_client("s3", **arguments),
    "install": lambda keyring, arguments: installed_session(keyring).create_client("s3", **arguments),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_object_when_written_by_a_client_of_any_way_in_is_sealed_and_read_back(
    request: pytest.FixtureRequest, moto_s3: Endpoint, bucket: str, keyring: KmsKeyring, way: str, scheme: str
) -> None:
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    proxy, endpoint = make(moto_s3)
    proxy.forbid(CANARY)

    async def main() -> None:
        async with WAYS[way](keyring, endpoint.client_arguments()) as s3:
            await s3.put_object(Bucket=bucket, Key="k", Body=BODY, Metadata={"a": "b"})
            head = await s3.head_object(Bucket=bucket, Key="k")
            described = await s3.describe_envelope(Bucket=bucket, Key="k")
            assert (head["ContentLength"], head["Metadata"], described.format) == (SIZE, {"a": "b"}, "SE1")
            assert await read(s3, bucket) == BODY
            assert await read(s3, bucket, Range="bytes=65530-65540") == BODY[65530:65541]

    run(main())

    assert proxy.leaks == []
    assert moto_s3.client().head_object(Bucket=bucket, Key="k")["ContentLength"] > SIZE


def test_session_of_aioboto3_when_installed_on_gives_clients_and_resources_that_are_enveloped(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring, tmp_path: Path
) -> None:
    aioboto3 = pytest.importorskip("aioboto3", reason="aioboto3 is not installed")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(BODY)
    ours = aioboto3.Session(botocore_session=s3envelope.aio.Session(keyring=keyring))
    theirs = aioboto3.Session()
    s3envelope.aio.install(theirs, keyring=keyring)

    async def main() -> None:
        for session in (ours, theirs):
            async with session.client("s3", **moto_s3.client_arguments()) as s3:
                await s3.upload_file(str(source), bucket, "k")
                assert (await s3.describe_envelope(Bucket=bucket, Key="k")).indexed is False
            async with session.resource("s3", **moto_s3.client_arguments()) as resource:
                await (await resource.Bucket(bucket)).download_file("k", str(target))
                assert target.read_bytes() == BODY

    run(main())


def test_body_when_read_by_every_method_gives_the_plaintext(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring
) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            await s3.put_object(Bucket=bucket, Key="k", Body=BODY)

            async def body() -> Any:
                return (await s3.get_object(Bucket=bucket, Key="k"))["Body"]

            opened = await body()
            assert isinstance(opened, AioStreamingBody)
            assert [await opened.read(10), opened.tell(), opened.readable()] == [BODY[:10], 10, True]
            assert [await opened.read(), await opened.read(5), opened.readable()] == [BODY[10:], b"", False]
            chunks = [chunk async for chunk in (await body()).iter_chunks(65_537)]
            assert ([len(chunk) for chunk in chunks], b"".join(chunks)) == ([65_537] * 3 + [3_389], BODY)
            assert b"".join([chunk async for chunk in await body()]) == BODY
            assert b"".join([line async for line in (await body()).iter_lines(keepends=True)]) == BODY
            async with await body() as entered:
                assert await entered.read(3) == BODY[:3]
            with pytest.raises(ValueError, match="closed"):
                await entered.read(1)
            buffer = bytearray(100_000)
            assert (await (await body()).readinto(buffer), bytes(buffer)) == (100_000, BODY[:100_000])

    run(main())


SOURCES: dict[str, Callable[[bytes], Any]] = {
    "file": AsyncFile,
    "iterable": pieces_of,
    "stream": io.BytesIO,
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("size", [0, 1, 65_536, SIZE])
def test_body_of_a_put_when_asynchronous_is_sealed(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring, kind: str, size: int
) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            await s3.put_object(Bucket=bucket, Key="k", Body=SOURCES[kind](BODY[:size]))
            assert await read(s3, bucket) == BODY[:size]

    run(main())


@pytest.mark.parametrize("kind", SOURCES)
def test_stream_when_managed_in_parts_comes_back(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring, kind: str
) -> None:
    content, told, sink = plaintext_of(PART + 70_000), list[int](), AsyncFile()

    async def tell(size: int) -> None:
        told.append(size)

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            await s3.upload_fileobj(SOURCES[kind](content), bucket, "k", Config=IN_PARTS, Callback=tell)
            await s3.download_fileobj(bucket, "k", sink, Config=IN_PARTS)

    run(main())

    assert (sink.content() == content, sum(told)) == (True, len(content))


def test_source_when_it_fails_or_gives_text_stores_nothing(moto_s3: Endpoint, bucket: str, keyring: KmsKeyring) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield BODY
        raise KeyError("the source")

    async def text() -> AsyncIterator[Any]:
        yield "text"

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            with pytest.raises(KeyError):
                await s3.put_object(Bucket=bucket, Key="k", Body=failing())
            with pytest.raises(ConfigurationError, match="not bytes"):
                await s3.put_object(Bucket=bucket, Key="k", Body=text())

    run(main())

    assert "Contents" not in moto_s3.client().list_objects_v2(Bucket=bucket)


def test_copy_when_the_source_client_is_of_any_kind_opens_the_source(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring
) -> None:
    arguments = moto_s3.client_arguments()
    moto_s3.client().put_object(Bucket=bucket, Key="plain", Body=BODY)

    async def main() -> None:
        enveloped = s3envelope.aio.client("s3", keyring=keyring, unencrypted="allow", **arguments)
        async with enveloped as s3, AioSession().create_client("s3", **arguments) as plain:
            await s3.put_object(Bucket=bucket, Key="k", Body=BODY)
            for client in (None, s3, plain, moto_s3.client()):
                await s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", SourceClient=client)
                assert await read(s3, bucket, "copy") == BODY
            await s3.copy({"Bucket": bucket, "Key": "plain"}, bucket, "sealed", SourceClient=plain)
            assert (await s3.describe_envelope(Bucket=bucket, Key="sealed")).format == "SE1"
            assert await read(s3, bucket, "plain") == await read(s3, bucket, "sealed") == BODY

    run(main())


@pytest.mark.parametrize("connections", [1, 2])
def test_objects_of_several_parts_when_many_tasks_read_them_do_not_wait_for_each_others_connections(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring, connections: int
) -> None:
    parts = [plaintext_of(PART), plaintext_of(300_000)]
    arguments = moto_s3.client_arguments(max_pool_connections=connections)

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **arguments) as s3:
            upload = await s3.create_multipart_upload(Bucket=bucket, Key="k")
            place = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
            sent = await asyncio.gather(
                *(s3.upload_part(**place, PartNumber=n, Body=part) for n, part in enumerate(parts, 1))
            )
            listed = [{"PartNumber": n, "ETag": part["ETag"]} for n, part in enumerate(sent, 1)]
            await s3.complete_multipart_upload(**place, MultipartUpload={"Parts": listed})
            # The answer to a range of such an object is open while its index is asked for. It is too large to be taken
            # from its connection before it is read.
            wanted = [f"bytes={start}-{start + 3 * MIB}" for start in range(12)]
            found = await asyncio.gather(*(read(s3, bucket, Range=one) for one in wanted))
            assert found == [b"".join(parts)[start : start + 3 * MIB + 1] for start in range(12)]

    run(main())


def test_pages_and_waiters_when_awaited_are_in_plaintext_terms(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring
) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, list_sizes="exact", **moto_s3.client_arguments()) as s3:
            for name in "abc":
                await s3.put_object(Bucket=bucket, Key=name, Body=BODY)
            await s3.get_waiter("object_exists").wait(Bucket=bucket, Key="c")
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
            assert [[item["Size"] for item in page["Contents"]] async for page in pages] == [[SIZE] * 2, [SIZE]]
            await s3.delete_object(Bucket=bucket, Key="a")
            await s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}]})
            assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 1

    run(main())


def test_presigned_requests_when_asked_for_are_refused(moto_s3: Endpoint, bucket: str, keyring: KmsKeyring) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            with pytest.raises(UnsupportedOperationError, match="a presigned PutObject is refused"):
                await s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
            with pytest.raises(UnsupportedOperationError, match="generate_presigned_post is refused"):
                await s3.generate_presigned_post(bucket, "k")
            with pytest.raises(UnsupportedOperationError, match="Processing is refused"):
                await s3.upload_fileobj(io.BytesIO(BODY), bucket, "k", Processing=bytes.upper)

    run(main())


def test_object_without_envelope_when_read_is_refused(moto_s3: Endpoint, bucket: str, keyring: KmsKeyring) -> None:
    moto_s3.client().put_object(Bucket=bucket, Key="k", Body=BODY)

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            with pytest.raises(NotEncryptedError):
                await s3.get_object(Bucket=bucket, Key="k")

    run(main())


class WaitingKeyring(RawAesKeyring):
    """A keyring whose service answers only after somebody on the loop did something."""

    def __init__(self) -> None:
        super().__init__(bytes(range(32)), "test")
        self.asked, self.answered = threading.Event(), threading.Event()

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        self.asked.set()
        assert self.answered.wait(PATIENCE_SECONDS), "the loop stood still"
        return super().generate_data_key(context)


def test_loop_when_the_key_service_is_slow_goes_on(moto_s3: Endpoint, bucket: str) -> None:
    keyring = WaitingKeyring()

    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            put = asyncio.create_task(s3.put_object(Bucket=bucket, Key="k", Body=BODY))
            while not keyring.asked.is_set():
                await asyncio.sleep(0)
            await s3.list_objects_v2(Bucket=bucket)
            assert not put.done()
            keyring.answered.set()
            await put
            assert await read(s3, bucket) == BODY

    run(main())


def test_session_of_another_library_when_installed_on_is_refused() -> None:
    import boto3

    with pytest.raises(UnsupportedOperationError, match=r"use s3envelope\.install"):
        s3envelope.aio.install(boto3.Session(), keyring=RawAesKeyring(bytes(32), "test"))
    with pytest.raises(UnsupportedOperationError, match=r"use s3envelope\.aio\.install"):
        s3envelope.install(plain_session(), keyring=RawAesKeyring(bytes(32), "test"))
    with pytest.raises(ConfigurationError, match="pass one of them"):
        s3envelope.aio.install(
            plain_session(), s3envelope.EnvelopeConfig(keyring=RawAesKeyring(bytes(32), "test")), bind_key_name=False
        )
