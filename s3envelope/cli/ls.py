"""`s3envelope ls`: buckets, and objects with their plaintext sizes."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import click

from s3envelope.cli.dependencies import KeyNames, named_keys, resolved, search_keys
from s3envelope.cli.enveloped import enveloped_client
from s3envelope.cli.listing import Listed, Looker, Sizes, in_words, listed
from s3envelope.cli.locations import parse_s3
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options
from s3envelope.cli.output import printable

_UNITS = ("Bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_VARIABLE = "S3ENVELOPE_LIST_SIZES"
_NOTHING = 1


@dataclass(slots=True)
class _Totals:
    """What was listed, and its size."""

    objects: int = 0
    delete_markers: int = 0
    bytes: int = 0

    def add(self, entry: Listed) -> None:
        self.objects += entry.kind == "object"
        self.delete_markers += entry.kind == "delete_marker"
        self.bytes += entry.size or 0


@click.command()
@click.argument("location", metavar="[s3://BUCKET[/PREFIX]]", required=False)
@connection_options()
@key_options
@click.option("--recursive", is_flag=True, help="Everything under the prefix, not only up to the next slash.")
@click.option("--long", "with_details", is_flag=True, help="Also the format and the KMS keys of each: a HEAD each.")
@click.option(
    "--search-region", "regions", multiple=True, metavar="NAME", help="With --long: name all KMS keys of this Region."
)
@click.option("--exact", is_flag=True, help="Exact sizes also of objects in parts: a HEAD each, and needs the key.")
@click.option("--stored", is_flag=True, help="Sizes of the ciphertext, as S3 has them.")
@click.option("--versions", is_flag=True, help="All versions and delete markers.")
@click.option("--human-readable", is_flag=True, help="Sizes in KiB, MiB, ...")
@click.option("--summarize", is_flag=True, help="The number of objects and their size at the end.")
@click.option("--workers", default=16, show_default=True, type=click.IntRange(1, 256), help="HEADs at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
def ls(
    *,
    location: str | None,
    connection: Connection,
    key_choice: KeyChoice,
    recursive: bool,
    with_details: bool,
    regions: Sequence[str],
    exact: bool,
    stored: bool,
    versions: bool,
    human_readable: bool,
    summarize: bool,
    workers: int,
    as_json: bool,
) -> int:
    """List buckets, or the objects under a prefix with the sizes of their plaintext.

    Sizes are computed from the stored ones, which needs no key. Objects in parts may read some bytes high, objects
    that are not encrypted some bytes low: --long sees what is not encrypted, --exact asks for each. Objects have hints
    of keys; --long shows the ARNs of those that are given with --kms-key-id or found with --search-region.
    S3ENVELOPE_LIST_SIZES may say exact or stored. Exit code 1: there is nothing under the prefix.
    """
    if exact and stored:
        raise click.UsageError("--exact and --stored exclude each other")
    with ExitStack() as stack:
        client = stack.enter_context(closing(connection.s3(connection.session(), max_pool_connections=workers)))
        if location is None:
            return _buckets(client, as_json=as_json)
        where = parse_s3(location)
        sizes: Sizes = "exact" if exact else "stored" if stored else _default_sizes()
        entries: Iterable[Listed] = listed(client, where, recursive=recursive, versions=versions, sizes=sizes)
        if with_details or sizes == "exact":
            sizer = None
            if sizes == "exact":
                choice = enveloped_client(connection, key_choice, max_pool_connections=workers)
                sizer = stack.enter_context(choice)
            names = _names(connection, key_choice, regions) if with_details else {}
            entries = Looker(client, sizer, names, with_details, sizes, workers).over(entries)
        shown = "" if recursive else where.key.rpartition("/")[0]
        totals, is_empty = _Totals(), True
        for entry in entries:
            is_empty = False
            totals.add(entry)
            line = json.dumps(entry.as_dict()) if as_json else _line(entry, shown, human=human_readable)
            click.echo(line)
    if summarize:
        _show_totals(totals, human=human_readable, as_json=as_json)
    return _NOTHING if is_empty and where.key else 0


def _names(connection: Connection, key_choice: KeyChoice, regions: Sequence[str]) -> KeyNames:
    """Return the ARNs of the keys that are known, by their hints."""
    names = named_keys(connection, [resolved(connection, key_id)[0] for key_id in key_choice.kms_key_ids])
    search_keys(connection, regions, names)
    return names


def _default_sizes() -> Sizes:
    chosen = os.environ.get(_VARIABLE, "plaintext")
    if chosen not in ("plaintext", "exact", "stored"):
        raise click.UsageError(f"{_VARIABLE} is {chosen!r}; use plaintext, exact or stored")
    return chosen  # type: ignore[return-value]  # it is one of the three


def _buckets(client: Any, *, as_json: bool) -> int:
    for page in client.get_paginator("list_buckets").paginate():
        for bucket in page.get("Buckets", ()):
            created = bucket.get("CreationDate")
            if as_json:
                moment = None if created is None else created.isoformat()
                click.echo(json.dumps({"kind": "bucket", "bucket": bucket["Name"], "created": moment}))
            else:
                click.echo(f"{'' if created is None else _time(created.isoformat()):19} {printable(bucket['Name'])}")
    return 0


def _line(entry: Listed, folder: str, *, human: bool) -> str:
    name = entry.key[len(folder) + 1 :] if folder else entry.key
    if entry.kind == "prefix":
        return f"{'PRE':>30} {printable(name)}"
    size = "DELETED" if entry.kind == "delete_marker" else _size(entry.size or 0, human=human)
    columns = [_time(entry.last_modified or ""), f"{size:>10}"]
    if entry.details:
        columns += [printable(word) for word in in_words(entry.details)]
    if entry.is_latest is not None:
        columns += [str(entry.version_id), "latest" if entry.is_latest else "old"]
    return " ".join([*columns, printable(name)])


def _time(moment: str) -> str:
    return datetime.datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _size(count: int, *, human: bool) -> str:
    if not human:
        return str(count)
    unit, value = 0, float(count)
    while value >= 1024 and unit < len(_UNITS) - 1:
        unit, value = unit + 1, value / 1024
    return f"{count} {'Byte' if count == 1 else 'Bytes'}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _show_totals(totals: _Totals, *, human: bool, as_json: bool) -> None:
    if as_json:
        summary = {"objects": totals.objects, "delete_markers": totals.delete_markers, "size": totals.bytes}
        click.echo(json.dumps({"summary": summary}))
        return
    click.echo(f"\nTotal objects: {totals.objects}\n   Total size: {_size(totals.bytes, human=human)}")
