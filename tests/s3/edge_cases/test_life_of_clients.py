"""How clients come and go: freed at once, by the thousand, in spawned processes, in threads of resources."""

from __future__ import annotations

import copy
import gc
import io
import multiprocessing
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

import s3envelope
from s3envelope import RawAesKeyring
from s3envelope.errors import S3EnvelopeError
from s3envelope.s3.seam import Seam
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, NewBucket, enveloped_client, plaintext_of
from tests.support.uploading import PART, Uploading, read

KEYRING = RawAesKeyring(bytes(range(32)), "life")


@pytest.fixture
def bucket(moto_s3: Endpoint, new_bucket: NewBucket) -> str:
    return new_bucket(moto_s3)


@pytest.fixture
def no_garbage_collector() -> Iterator[None]:
    """Run the test without the collector of cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---- freed ----


def _put_and_get(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    client.get_object(Bucket=bucket, Key="k")["Body"].read()


def _read_half(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(200_000))
    client.get_object(Bucket=bucket, Key="k")["Body"].read(10)


def _upload_in_parts(client: Any, bucket: str) -> None:
    upload = Uploading(client, bucket)
    upload.part(1, b"body")
    upload.complete()


def _leave_an_upload(client: Any, bucket: str) -> None:
    Uploading(client, bucket).part(1, b"body")


def _transfer(client: Any, bucket: str) -> None:
    config = TransferConfig(use_threads=False, multipart_threshold=PART, multipart_chunksize=PART)
    client.upload_fileobj(io.BytesIO(plaintext_of(PART + 1)), bucket, "k", Config=config)
    client.download_fileobj(bucket, "k", io.BytesIO(), Config=config)


def _copy(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    client.copy_object(Bucket=bucket, Key="t", CopySource={"Bucket": bucket, "Key": "k"})


def _rewrap(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    client.rewrap_object(Bucket=bucket, Key="k")


def _list(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    # Not by a paginator: botocore makes a class for each, which keeps the events of a client until it is collected.
    assert client.list_objects_v2(Bucket=bucket)["Contents"]


USES = [_put_and_get, _read_half, _upload_in_parts, _leave_an_upload, _transfer, _copy, _rewrap, _list]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__.strip("_"))
def test_client_after_any_use_is_freed_without_the_garbage_collector(
    moto_s3: Endpoint, bucket: str, no_garbage_collector: None, use: Callable[[Any, str], None]
) -> None:
    client = enveloped_client(moto_s3, KEYRING, envelope={"state_dir": None})
    use(client, bucket)
    # The sessions of urllib3 are plain botocore's own affair; they close with the client.
    client.close()
    seam: Any = client._s3envelope  # type: ignore[attr-defined]
    gone = {"client": weakref.ref(client), "seam": weakref.ref(seam), "data keys": weakref.ref(seam.materials)}

    del client, seam

    assert {name: reference() for name, reference in gone.items()} == dict.fromkeys(gone)


@pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_clients_made_by_the_thousand_leave_neither_objects_nor_handlers(moto_s3: Endpoint, count: int) -> None:
    session = boto3.Session()
    s3envelope.install(session, keyring=KEYRING)
    arguments = moto_s3.client_arguments()

    def make() -> None:
        session.client("s3", **arguments).close()
        s3envelope.client("s3", keyring=KEYRING, **arguments).close()

    def living() -> tuple[int, int]:
        gc.collect()
        objects = gc.get_objects()
        return len(objects), sum(type(one) is Seam for one in objects)

    def handlers() -> int:
        emitters: list[Any] = [session.events, boto3._get_default_session().events]
        return sum(len(list(one._emitter._handlers.prefix_search("creating-client-class.s3"))) for one in emitters)

    for _ in range(5):
        make()
    (before, seams_before), handlers_before = living(), handlers()
    for _ in range(count // 2):
        make()
    after, seams_after = living()

    assert seams_after == seams_before
    assert handlers() == handlers_before
    # A leak is one object per client at least.
    assert after - before < count // 2


# ---- processes ----


def _work_in_a_process(endpoint: Endpoint, bucket: str, number: int) -> bool:
    client = enveloped_client(endpoint, KEYRING, envelope={"state_dir": None})
    plaintext = plaintext_of(70_000 + number)
    client.put_object(Bucket=bucket, Key=f"k{number}", Body=plaintext)
    right = read(client, bucket, f"k{number}") == plaintext and read(client, bucket, "parent") == CANARY
    client.close()
    return right


def test_spawned_pool_whose_workers_make_clients_of_their_own_reads_and_writes(
    moto_s3: Endpoint, http_proxy: ProxyFactory, bucket: str
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    client = enveloped_client(endpoint, KEYRING)
    client.put_object(Bucket=bucket, Key="parent", Body=CANARY)

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(_work_in_a_process, [endpoint] * 4, [bucket] * 4, range(4)))

    assert results == [True] * 4
    assert [read(client, bucket, f"k{number}") for number in range(4)] == [plaintext_of(70_000 + n) for n in range(4)]
    assert proxy.leaks == []
    client.close()


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_client_that_would_be_sent_to_a_process_is_refused(moto_s3: Endpoint, take: Callable[[Any], Any]) -> None:
    client = enveloped_client(moto_s3, KEYRING)

    with pytest.raises(TypeError, match="make one per process"):
        take(client)

    client.close()


# ---- threads ----


@pytest.mark.parametrize("shared", [True, False], ids=["one resource", "one per thread"])
def test_resources_in_threads_seal_and_open_each_its_own(
    moto_s3: Endpoint, http_proxy: ProxyFactory, bucket: str, shared: bool
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    arguments = {"keyring": KEYRING, **endpoint.client_arguments(max_pool_connections=8)}
    session = s3envelope.Session(keyring=KEYRING)
    resource = s3envelope.resource("s3", **arguments)
    start = threading.Barrier(8)
    lock = threading.Lock()

    def work(number: int) -> bool:
        start.wait(30)
        mine = resource
        if not shared:
            with lock:  # boto3 sessions make clients in one thread at a time.
                mine = session.resource("s3", **endpoint.client_arguments())
        plaintext, sink = plaintext_of(100_000 + number), io.BytesIO()
        mine.Bucket(bucket).put_object(Key=f"k{number}", Body=plaintext, Metadata={"number": str(number)})
        found = mine.Object(bucket, f"k{number}")
        found.download_fileobj(sink)
        right: bool = sink.getvalue() == found.get()["Body"].read() == plaintext
        return right and (found.content_length, found.metadata) == (len(plaintext), {"number": str(number)})

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))

    assert results == [True] * 8
    assert proxy.leaks == []
    resource.meta.client.close()


@pytest.mark.parametrize("use_threads", [True, False])
def test_transfers_with_and_without_threads_are_right_in_many_threads(
    moto_s3: Endpoint, bucket: str, use_threads: bool
) -> None:
    client = enveloped_client(moto_s3, KEYRING, max_pool_connections=16)
    config = TransferConfig(use_threads=use_threads, multipart_threshold=PART, multipart_chunksize=PART)

    def work(number: int) -> bool:
        plaintext, sink = plaintext_of(2 * MIB * number + number), io.BytesIO()
        client.upload_fileobj(io.BytesIO(plaintext), bucket, f"k{number}", Config=config)
        client.download_fileobj(bucket, f"k{number}", sink, Config=config)
        return sink.getvalue() == plaintext

    with ThreadPoolExecutor(5) as pool:
        results = list(pool.map(work, range(5)))

    assert results == [True] * 5
    client.close()


def test_plain_and_enveloped_clients_of_one_process_do_not_mix(moto_s3: Endpoint, bucket: str) -> None:
    session = boto3.Session()
    plain_before = session.client("s3", **moto_s3.client_arguments())
    s3envelope.install(session, keyring=KEYRING)
    one = session.client("s3", **moto_s3.client_arguments())
    other = s3envelope.client("s3", keyring=RawAesKeyring(bytes(32), "other"), **moto_s3.client_arguments())

    plain_before.put_object(Bucket=bucket, Key="plain", Body=b"plain")
    one.put_object(Bucket=bucket, Key="one", Body=b"one")
    other.put_object(Bucket=bucket, Key="other", Body=b"other")

    assert read(plain_before, bucket, "plain") == b"plain"
    assert (read(one, bucket, "one"), read(other, bucket, "other")) == (b"one", b"other")
    for client, key in ((one, "other"), (other, "one"), (one, "plain")):
        with pytest.raises((S3EnvelopeError, ClientError)):
            read(client, bucket, key)
    assert b"one" not in read(plain_before, bucket, "one")
    for client in (plain_before, one, other):
        client.close()
