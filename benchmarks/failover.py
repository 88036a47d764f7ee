"""How long a read takes when a KMS region is away, and how long the reads after it.

    python -m benchmarks.failover [--quick] [--reads N] [--json FILE]

Two LocalKms are two regions; each data key is wrapped in both, and nothing is cached. The near region is well, or
refuses connections, or takes them and never answers. The KMS clients have the settings that s3envelope gives to its own
for several keys (a connection within 2 seconds, an answer within 3, three attempts), or shorter ones of one's own.

A `MultiKeyring` asks a region that was away last for the next 30 seconds. The last column is what every read would
take without that.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

import s3envelope
from benchmarks.clients import BUCKET
from benchmarks.machine import describe_machine
from benchmarks.surroundings import isolate, memory_sink, working_folder
from s3envelope import KmsKeyring, MultiKeyring
from s3envelope.s3.keyrings import kms_config
from s3envelope.testing.local_kms import LocalKms

_NEAR, _FAR = "us-east-1", "eu-west-1"
_BODY = b"k" * 1024
_FOR_EVER_SECONDS = 3600.0
_CREDENTIALS: dict[str, Any] = {"aws_access_key_id": "benchmark", "aws_secret_access_key": "benchmark"}


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one trouble under one setting of the KMS clients, in seconds.

    Args:
        following: Of the reads after the first.
        forgetful: Of one read that does not remember who was away.
    """

    trouble: str
    settings: str
    first: float
    following: list[float]
    forgetful: float


@dataclass(frozen=True, slots=True)
class Place:
    """Two regions, a key in each, and a storage."""

    near: LocalKms
    far: LocalKms
    keys: tuple[str, str]
    s3_url: str

    def client(self, config: Config, clock: Callable[[], float]) -> Any:
        """Return an enveloped client without cache, with KMS clients of its own."""
        keyrings = [
            KmsKeyring(
                key,
                boto3.client("kms", endpoint_url=kms.endpoint_url, region_name=region, config=config, **_CREDENTIALS),
            )
            for key, kms, region in zip(self.keys, (self.near, self.far), (_NEAR, _FAR), strict=True)
        ]
        return s3envelope.client(
            "s3",
            keyring=MultiKeyring(*keyrings, clock=clock),
            cache=None,
            endpoint_url=self.s3_url,
            region_name=_NEAR,
            config=Config(s3={"addressing_style": "path"}, proxies={}),
            **_CREDENTIALS,
        )


def _settings(is_quick: bool) -> dict[str, Config]:
    plain = boto3.client("s3", region_name=_NEAR, **_CREDENTIALS)
    own = kms_config(plain, has_others=True).merge(Config(proxies={}))
    plain.close()
    short = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2}, proxies={})
    tiny = Config(
        connect_timeout=1, read_timeout=0.2, retries={"mode": "standard", "total_max_attempts": 1}, proxies={}
    )
    return {"quick": tiny} if is_quick else {"s3envelope's": own, "1 s, two attempts": short}


@contextmanager
def _refusing(kms: LocalKms) -> Iterator[None]:
    with kms.faults.refuse_connections():
        yield


@contextmanager
def _hanging(kms: LocalKms) -> Iterator[None]:
    kms.faults.latency(_FOR_EVER_SECONDS)
    try:
        yield
    finally:
        kms.faults.clear()


@contextmanager
def _well(_: LocalKms) -> Iterator[None]:
    yield


_TROUBLES = {"none": _well, "refuses connections": _refusing, "never answers": _hanging}


def _read(client: Any) -> float:
    started = time.perf_counter()
    if client.get_object(Bucket=BUCKET, Key="failover")["Body"].read() != _BODY:
        raise AssertionError("an object came back as another")
    return time.perf_counter() - started


def _measure(place: Place, trouble: str, settings: tuple[str, Config], read_count: int) -> Row:
    name, config = settings
    remembering = place.client(config, time.monotonic)
    # To this one a minute passes between any two looks at the clock.
    forgetful = place.client(config, itertools.count(0.0, 60.0).__next__)
    for client in (remembering, forgetful):
        client.put_object(Bucket=BUCKET, Key="failover", Body=_BODY)
        _read(client)
    with _TROUBLES[trouble](place.near):
        first = _read(remembering)
        following = [_read(remembering) for _ in range(read_count)]
        _read(forgetful)
        row = Row(trouble, name, first, following, _read(forgetful))
    for client in (remembering, forgetful):
        client.close()
    return row


def measure(is_quick: bool, read_count: int) -> list[Row]:
    """Measure every trouble under every setting."""
    rows = []
    for settings, trouble in itertools.product(_settings(is_quick).items(), _TROUBLES):
        # New servers each time: a connection that hangs stays one until its server stops.
        with working_folder() as folder, LocalKms() as near, LocalKms() as far, memory_sink(folder) as (url, _):
            place = Place(near, far, (near.create_key(_NEAR), far.create_key(_FAR)), url)
            rows.append(_measure(place, trouble, settings, read_count))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| near region | KMS clients | first read | following, median | longest | every read, without memory |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        figures = (row.first, statistics.median(row.following), max(row.following), row.forgetful)
        lines.append(f"| {row.trouble} | {row.settings} | " + " | ".join(map(_shown, figures)) + " |")
    return "\n".join(lines)


def _shown(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.failover", description="Reads while a KMS region is away.")
    parser.add_argument("--quick", action="store_true", help="short timeouts: to see that it runs")
    parser.add_argument("--reads", type=int, default=20, help="reads after the first (default: 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    options = parser.parse_args(arguments)
    isolate(os.environ)
    machine = describe_machine()
    rows = measure(options.quick, options.reads)
    print(f"On {machine.line()}.\n")
    print(table(rows))
    if options.json is not None:
        figures = {"machine": dataclasses.asdict(machine), "rows": [dataclasses.asdict(row) for row in rows]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
