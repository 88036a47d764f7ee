"""`s3envelope uploads`: uploads of files that were interrupted, to go on with or to abort."""

from __future__ import annotations

import json
import os
from contextlib import closing

import click

from s3envelope.cli.locations import parse_s3
from s3envelope.cli.options import Connection, connection_options
from s3envelope.cli.output import complain, printable, size
from s3envelope.cli.transferring.records import Record, Records
from s3envelope.cli.transferring.resumable import abort as abort_upload
from s3envelope.stores.upload_states import DirectoryUploadStates, default_state_dir


@click.group()
def uploads() -> None:
    """Uploads of cp, mv and sync that were interrupted and can go on."""


@uploads.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
def list_(*, as_json: bool) -> None:
    """Show them: the file, where it goes, and the upload id of S3."""
    with _records().all() as entries:
        for entry in entries:
            record = entry.read()
            if record is None:
                continue
            wanted, source_size = record.wanted, record.wanted.fingerprint[2]
            if as_json:
                document = {
                    "source": wanted.source,
                    "target": str(wanted.target),
                    "bytes": source_size,
                    "endpoint_url": wanted.endpoint_url,
                    "upload_id": record.upload_id,
                }
                click.echo(json.dumps(document))
            else:
                click.echo(printable(f"{wanted.source} to {wanted.target}, {size(source_size)}: {record.upload_id}"))


@uploads.command()
@click.argument("location", metavar="s3://BUCKET[/PREFIX]")
@connection_options(kms=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def abort(*, location: str, connection: Connection, as_json: bool) -> int:
    """Abort those whose target begins with this location; S3 frees what it keeps of them. No key is needed."""
    wanted = parse_s3(location)
    count = 0
    with closing(connection.s3(connection.session())) as client, _records().all() as entries:
        for entry in entries:
            record = entry.read()
            if record is None or record.wanted.bucket != wanted.bucket:
                continue
            if not record.wanted.key.startswith(wanted.key):
                continue
            if record.wanted.endpoint_url != client.meta.endpoint_url:
                complain(f"{record.wanted.target} is left: it is on {record.wanted.endpoint_url}; name that server")
                continue
            abort_upload(client, record)
            _forget(record)
            entry.clear()
            count += 1
    click.echo(json.dumps({"aborted": count}) if as_json else f"{count} aborted")
    return 0


def _state_dir() -> str | os.PathLike[str]:
    return os.environ.get("S3ENVELOPE_STATE_DIR") or default_state_dir()


def _records() -> Records:
    return Records(_state_dir())


def _forget(record: Record) -> None:
    """Remove what the library keeps of an upload; a client with a key would do that itself."""
    wanted = record.wanted
    name = (wanted.endpoint_url, wanted.bucket, wanted.key, record.upload_id)
    with DirectoryUploadStates(_state_dir()).locked(name) as state:
        state.delete()
