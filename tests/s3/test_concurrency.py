"""One client in many threads, and on both sides of a fork."""

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope.testing.local_kms import LocalKms
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, ClientFactory, NewBucket, plaintext_of

_THREADS = 16


def _work(client: S3Client, bucket: str, number: int, start: threading.Barrier) -> bool:
    plaintext, key = plaintext_of(50_000 + number * 7919), f"key-{number}"
    start.wait(30)
    for _ in range(4):
        client.put_object(Bucket=bucket, Key=key, Body=plaintext)
        if client.get_object(Bucket=bucket, Key=key)["Body"].read() != plaintext:
            return False
        middle = client.get_object(Bucket=bucket, Key=key, Range="bytes=100-40000")["Body"].read()
        if middle != plaintext[100:40_001]:
            return False
    sink = io.BytesIO()
    client.upload_fileobj(io.BytesIO(plaintext), bucket, key)
    client.download_fileobj(bucket, key, sink)
    return sink.getvalue() == plaintext


def test_client_when_used_by_16_threads_then_every_object_is_right_and_one_data_key_was_made(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, kms: LocalKms
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    client, bucket = sealed(endpoint, max_pool_connections=_THREADS), new_bucket(moto_s3)
    start = threading.Barrier(_THREADS)

    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(lambda number: _work(client, bucket, number, start), range(_THREADS)))

    assert all(results)
    assert kms.count("GenerateDataKey") == 1
    assert kms.count("Decrypt") == 1
    assert proxy.leaks == []


def test_multipart_uploads_when_several_run_on_one_client_then_they_do_not_mix(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(moto_s3, max_pool_connections=20), new_bucket(moto_s3)
    plaintexts = {f"key-{number}": plaintext_of(9 * MIB + number) for number in range(4)}

    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda key: client.upload_fileobj(io.BytesIO(plaintexts[key]), bucket, key),
                plaintexts,
            )
        )

    for key, plaintext in plaintexts.items():
        sink = io.BytesIO()
        client.download_fileobj(bucket, key, sink)
        assert sink.getvalue() == plaintext


def _in_child(act: Any) -> int:
    """Run a function in a forked child; return its exit code: 0 only if it returned True."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if act() else 2
        finally:
            # No handler of pytest may run here, whatever happened.
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_client_when_forked_after_use_then_both_sides_read_and_write_with_data_keys_of_their_own(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, kms: LocalKms
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="before", Body=b"before")
    assert client.get_object(Bucket=bucket, Key="before")["Body"].read() == b"before"
    kms.clear_calls()

    def child() -> bool:
        client.put_object(Bucket=bucket, Key="child", Body=b"child")
        return all(
            client.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode() for key in ("before", "child")
        )

    code = _in_child(child)
    client.put_object(Bucket=bucket, Key="parent", Body=b"parent")

    assert code == 0
    read = {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in ("before", "child", "parent")}
    assert read == {"before": b"before", "child": b"child", "parent": b"parent"}
    # The child made one; the parent went on with its own.
    assert kms.count("GenerateDataKey") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_upload_when_begun_before_a_fork_then_the_child_cannot_go_on_with_it(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    part_size: dict[str, Any] = {"PartSize": 5 * MIB}
    upload = client.create_multipart_upload(Bucket=bucket, Key="k", **part_size)["UploadId"]
    call: dict[str, Any] = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 1, "Body": b"body"}

    def child() -> bool:
        try:
            client.upload_part(**call)
        except Exception as error:  # noqa: BLE001 - the parent cannot see it
            return type(error).__name__ == "UnsupportedOperationError"
        return False

    assert _in_child(child) == 0
    assert "Parts" not in client.list_parts(Bucket=bucket, Key="k", UploadId=upload)
