"""`s3envelope rebind`: envelopes for the present names of objects that something else has moved."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from s3envelope.cli.enveloped import enveloped_client
from s3envelope.cli.locations import S3Location, parse_s3
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options, read_context
from s3envelope.cli.output import complain
from s3envelope.cli.reports import Report, counting
from s3envelope.rotation.rebinding import RESULTS, rebind_object
from s3envelope.rotation.run import Location, Outcome, list_locations, rotate

_LEFT = 1
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("location", metavar="s3://BUCKET/KEY")
@click.option("--from", "origin", required=True, metavar="s3://BUCKET/KEY", help="What the object was written to.")
@connection_options()
@key_options
@click.option("--context", metavar="NAME=VALUE", multiple=True, callback=read_context, help="Demand this entry.")
@click.option("--dry-run", is_flag=True, help="Only prove the old names, and say what would be done.")
@click.option("--workers", default=16, show_default=True, type=click.IntRange(1, 256), help="Objects at a time.")
@click.option("--report", "report_file", metavar="FILE", type=_FILE, help="Write a line of JSON for every object.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def rebind(
    *,
    location: str,
    origin: str,
    connection: Connection,
    key_choice: KeyChoice,
    context: dict[str, str] | None,
    dry_run: bool,
    workers: int,
    report_file: Path | None,
    as_json: bool,
) -> int:
    """Bind an object to its present name that another tool has copied, moved or renamed.

    An object opens under the key that it was written to. --from says what that was; the object must prove it, or
    nothing is changed. Its body stays where it is, only the envelope is made anew, and is seen to open. Two locations
    that end in a slash, or buckets, stand for all objects under them: each must prove the key that it had under the old
    prefix, so that objects which were exchanged are found out. The bucket is no part of the binding. A run that was
    interrupted is simply begun again. Exit code 0 only if nothing is left.
    """
    where, old = parse_s3(location), parse_s3(origin)
    if where.is_folder != old.is_folder:
        raise click.UsageError("both LOCATION and --from are objects, or both are prefixes that end in a slash")
    listing, old_key = _mapping(where, old)
    with ExitStack() as stack:
        client = stack.enter_context(
            enveloped_client(
                connection, key_choice, context=context, max_pool_connections=workers, read_formats=("se1",)
            )
        )
        lines = None if report_file is None else stack.enter_context(report_file.open("a", encoding="utf-8"))
        report = Report(lines)
        executor = stack.enter_context(ThreadPoolExecutor(workers))
        work = functools.partial(_rebind, client, old_key, dry_run=dry_run)
        listed = functools.partial(listing, client)
        with counting("rebinding", listed) as advance:
            for outcome in rotate(listed(), work, executor, workers):
                report.add(outcome)
                advance()
    report.show(RESULTS, as_json=as_json)
    if not report.counts:
        complain(f"there is no object under {where}")
        return _LEFT
    return _LEFT if report.left_count else 0


def _rebind(client: Any, old_key: Callable[[str], str], where: Location, *, dry_run: bool) -> Outcome:
    return rebind_object(client, where, old_key(where.key), dry_run=dry_run)


def _mapping(where: S3Location, old: S3Location) -> tuple[Callable[[Any], Iterable[Location]], Callable[[str], str]]:
    """Return what lists the objects, and what the key of each one was."""
    if where.is_folder:

        def under(client: Any) -> Iterable[Location]:
            return list_locations(client, where.bucket, where.key)

        return under, lambda key: old.key + key[len(where.key) :]
    return lambda _: [Location(where.bucket, where.key)], lambda _: old.key
