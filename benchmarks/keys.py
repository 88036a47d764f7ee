"""What data keys cost: calls of KMS, and time per put and get of 1 KiB, without a cache and with each kind of it.

    python -m benchmarks.keys [--quick] [--rounds N] [--json FILE]

S3 is a memory sink in a process of its own, KMS a LocalKms in this process: real ones are further away, so what a call
of KMS costs here is the least that it can cost. A hit is one question to the materials manager, nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clients import BUCKET, Place, make_client
from benchmarks.machine import describe_machine
from benchmarks.surroundings import isolate, memory_sink, working_folder
from s3envelope.caches.disk import DiskCache
from s3envelope.caches.key_sources import CacheKeyFile
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.caches.memory import MemoryCache
from s3envelope.core.context import EncryptionContext
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.stores.system import system_ports
from s3envelope.testing.local_kms import LocalKms

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BODY = b"k" * 1024
_NAMES = ("none", "memory", "disk")


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one kind of cache.

    Args:
        put_calls, get_calls: Calls of KMS in one round.
        puts, gets, hits: Microseconds for each, one figure per round; there are no hits without a cache.
    """

    name: str
    put_calls: int = 0
    get_calls: int = 0
    puts: list[float] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)


def _microseconds(work: Callable[[int], object], count: int) -> float:
    started = time.perf_counter()
    for number in range(count):
        work(number)
    return (time.perf_counter() - started) / count * 1e6


def _cache(name: str, folder: Path) -> DiskCache | MemoryCache | None:
    if name == "disk":
        return DiskCache(folder / "cache", key=CacheKeyFile(folder / "cache.key"))
    return MemoryCache() if name == "memory" else None


def _put(client: S3Client, number: int) -> None:
    client.put_object(Bucket=BUCKET, Key=f"keys/{number}", Body=_BODY)


def _get(client: S3Client, number: int) -> None:
    if client.get_object(Bucket=BUCKET, Key=f"keys/{number}")["Body"].read() != _BODY:
        raise AssertionError("an object came back as another")


def _measure(row: Row, place: Place, kms: LocalKms, folder: Path, count: int) -> Row:
    """Measure one round with new clients; the reader is another than the writer, as in another program."""
    writer, reader = (make_client("s3envelope", place, cache=_cache(row.name, folder)) for _ in range(2))
    for client in (writer, reader):
        # Not counted: it opens the connections.
        _put(client, count)
    kms.clear_calls()
    row.puts.append(_microseconds(lambda number: _put(writer, number), count))
    put_calls = kms.count()
    kms.clear_calls()
    row.gets.append(_microseconds(lambda number: _get(reader, number), count))
    get_calls = kms.count()
    for client in (writer, reader):
        client.close()
    return dataclasses.replace(row, put_calls=put_calls, get_calls=get_calls)


def _hits(row: Row, place: Place, kms: LocalKms, folder: Path, count: int) -> None:
    """Measure a hit; those on disk with the memory emptied before each."""
    cache = _cache(row.name, folder)
    if cache is None:
        return
    disk = cache if isinstance(cache, DiskCache) else None
    keyring = KmsKeyring(place.kms_key_id, kms.client())
    manager = CachingMaterialsManager(keyring, CacheLimits(), system_ports(), disk=disk)
    context = EncryptionContext({"purpose": "benchmark"})
    keys = keyring.generate_data_key(context).encrypted

    def hit(_: int) -> None:
        if disk is not None:
            manager._opened.clear()
        manager.open_with_data_key(keys, context, len)

    hit(0)
    row.hits.append(_microseconds(hit, count))


def measure(rounds: int, count: int, hit_count: int) -> list[Row]:
    """Measure every kind of cache in turns."""
    rows = [Row(name) for name in _NAMES]
    with working_folder() as folder, LocalKms() as kms, memory_sink(folder) as (url, _):
        place = Place(url, kms.endpoint_url, kms.create_key())
        for number in range(rounds):
            for index, row in enumerate(rows):
                # Every round begins with an empty cache.
                own = folder / f"{row.name}-{number}"
                own.mkdir()
                rows[index] = _measure(row, place, kms, own, count)
                _hits(rows[index], place, kms, own, hit_count)
    return rows


def table(rows: Sequence[Row], count: int) -> str:
    """Return the medians as a Markdown table."""
    lines = [
        f"| cache | KMS calls, {count} puts | {count} gets | µs per put | µs per get | µs per hit |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        hit = f"{statistics.median(row.hits):.1f}" if row.hits else ""
        put, get = statistics.median(row.puts), statistics.median(row.gets)
        lines.append(f"| `{row.name}` | {row.put_calls} | {row.get_calls} | {put:.0f} | {get:.0f} | {hit} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.keys", description="What data keys cost.")
    parser.add_argument("--quick", action="store_true", help="few calls: to see that it runs")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of every figure (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    options = parser.parse_args(arguments)
    isolate(os.environ)
    machine = describe_machine()
    count, hit_count = (5, 50) if options.quick else (300, 5000)
    rows = measure(options.rounds, count, hit_count)
    print(f"{options.rounds} rounds on {machine.line()}.\n")
    print(table(rows, count))
    if options.json is not None:
        figures = {
            "machine": dataclasses.asdict(machine),
            "count": count,
            "rows": [dataclasses.asdict(r) for r in rows],
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
