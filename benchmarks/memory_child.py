"""One call in a process of its own, and the most memory that this process ever had: run by `benchmarks.memory`."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clients import BUCKET, MIB, Place, make_client, transfer_config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_STATUS = Path("/proc/self/status")


def upload_file(client: S3Client, key: str, file: Path) -> None:
    """Upload the file in parts, in parallel."""
    client.upload_file(str(file), BUCKET, key, Config=transfer_config())


def put_object(client: S3Client, key: str, file: Path) -> None:
    """Put the open file in one request."""
    with file.open("rb") as body:
        client.put_object(Bucket=BUCKET, Key=key, Body=body)


def get_object(client: S3Client, key: str, file: Path) -> None:
    """Read the object piece by piece, and check that it is as long as the file."""
    answer = client.get_object(Bucket=BUCKET, Key=key)
    size = sum(map(len, answer["Body"].iter_chunks(MIB)))
    if size != file.stat().st_size:
        raise AssertionError(f"the object has {size} bytes, the file {file.stat().st_size}")


def download_file(client: S3Client, key: str, file: Path) -> None:
    """Download the object in ranges, in parallel, and check its length."""
    target = file.with_suffix(".down")
    client.download_file(BUCKET, key, str(target), Config=transfer_config())
    size = target.stat().st_size
    os.unlink(target)
    if size != file.stat().st_size:
        raise AssertionError(f"the download has {size} bytes, the file {file.stat().st_size}")


CALLS: dict[str, Callable[[S3Client, str, Path], None]] = {
    "upload_file": upload_file,
    "put_object(Body=file)": put_object,
    "get_object, iter_chunks": get_object,
    "download_file": download_file,
}


def peak_size() -> int:
    """Return the peak resident size of this process in bytes."""
    if _STATUS.exists():
        # getrusage would also count what the parent had when it started this process.
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the call that the only argument describes; print the figures as JSON."""
    (plan,) = sys.argv[1:] if arguments is None else arguments
    chosen = json.loads(plan)
    client = make_client(chosen["kind"], Place(**chosen["place"]))
    idle = peak_size()
    begin = time.perf_counter()
    CALLS[chosen["call"]](client, chosen["kind"], Path(chosen["file"]))
    seconds = time.perf_counter() - begin
    client.close()
    print(json.dumps({"idle": idle, "peak": peak_size(), "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
