"""Peak memory of Amazon's own client for Python and of s3envelope, reading one V3 object; a child process per call.

    python -m benchmarks.official_memory [--size-mib 2048]

It needs the extra [interop]. The official client writes the object, in parts, to a memory sink that is plain S3 for
both; both then read it whole, verified. The machine needs as much free memory as the object has bytes, and for the
official client three times as much again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.clients import BUCKET, MIB, PLAIN, Place, make_client
from benchmarks.machine import describe_machine
from benchmarks.memory_child import peak_size
from benchmarks.surroundings import child_environment, isolate, memory_sink, working_folder
from s3envelope.testing.local_kms import LocalKms

_KEY = "object"
_LOCAL: dict[str, Any] = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}


def _official(place: Place) -> Any:
    # Here and not above, so that a process of our client does not pay for the import.
    from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
    from s3_encryption.materials.kms_keyring import KmsKeyring

    kms = boto3.client("kms", endpoint_url=place.kms_url, config=Config(proxies={}), **_LOCAL)
    return S3EncryptionClient(make_client(PLAIN, place), S3EncryptionClientConfig(KmsKeyring(kms, place.kms_key_id)))


def _ours(place: Place) -> Any:
    return make_client("s3envelope", place, read_formats=("s3ec-v3",))


CLIENTS: dict[str, Callable[[Place], Any]] = {"amazon-s3-encryption-client-python": _official, "s3envelope": _ours}


def _child(kind: str, place: Place, size: int) -> None:
    """Read the object piece by piece; print the figures as JSON."""
    client = CLIENTS[kind](place)
    idle, begin = peak_size(), time.perf_counter()
    body = client.get_object(Bucket=BUCKET, Key=_KEY)["Body"]
    found = sum(map(len, body.iter_chunks(MIB)))
    if found != size:
        raise AssertionError(f"the object has {found} bytes instead of {size}")
    seconds = time.perf_counter() - begin
    print(json.dumps({"idle": idle, "peak": peak_size(), "seconds": seconds}))


def measure(size: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return the figures of both clients for an object of `size` bytes."""
    file = folder / "source"
    with file.open("wb") as sparse:
        sparse.truncate(size)
    found: dict[str, dict[str, float]] = {}
    with LocalKms() as kms, memory_sink(folder) as (url, ca_file):
        place = Place(url, kms.endpoint_url, kms.create_key(), ca_file)
        _official(place).upload_file(str(file), BUCKET, _KEY)
        for kind in CLIENTS:
            plan = json.dumps({"kind": kind, "place": dataclasses.asdict(place), "size": size})
            command = [sys.executable, "-m", "benchmarks.official_memory", "--child", plan]
            done = subprocess.run(command, env=child_environment(), stdout=subprocess.PIPE, check=False)
            if done.returncode == 0:
                found[kind] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.official_memory", description="Peak memory of reading V3.")
    parser.add_argument("--size-mib", type=int, default=2048, help="size of the object (default: 2048)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    isolate(os.environ)
    if options.child is not None:
        plan = json.loads(options.child)
        _child(plan["kind"], Place(**plan["place"]), plan["size"])
        return 0
    with working_folder() as folder:
        figures = measure(options.size_mib * MIB, folder)
    print(f"Reading a V3 object of {options.size_mib} MiB, verified; {describe_machine().line()}\n")
    print("| client | idle MiB | peak MiB | above idle | seconds |\n|---|---:|---:|---:|---:|")
    for kind in CLIENTS:
        if kind not in figures:
            print(f"| {kind} | failed | | | |")
            continue
        idle, peak = figures[kind]["idle"] / MIB, figures[kind]["peak"] / MIB
        print(f"| {kind} | {idle:.1f} | {peak:.1f} | {peak - idle:.1f} | {figures[kind]['seconds']:.1f} |")
    return 0 if len(figures) == len(CLIENTS) else 1


if __name__ == "__main__":
    sys.exit(main())
