"""`s3envelope keys`: which keys the objects under a prefix depend on, and their envelopes for a rainy day."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from s3envelope.cli.dependencies import (
    KeyNames,
    SeenObject,
    hint_of,
    named_keys,
    resolved,
    search_keys,
    seen_objects,
)
from s3envelope.cli.locations import parse_s3
from s3envelope.cli.options import Connection, connection_options
from s3envelope.cli.output import plain, stdout

_STILL_NEEDED = 1
_MOST_SHOWN = 20
_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(slots=True)
class _Counts:
    """How many objects need which key; `lost` counts old versions too."""

    objects: Counter[str] = field(default_factory=Counter)
    old: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    plain: int = 0
    unknown: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, seen: SeenObject, denied: str | None) -> None:
        if not seen.is_understood:
            self.unknown += 1
        elif seen.envelope is None:
            self.plain += 1
        hints = seen.hints
        (self.objects if seen.location.version_id is None else self.old).update(hints)
        if len(hints) == 1:
            self.lost.update(hints)
            if hints == [denied] and len(self.shown) < _MOST_SHOWN:
                self.shown.append(seen.url)


@click.group()
def keys() -> None:
    """Which keys objects depend on, and their envelopes for a rainy day."""


@keys.command()
@click.argument("location", metavar="s3://BUCKET[/PREFIX]")
@connection_options()
@click.option("--key", "named", multiple=True, metavar="ID", help="KMS key to show by its name; repeatable.")
@click.option(
    "--search-region", "regions", multiple=True, metavar="NAME", help="Show all KMS keys of this Region by their names."
)
@click.option("--deny-deletion-of", metavar="ID", help="Exit with 1 while any object has a data key of this KMS key.")
@click.option(
    "--versions/--no-versions", default=None, help="Whether old versions count; with --deny-deletion-of they do."
)
@click.option("--workers", default=16, show_default=True, type=click.IntRange(1, 256), help="Objects at a time.")
@click.option("--report", "report_file", metavar="FILE", type=_FILE, help="Write a line of JSON for every object.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(
    *,
    location: str,
    connection: Connection,
    named: Sequence[str],
    regions: Sequence[str],
    deny_deletion_of: str | None,
    versions: bool | None,
    workers: int,
    report_file: Path | None,
    as_json: bool,
) -> int:
    """Count the objects under a prefix by the keys that open them.

    Run it before a key is disabled or deleted. It reads metadata and no bodies, and needs no key. Objects show hints of
    keys: a name is shown for those that are named with --key or --deny-deletion-of, or found with --search-region. A
    multi-Region key counts as one key, whichever of its Regions is named.
    """
    wanted = parse_s3(location)
    # INVARIANT: no key is let go while versions that nobody looked at may need it.
    with_versions = deny_deletion_of is not None if versions is None else versions
    names = named_keys(connection, [*named, *filter(None, [deny_deletion_of])])
    denied = None if deny_deletion_of is None else hint_of(resolved(connection, deny_deletion_of)[0])
    search_keys(connection, regions, names)
    counts = _Counts()
    with ExitStack() as stack:
        client = stack.enter_context(closing(connection.s3(connection.session(), max_pool_connections=workers)))
        lines = None if report_file is None else stack.enter_context(report_file.open("w", encoding="utf-8"))
        for seen in seen_objects(client, wanted, workers, versions=with_versions):
            counts.add(seen, denied)
            if lines is not None:
                lines.write(json.dumps(_line(seen, names)) + "\n")
    rows = _rows(counts, names)
    if as_json:
        click.echo(json.dumps({"keys": rows, "not_encrypted": counts.plain, "not_understood": counts.unknown}))
    else:
        _show(rows, counts, with_versions=with_versions)
    is_denied = denied is not None and counts.objects[denied] + counts.old[denied] > 0
    return _STILL_NEEDED if is_denied or counts.unknown else 0


@keys.command()
@click.argument("location", metavar="s3://BUCKET[/PREFIX]")
@connection_options(kms=False)
@click.option("--versions", is_flag=True, help="Also those of old versions.")
@click.option("--workers", default=16, show_default=True, type=click.IntRange(1, 256), help="Objects at a time.")
@click.option("--json", "as_json", is_flag=True, help="Errors as JSON too; what is printed is always JSON.")
def export(*, location: str, connection: Connection, versions: bool, workers: int, as_json: bool) -> None:
    """Print the envelope of every object under a prefix, a line of JSON each.

    With such a line, `s3envelope decrypt` opens a body that has left S3. It holds no secret: metadata only.
    """
    wanted = parse_s3(location)
    with closing(connection.s3(connection.session(), max_pool_connections=workers)) as client:
        for seen in seen_objects(client, wanted, workers, versions=versions):
            if seen.envelope is None:
                continue
            line = {
                "bucket": seen.location.bucket,
                "key": seen.location.key,
                "version_id": seen.answer.get("VersionId"),
                "etag": seen.answer["ETag"],
                "size": seen.answer["ContentLength"],
                "metadata": seen.envelope.to_metadata(),
            }
            click.echo(json.dumps(line))


def _line(seen: SeenObject, names: KeyNames) -> dict[str, Any]:
    hints = seen.hints
    return {
        "bucket": seen.location.bucket,
        "key": seen.location.key,
        "version_id": seen.location.version_id,
        "key_hints": hints,
        "keys": sorted({name.key for hint in hints for name in names.get(hint, [])}),
        "understood": seen.is_understood,
    }


def _rows(counts: _Counts, names: KeyNames) -> list[dict[str, Any]]:
    rows = []
    for hint, total in (counts.objects + counts.old).most_common():
        known = names.get(hint, [])
        rows.append(
            {
                "hint": hint,
                "key": ", ".join(name.key for name in known) or None,
                "region": ", ".join(dict.fromkeys(filter(None, (name.region for name in known)))) or None,
                "objects": counts.objects[hint],
                "old_versions": total - counts.objects[hint],
                "no_other_key": counts.lost[hint],
            }
        )
    return rows


def _show(rows: Sequence[dict[str, Any]], counts: _Counts, *, with_versions: bool) -> None:
    table = Table()
    titles = {
        "key": "key",
        "region": "region",
        "objects": "objects",
        **({"old_versions": "old versions"} if with_versions else {}),
        "no_other_key": "with no other key",
    }
    for name, title in titles.items():
        table.add_column(title, justify="left" if name in ("key", "region") else "right", overflow="fold")
    for row in rows:
        shown = {**row, "key": plain(row["key"] or f"hint {row['hint']}"), "region": row["region"] or ""}
        table.add_row(*(shown[name] if name == "key" else str(shown[name]) for name in titles))
    console = stdout()
    console.print(table)
    for url in counts.shown:
        console.print(plain(f"lost with the key: {url}"), soft_wrap=True)
    console.print(f"{counts.plain} without envelope, {counts.unknown} not understood", highlight=False)
    if not with_versions:
        console.print("old versions were not counted; --versions counts them", highlight=False)
