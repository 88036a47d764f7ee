"""`s3envelope rotate`: other keys for every object under a prefix, without moving a body."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from s3envelope.cli.locations import parse_object, parse_s3
from s3envelope.cli.options import Connection, connection_options, read_context
from s3envelope.cli.reports import Report, counting
from s3envelope.rotation.inventory import inventory_locations
from s3envelope.rotation.plan import Action
from s3envelope.rotation.run import RESULTS, list_locations, list_versions
from s3envelope.rotation.run import rotate as run_rotation
from s3envelope.rotation.spec import RotationSpec, forget_clients, open_once, rotate_one

_LEFT = 1
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("location", metavar="s3://BUCKET[/PREFIX]")
@connection_options()
@click.option("--from-key", "from_keys", multiple=True, metavar="ID", help="KMS key to replace.")
@click.option(
    "--from-raw-key-file", "from_files", multiple=True, metavar="FILE", type=_FILE, help="Raw key to replace."
)
@click.option("--to-key", "to_keys", multiple=True, metavar="ID", help="KMS key to wrap with; up to four.")
@click.option("--to-raw-key-file", "to_files", multiple=True, metavar="FILE", type=_FILE, help="Raw key to wrap with.")
@click.option(
    "--context", metavar="NAME=VALUE", multiple=True, callback=read_context, help="Entry that each context is to have."
)
@click.option("--bind", is_flag=True, help="Bind objects that are not bound, whoever put them there.")
@click.option("--edk-only", is_flag=True, help="Let KMS re-encrypt the data keys; needs kms:ReEncrypt* and no Decrypt.")
@click.option("--reencrypt", is_flag=True, help="Write objects of the Amazon S3 Encryption Clients anew.")
@click.option("--versions", is_flag=True, help="Also look at old versions, which cannot be changed.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--workers", default=16, show_default=True, type=click.IntRange(1, 256), help="Objects at a time.")
@click.option("--inventory", metavar="s3://BUCKET/.../manifest.json", help="Take the objects from an S3 Inventory.")
@click.option("--dask", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler, tcp://HOST:PORT.")
@click.option("--report", "report_file", metavar="FILE", type=_FILE, help="Write a line of JSON for every object.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def rotate(
    *,
    location: str,
    connection: Connection,
    from_keys: Sequence[str],
    from_files: Sequence[Path],
    to_keys: Sequence[str],
    to_files: Sequence[Path],
    context: dict[str, str] | None,
    bind: bool,
    edk_only: bool,
    reencrypt: bool,
    versions: bool,
    dry_run: bool,
    workers: int,
    inventory: str | None,
    dask: str | None,
    report_file: Path | None,
    as_json: bool,
) -> int:
    """Give every object under a prefix an envelope of the keys named with --to-key.

    Bodies stay where they are. What is done is read from the objects: a run that was interrupted is simply begun
    again. Exit code 0 only if nothing is left. Old versions of objects keep their keys: with --versions each that still
    needs a key to replace is reported and counts as left, for it would be lost with that key.
    """
    wanted = parse_s3(location)
    spec = RotationSpec(
        to_keys=tuple(to_keys),
        to_files=tuple(map(str, to_files)),
        from_keys=tuple(from_keys),
        from_files=tuple(map(str, from_files)),
        context=tuple((context or {}).items()),
        bind=bind,
        edk_only=edk_only,
        dry_run=dry_run,
        versions=versions,
        reencrypt=reencrypt,
        workers=workers,
        **dataclasses.asdict(connection),
    )
    with ExitStack() as stack:
        client, _ = open_once(spec)
        stack.callback(forget_clients)
        lines = None if report_file is None else stack.enter_context(report_file.open("a", encoding="utf-8"))
        report = Report(lines)
        executor = stack.enter_context(_executor(dask, workers))
        listing = functools.partial(list_versions if versions else list_locations, client, wanted.bucket, wanted.key)
        locations = listing()
        if inventory is not None:
            manifest, plain_client = parse_object(inventory), connection.s3(connection.session())
            stack.callback(plain_client.close)
            locations = inventory_locations(
                plain_client,
                manifest.bucket,
                manifest.key,
                source=wanted.bucket,
                prefix=wanted.key,
                versions=versions,
            )
        with counting("rotating", listing if inventory is None else None) as advance:
            for outcome in run_rotation(locations, functools.partial(rotate_one, spec), executor, workers):
                report.add(outcome)
                advance()
    report.show(RESULTS, [action.value for action in Action], as_json=as_json)
    return _LEFT if report.left_count else 0


@contextmanager
def _executor(dask: str | None, workers: int) -> Iterator[Executor]:
    """Yield what runs the work: threads of this process, or the workers of a Dask cluster."""
    if dask is None:
        with ThreadPoolExecutor(workers) as executor:
            yield executor
        return
    try:
        from distributed import Client  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise click.UsageError("--dask needs the extra [dask]: pip install 's3envelope[dask]'") from None
    with Client(dask) as cluster, cluster.get_executor(pure=False) as executor:
        yield executor
