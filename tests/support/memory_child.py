"""A process that seals and opens objects, tells of every secret that it wipes, and then waits to be looked at.

python -m tests.support.memory_child, with a job as JSON in the first line of standard input. Secrets go, raw, to the
file descriptor that the job names.
"""

from __future__ import annotations

import functools
import gc
import io
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

import s3envelope
from s3envelope.core import secret
from s3envelope.keyrings import kms_redaction


def _report(descriptor: int, overwrite: Callable[[bytearray], None] | None) -> Callable[[bytearray], None]:
    def report(buffer: bytearray) -> None:
        # From the buffer itself, so that this makes no copy.
        if len(buffer) == 32:
            os.write(descriptor, buffer)
        if overwrite is not None:
            overwrite(buffer)

    return report


def _work(job: dict[str, Any]) -> None:
    config = Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    kms = boto3.client("kms", endpoint_url=job["kms"], region_name="us-east-1", config=config)
    client = s3envelope.client(
        "s3", kms_key_id=job["arn"], kms_client=kms, cache=None, endpoint_url=job["s3"], config=config
    )
    for name, size in (("small", 100), ("large", 3 << 20)):
        client.put_object(Bucket=job["bucket"], Key=name, Body=b"x" * size)
        assert len(client.get_object(Bucket=job["bucket"], Key=name)["Body"].read()) == size
        assert client.get_object(Bucket=job["bucket"], Key=name, Range="bytes=5-9")["Body"].read() == b"x" * 5
    client.upload_fileobj(io.BytesIO(b"y" * (9 << 20)), job["bucket"], "parts")
    client.download_fileobj(job["bucket"], "parts", io.BytesIO())
    with ThreadPoolExecutor(8) as pool:
        # Many keys at the same time lie in many places, and little comes after them that would overwrite those.
        list(pool.map(functools.partial(_small, client, job["bucket"]), range(16)))
    client.copy_object(Bucket=job["bucket"], Key="copy", CopySource={"Bucket": job["bucket"], "Key": "small"})


def _small(client: Any, bucket: str, number: int) -> None:
    client.put_object(Bucket=bucket, Key=f"many/{number}", Body=b"z")
    assert client.get_object(Bucket=bucket, Key=f"many/{number}")["Body"].read() == b"z"


def main() -> None:
    """Do the job."""
    job = json.loads(sys.stdin.readline())
    report = _report(job["descriptor"], secret._overwrite if job["wipes"] else None)
    setattr(secret, "_overwrite", report)  # noqa: B010  # the type of a function is that function's
    if not job["wipes"]:
        for module in (secret, kms_redaction):
            setattr(module, "overwrite_bytes", lambda *_: None)  # noqa: B010
    _work(job)
    gc.collect()
    os.close(job["descriptor"])
    print("idle", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
