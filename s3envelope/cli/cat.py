"""`s3envelope cat`: the verified bytes of objects, to stdout."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import click

from s3envelope.cli.enveloped import enveloped_client, read_formats_option
from s3envelope.cli.locations import S3Location, parse_object
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options, read_context
from s3envelope.core.segments import SEGMENT_SIZE

_RANGE = re.compile(r"\d+-\d*|-\d+", re.ASCII)


def _read_range(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    first, _sign, last = value.partition("-")
    if not _RANGE.fullmatch(value) or (first and last and int(last) < int(first)):
        raise click.BadParameter(f"{value!r} is no range; use A-B, A- or -N", param=option)
    return f"bytes={value}"


@click.command()
@click.argument("locations", nargs=-1, required=True, metavar="s3://BUCKET/KEY...")
@connection_options()
@key_options
@read_formats_option
@click.option("--context", metavar="NAME=VALUE", multiple=True, callback=read_context, help="Demand this entry.")
@click.option(
    "--range", "byte_range", metavar="A-B", callback=_read_range, help="Only these bytes, of each: A-B, A- or -N."
)
@click.option("--version-id", metavar="ID", help="Version of the object, if there is one object only.")
def cat(
    *,
    locations: Sequence[str],
    connection: Connection,
    key_choice: KeyChoice,
    read_formats: tuple[str, ...] | None,
    context: dict[str, str] | None,
    byte_range: str | None,
    version_id: str | None,
) -> None:
    """Write the bytes of objects to stdout, one after the other.

    What is written is verified; the exit code tells whether it was all. The first error ends it: nothing is
    left out in the middle. A range counts bytes of the plaintext from 0, and B is the last one.
    """
    if version_id is not None and len(locations) != 1:
        raise click.UsageError("--version-id is for one object")
    wanted = [parse_object(location) for location in locations]
    extra = {"Range": byte_range, "VersionId": version_id}
    parameters = {name: value for name, value in extra.items() if value is not None}
    with enveloped_client(connection, key_choice, context=context, read_formats=read_formats) as client:
        for where in wanted:
            _write(client, where, parameters)


def _write(client: Any, where: S3Location, parameters: dict[str, Any]) -> None:
    stream = sys.stdout.buffer
    try:
        with closing(client.get_object(Bucket=where.bucket, Key=where.key, **parameters)["Body"]) as body:
            # A larger piece would be lost whole with its last segment.
            for piece in body.iter_chunks(SEGMENT_SIZE):
                stream.write(piece)
    finally:
        # What was verified before an error is out when the error is told.
        stream.flush()
