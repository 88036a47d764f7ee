"""`s3envelope bench`: what encryption costs on a bucket of one's own, beside plain boto3."""

from __future__ import annotations

import json
import os
import re
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Table

from s3envelope.cli.enveloped import enveloped_client
from s3envelope.cli.locations import S3Location, parse_s3
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options
from s3envelope.cli.output import plain, stdout

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB)?", re.ASCII)
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DEFAULT_SIZES = ("1KiB", "1MiB", "16MiB")
_MOST_SIZE = 1 << 30
_PIECE_SIZE = 1 << 20
_CALLS = ("put_object", "get_object")
_CLIENTS = ("boto3", "s3envelope")


def _read_sizes(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    sizes = []
    for value in values:
        match = _SIZE.fullmatch(value)
        count = int(match.group(1)) * _UNITS[match.group(2) or "B"] if match else -1
        if not 0 <= count <= _MOST_SIZE:
            raise click.BadParameter(f"{value!r} is no size up to 1GiB; use 65536, 64KiB, 16MiB, ...", param=option)
        sizes.append(count)
    return tuple(dict.fromkeys(sizes))


@dataclass(slots=True)
class _Measured:
    """Seconds of every call; the key is (size, name of the call, name of the client)."""

    seconds: dict[tuple[int, str, str], list[float]] = field(default_factory=dict)

    def add(self, size: int, call: str, client: str, seconds: float) -> None:
        self.seconds.setdefault((size, call, client), []).append(seconds)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the medians of each size and call, for JSON; only where both clients were measured."""
        for size, call in dict.fromkeys((size, call) for size, call, _ in self.seconds):
            both = [self.seconds.get((size, call, client)) for client in _CLIENTS]
            if not all(both):
                continue
            plain_seconds, sealed_seconds = (statistics.median(one or ()) for one in both)
            yield {
                "size": size,
                "call": call,
                "rounds": min(len(one or ()) for one in both),
                "boto3_seconds": plain_seconds,
                "s3envelope_seconds": sealed_seconds,
                "ratio": sealed_seconds / plain_seconds if plain_seconds else None,
            }


@click.command()
@click.argument("location", metavar="s3://BUCKET[/PREFIX]")
@connection_options()
@key_options
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="SIZE",
    callback=_read_sizes,
    default=_DEFAULT_SIZES,
    show_default=True,
    help="Of the objects; repeatable.",
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000), help="Of each size.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    *,
    location: str,
    connection: Connection,
    key_choice: KeyChoice,
    sizes: tuple[int, ...],
    rounds: int,
    as_json: bool,
) -> None:
    """Put and get objects with plain boto3 and with s3envelope in turn, and compare the times.

    It writes random bytes and nothing else, under a prefix of its own in the bucket that you name, says which, and
    deletes all of it afterwards, every version, also after Ctrl-C. Times are medians, and those of this machine, this
    network and this storage; a first round warms up and is not counted.
    """
    where = parse_s3(location)
    folder = where.key if not where.key or where.key.endswith("/") else where.key + "/"
    place = S3Location(where.bucket, f"{folder}s3envelope-bench-{secrets.token_hex(8)}/")
    console = Console(stderr=True) if as_json else stdout()
    console.print(plain(f"writing random bytes under {place}"), soft_wrap=True)
    measured = _Measured()
    # INVARIANT: made from a session of its own: in that of the enveloped client it would be enveloped too.
    with (
        closing(connection.s3(connection.session())) as unsealed,
        enveloped_client(connection, key_choice) as sealing,
        _removing(unsealed, place) as removal,
    ):
        clients = {"boto3": unsealed, "s3envelope": sealing}
        for size in sizes:
            for number in range(rounds + 1):
                _round(clients, place, size, measured if number else _Measured())
    rows = list(measured.rows())
    if as_json:
        summary = {"bucket": place.bucket, "prefix": place.key, "rounds": rounds, "deleted": removal.count}
        click.echo(json.dumps({**summary, "results": rows}))
    else:
        _show(console, rows)
        console.print(f"{removal.count} objects deleted again", highlight=False)


def _round(clients: dict[str, Any], place: S3Location, size: int, measured: _Measured) -> None:
    """Measure each client once, with bytes of its own that nobody has seen."""
    for name, client in clients.items():
        body, where = os.urandom(size), {"Bucket": place.bucket, "Key": f"{place.key}{name}-{size}"}
        started = time.perf_counter()
        client.put_object(**where, Body=body)
        put = time.perf_counter()
        with closing(client.get_object(**where)["Body"]) as stream:
            pieces = list(stream.iter_chunks(_PIECE_SIZE))
        done = time.perf_counter()
        if b"".join(pieces) != body:
            raise click.ClickException(f"{name} read other bytes than it wrote; do not trust this storage")
        measured.add(size, _CALLS[0], name, put - started)
        measured.add(size, _CALLS[1], name, done - put)


@dataclass(slots=True)
class _Removal:
    """How many objects, versions and markers were deleted."""

    count: int = 0


@contextmanager
def _removing(client: S3Client, place: S3Location) -> Iterator[_Removal]:
    """Delete everything under a prefix when the block is left, however it is left."""
    removal = _Removal()
    try:
        yield removal
    finally:
        for found in _found(client, place):
            client.delete_object(**found)
            removal.count += 1


def _found(client: S3Client, place: S3Location) -> Iterator[dict[str, Any]]:
    where = {"Bucket": place.bucket, "Prefix": place.key}
    try:
        pages: list[Any] = list(client.get_paginator("list_object_versions").paginate(**where))  # type: ignore[arg-type]
    except ClientError:
        # Not every server and not every policy lists versions.
        pages = []
        for listing in client.get_paginator("list_objects_v2").paginate(**where):  # type: ignore[arg-type]
            pages.append({"Versions": listing.get("Contents", ())})
    for page in pages:
        for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            version = {"VersionId": one["VersionId"]} if one.get("VersionId") else {}
            yield {"Bucket": place.bucket, "Key": one["Key"], **version}


def _show(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table()
    for title in ("size", "call", "boto3", "s3envelope", "ratio"):
        table.add_column(title, justify="left" if title == "call" else "right")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        times = (f"{row[name] * 1000:.1f} ms" for name in ("boto3_seconds", "s3envelope_seconds"))
        table.add_row(f"{row['size']:,} bytes", row["call"], *times, ratio)
    console.print(table)
