"""`s3envelope rm`: deletes objects. It needs no key."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from s3envelope.cli.filters import FilteringCommand, Filters, filter_options
from s3envelope.cli.locations import S3Location, parse_s3
from s3envelope.cli.options import Connection, connection_options
from s3envelope.cli.output import complain, printable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LEFT = 1
# As many as one DeleteObjects takes.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class _Removed:
    """What became of one object.

    Args:
        result: "deleted", "planned" (a dry run) or "failed".
        error: The code of S3, or "".
        reason: In S3's words.
    """

    bucket: str
    key: str
    version_id: str | None
    result: str
    error: str = ""
    reason: str = ""

    def __str__(self) -> str:
        version = "" if self.version_id is None else f"?versionId={self.version_id}"
        verb = {"deleted": "delete", "planned": "(dry run) delete", "failed": "failed"}[self.result]
        why = f": {self.reason} ({self.error})" if self.error else ""
        return printable(f"{verb}: s3://{self.bucket}/{self.key}{version}{why}")


@click.command(cls=FilteringCommand)
@click.argument("location", metavar="s3://BUCKET/KEY")
@connection_options(kms=False)
@click.option("--recursive", is_flag=True, help="All objects under the prefix.")
@filter_options
@click.option("--version-id", metavar="ID", help="Delete this version for good.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before --recursive deletes.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each object.")
def rm(
    *,
    location: str,
    connection: Connection,
    recursive: bool,
    filters: Filters,
    version_id: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Delete an object, or with --recursive all under a prefix.

    Where versions are kept, an object gets a delete marker, and its versions stay. --include and --exclude take
    patterns of what comes after the prefix, and the last one that matches decides; if the first one is an --include,
    nothing else is deleted. Before --recursive deletes it asks, if somebody sits at a terminal; elsewhere, as in a
    script, it does not. Exit code 1: something was not deleted.
    """
    where = parse_s3(location)
    if not recursive and not where.key:
        raise click.UsageError(f"{location!r} names a bucket; name an object, or give --recursive")
    if not recursive and filters.patterns:
        raise click.UsageError("--include and --exclude need --recursive")
    if recursive and version_id is not None:
        raise click.UsageError("--version-id and --recursive exclude each other")
    with closing(connection.s3(connection.session())) as client:
        if recursive:
            if not (yes or dry_run) and sys.stdin.isatty():
                what = "what the filters leave of " if filters.patterns else "all of "
                click.confirm(f"Delete {what}{where}?", abort=True, err=True)
            wanted = _under(client, where, dataclasses.replace(filters, are_strict=True))
        else:
            wanted = iter([(where.key, version_id)])
        is_left = False
        for one in _removed(client, where.bucket, wanted, dry_run=dry_run):
            is_left |= one.result == "failed"
            _tell(one, as_json=as_json)
    return _LEFT if is_left else 0


def _tell(one: _Removed, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(one)))
    elif one.result == "failed":
        complain(str(one))
    else:
        click.echo(str(one))


def _under(client: S3Client, where: S3Location, filters: Filters) -> Iterator[tuple[str, str | None]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=where.bucket, Prefix=where.key):
        for entry in page.get("Contents", ()):
            if filters.admit(_relative(entry["Key"], where.key)):
                yield entry["Key"], None


def _relative(key: str, prefix: str) -> str:
    """Return what a pattern is compared with: the key below the folder of the prefix."""
    return key[prefix.rfind("/") + 1 :]


def _removed(
    client: S3Client, bucket: str, wanted: Iterator[tuple[str, str | None]], *, dry_run: bool
) -> Iterator[_Removed]:
    while batch := list(islice(wanted, _BATCH)):
        if dry_run:
            yield from (_Removed(bucket, key, version, "planned") for key, version in batch)
            continue
        named: list[Any] = [
            {"Key": key, **({} if version is None else {"VersionId": version})} for key, version in batch
        ]
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})
        failed = {(one.get("Key"), one.get("VersionId")): one for one in answer.get("Errors", ())}
        for key, version in batch:
            error = failed.get((key, version)) or failed.get((key, None))
            if error is None:
                yield _Removed(bucket, key, version, "deleted")
            else:
                code, message = error.get("Code") or "unknown", error.get("Message") or "not deleted"
                yield _Removed(bucket, key, version, "failed", code, message)
