"""What `tests/s3/edge_cases/test_crt.py` does in a process of its own: botocore takes awscrt or not for good.

`python -m tests.support.crt_process JOB` does what the JSON object says and prints what it saw as JSON.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.compat
from boto3.s3.transfer import S3Transfer, TransferConfig, create_transfer_manager
from botocore.config import Config

import s3envelope
from s3envelope import RawAesKeyring
from s3envelope.testing.streams import MemorySource
from tests.support.enveloped import MIB, keeping_nothing, plaintext_of

Job = dict[str, Any]


class MisleadingBody(io.BytesIO):
    """A body whose bytes are those of `read`; the inherited `readinto`, `readinto1` and `read1` give others."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size).translate(_SHIFTED)


_SHIFTED = bytes((value + 1) % 256 for value in range(256))
_SHIFTED_BACK = bytes((value - 1) % 256 for value in range(256))


def _arguments(job: Job) -> dict[str, Any]:
    config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 3})
    return {
        "endpoint_url": job["url"],
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "region_name": "us-east-1",
        "config": config,
        **({"verify": job["ca_file"]} if job["ca_file"] else {}),
    }


def _enveloped(job: Job) -> Any:
    return s3envelope.client("s3", keyring=RawAesKeyring(bytes(32), "crt"), state_dir=None, **_arguments(job))


def _on_an_optimised_host(job: Job) -> dict[str, Any]:
    """Upload and download in every way, where boto3 would choose the CRT transfer client."""
    import awscrt.s3
    import boto3.crt  # Only where awscrt is.

    awscrt.s3.is_optimized_for_system = lambda: True
    # Other processes of this machine may hold the lock of the real name, which makes boto3 choose the classic client.
    boto3.crt.PROCESS_LOCK_NAME = f"s3envelope-tests-{os.getpid()}"
    plain = boto3.client("s3", **_arguments(job))
    client: Any = _enveloped(job)
    order = [("plain", plain), ("enveloped", client)]
    chosen: dict[str, Any] = {}
    for name, one in order if job["plain_first"] else reversed(order):
        manager = create_transfer_manager(one, TransferConfig())
        chosen[name] = type(manager).__name__
        manager.shutdown()
    chosen["read back"] = [_uploaded(client, job, size) for size in (MIB, 9 * MIB)]
    return chosen


def _uploaded(client: Any, job: Job, size: int) -> list[bool]:
    bucket, plaintext, folder = job["bucket"], plaintext_of(size), Path(job["folder"])
    path, back = folder / f"up-{size}", folder / f"down-{size}"
    path.write_bytes(plaintext)
    client.upload_file(str(path), bucket, f"{size}/0")
    client.upload_fileobj(io.BytesIO(plaintext), bucket, f"{size}/1")
    with S3Transfer(client) as transfer:
        transfer.upload_file(str(path), bucket, f"{size}/2")
    with create_transfer_manager(client, TransferConfig()) as manager:
        manager.upload(str(path), bucket, f"{size}/3").result()
    results = []
    for number in range(4):
        client.download_file(bucket, f"{size}/{number}", str(back))
        with S3Transfer(client) as transfer:
            transfer.download_file(bucket, f"{size}/{number}", f"{back}-again")
        results.append(back.read_bytes() == Path(f"{back}-again").read_bytes() == plaintext)
    return results


def _put(job: Job) -> dict[str, Any]:
    """Put one body; tell how often it was read from its start, and whether it reads back."""
    client, plaintext = _enveloped(job), plaintext_of(job["size"])
    if not job.get("kept", True):
        keeping_nothing(client)
    body: Any
    if job["body"] == "source":
        body = MemorySource(plaintext)
    elif job["body"] == "misleading":
        body = MisleadingBody(plaintext.translate(_SHIFTED_BACK))
    else:
        path = Path(job["folder"]) / "file"
        path.write_bytes(plaintext)
        body = path.open("rb")
    start = int(job["start"])
    body.seek(start)
    client.put_object(Bucket=job["bucket"], Key="k", Body=body)
    back = client.get_object(Bucket=job["bucket"], Key="k")["Body"].read()
    body.close() if hasattr(body, "close") else None
    client.close()
    return {"right": back == plaintext[start:], "passes": getattr(body, "pass_count", None)}


_ACTIONS: dict[str, Callable[[Job], dict[str, Any]]] = {"optimised": _on_an_optimised_host, "put": _put}


def main() -> None:
    """Do the job."""
    job: Job = json.loads(sys.argv[1])
    print(json.dumps({"crt": botocore.compat.HAS_CRT, **_ACTIONS[job["action"]](job)}))


if __name__ == "__main__":
    main()
