"""`s3envelope audit report` and `join`: what a log says, and what CloudTrail says of the same requests."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from s3envelope.audit.chain import Entry, LogSource
from s3envelope.audit.cloudtrail import CloudTrailEvent, Joined, read_events
from s3envelope.audit.cloudtrail import join as join_logs
from s3envelope.audit.names import NameHasher
from s3envelope.audit.report import Group, Row, Selection, object_name, summarise, texts
from s3envelope.audit.verify import verify
from s3envelope.cli.audit_files import files_argument, opened
from s3envelope.cli.locations import parse_s3
from s3envelope.cli.output import complain, plain, stdout

_FOUND = 1
_EVENT_COLUMNS = (
    "time",
    "operation",
    "outcome",
    "source",
    "actor",
    "object",
    "version_id",
    "keys",
    "error",
    "kms_requests",
    "s3_requests",
    "number",
)
# A table has room for these.
_NARROW_COLUMNS = ("number", "time", "operation", "outcome", "actor", "object")
_ROW_COLUMNS = ("name", "events", "begun", "success", "refused", "failed", "first", "last")
_NUMBERS = frozenset({"events", "begun", "success", "refused", "failed", "number"})
_CSV_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class _Reading:
    """Records of a log, and how much was wrong with it."""

    def __init__(self, sources: Iterator[tuple[str, LogSource]], selection: Selection) -> None:
        self._sources = sources
        self._selection = selection
        self.finding_count = 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for item in verify(self._sources, partial=True):
            if not isinstance(item, Entry):
                self.finding_count += 1
            elif self._selection.takes(item.content):
                yield item.content

    def complain(self) -> int:
        """Say that the log is not whole, and return the exit code."""
        if self.finding_count:
            complain(f"the log is not whole: {self.finding_count} findings; see s3envelope audit verify")
        return _FOUND if self.finding_count else 0


@click.command()
@files_argument
@click.option("--since", metavar="TIME", help="First time, 2027-01-31 or 2027-01-31T12:00:00Z for example.")
@click.option("--until", metavar="TIME", help="First time that is left out.")
@click.option("--actor", metavar="ARN", help="Who called.")
@click.option("--key-arn", metavar="ARN", help="Wrapping key.")
@click.option("--object", "location", metavar="s3://BUCKET[/KEY]", help="Object, or all of a bucket.")
@click.option("--names-key", type=click.Path(path_type=Path), metavar="FILE", help="Key of hidden names of objects.")
@click.option("--operation", "operations", multiple=True, metavar="NAME", help="Operation; repeatable.")
@click.option("--outcome", "outcomes", multiple=True, type=click.Choice(["begun", "success", "refused", "failed"]))
@click.option(
    "--by",
    type=click.Choice(["actor", "key", "object", "operation", "day", "host"]),
    help="Count in groups, in the place of showing each record.",
)
@click.option("--format", "shape", type=click.Choice(["table", "csv", "json"]), help="By default table.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each; the same as --format json.")
def report(
    *,
    files: Sequence[Path],
    since: str | None,
    until: str | None,
    actor: str | None,
    key_arn: str | None,
    location: str | None,
    names_key: Path | None,
    operations: Sequence[str],
    outcomes: Sequence[str],
    by: Group | None,
    shape: str | None,
    as_json: bool,
) -> int:
    """Show the records of a log, or count them.

    The chain is looked at on the way; exit code 1: the log is not whole.
    """
    if as_json and shape not in (None, "json"):
        raise click.UsageError(f"--json and --format {shape} exclude each other")
    chosen = "json" if as_json else shape or "table"
    bucket, key, key_hash = _object(location, names_key)
    selection = Selection(
        since=since,
        until=until,
        actor=actor,
        key_arn=key_arn,
        bucket=bucket,
        key=key,
        key_hash=key_hash,
        operations=frozenset(operations),
        outcomes=frozenset(outcomes),
    )
    with opened(files) as sources:
        reading = _Reading(sources, selection)
        if by is None:
            columns = _NARROW_COLUMNS if chosen == "table" else _EVENT_COLUMNS
            _print(chosen, columns, map(_event_cells, reading))
        else:
            _print(chosen, _ROW_COLUMNS, map(_row_cells, summarise(reading, by)))
    return reading.complain()


@click.command()
@files_argument
@click.option(
    "--cloudtrail",
    "exports",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Exported events: a log file, compressed or not, an answer of lookup-events, or lines of JSON; repeatable.",
)
@click.option("--since", metavar="TIME", help="First time of our records.")
@click.option("--until", metavar="TIME", help="First time of our records that is left out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def join(*, files: Sequence[Path], exports: Sequence[Path], since: str | None, until: str | None, as_json: bool) -> int:
    """Match the records of a log with events of CloudTrail, and list what one has and the other has not.

    Exit code 1: CloudTrail knows uses of keys or objects that the log does not, or the log is not whole.
    """
    with opened(files) as sources:
        reading = _Reading(sources, Selection(since=since, until=until))
        joined = join_logs(reading, _events(exports))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(joined)))
    else:
        _show_joined(joined)
    return max(reading.complain(), _FOUND if joined.only_theirs else 0)


def _object(location: str | None, names_key: Path | None) -> tuple[str | None, str | None, str | None]:
    """Return (bucket, key, hash of the key) that are looked for."""
    if location is None:
        return None, None, None
    where = parse_s3(location)
    if not where.key:
        return where.bucket, None, None
    if names_key is None:
        return where.bucket, where.key, None
    return where.bucket, where.key, NameHasher.from_file(names_key, create=False).hash(where.bucket, where.key)


def _events(exports: Sequence[Path]) -> Iterator[CloudTrailEvent]:
    for path in exports:
        with path.open("rb") as file:
            yield from read_events(str(path), file)


def _event_cells(record: Mapping[str, Any]) -> dict[str, object]:
    plain_names = ("time", "operation", "outcome", "source", "actor", "version_id", "error")
    return {
        **{name: record.get(name, "") for name in plain_names},
        "object": object_name(record),
        "keys": " ".join(texts(record, "key_arns")),
        "kms_requests": " ".join(texts(record, "kms_request_ids")),
        "s3_requests": " ".join(texts(record, "s3_request_ids")),
        "number": record.get("sequence", ""),
    }


def _row_cells(row: Row) -> dict[str, object]:
    return {"name": row.name, "events": row.events, "first": row.first, "last": row.last, **row.counts}


def _print(shape: str, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    if shape == "json":
        for row in rows:
            click.echo(json.dumps(row))
    elif shape == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(name, "")) for name in columns])
    else:
        table = Table()
        for name in columns:
            table.add_column(name, overflow="fold", justify="right" if name in _NUMBERS else "left")
        for row in rows:
            table.add_row(*(plain(row.get(name, "")) for name in columns))
        stdout().print(table)


def _cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: names of objects are a stranger's choice."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_CSV_FORMULAS) else value


def _show_joined(joined: Joined) -> None:
    console = stdout()
    for event in joined.only_theirs:
        line = f"only in CloudTrail: {event.time} {event.operation} {event.request_id} {event.actor}"
        console.print(plain(line), soft_wrap=True)
    for request_id, time in joined.only_ours.items():
        console.print(plain(f"only in the log: {time} {request_id}"), soft_wrap=True)
    console.print(
        f"{joined.matched} requests in both, {len(joined.only_theirs)} in CloudTrail only, {len(joined.only_ours)} in "
        f"the log only; {joined.without_id} uses of the key service in the log have no request id",
        highlight=False,
        soft_wrap=True,
    )
