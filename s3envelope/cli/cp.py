"""`s3envelope cp`: files, streams and objects, sealed on the way up and verified on the way down."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

import click
from rich.console import Console

from s3envelope.cli.filters import FilteringCommand, Filters, filter_options
from s3envelope.cli.locations import STREAM, S3Location, is_s3, parse_object
from s3envelope.cli.output import progress
from s3envelope.cli.stdin import interruptible
from s3envelope.cli.transferring.planning import check_pair, one_job, one_place, tree_jobs, trees, upload_place
from s3envelope.cli.transferring.running import Run, Settings, connected, transfer_options

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PIECE_SIZE = 1 << 20


@click.command(cls=FilteringCommand)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--recursive", is_flag=True, help="Copy every file below SRC to the same path below DST.")
@filter_options
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with uploads that were interrupted, keep those that are interrupted now, and skip files whose copy "
    "has their size and is not older.",
)
@click.option("--content-type", metavar="TYPE", help="Content type of the new objects of an upload.")
@transfer_options
def cp(
    *,
    source: str,
    target: str,
    recursive: bool,
    filters: Filters,
    resume: bool,
    content_type: str | None,
    settings: Settings,
) -> int:
    """Copy SRC to DST: files, s3://BUCKET/KEY, or - for stdin and stdout; at least one of them is in S3.

    What goes up is encrypted here, what comes down is verified here, what goes from S3 to S3 stays there. A DST that is
    a folder, or ends in a slash, gets the name of SRC. A download to a file leaves nothing when it fails; one to stdout
    writes verified bytes only, and the exit code tells whether they were all. With --recursive a file that fails does
    not stop the others; the exit code is then 1.

    Ctrl-C leaves nothing half done: uploads are aborted, partial files removed. With --resume the uploads of files that
    are sent in parts (8 MiB and more) are kept instead: the same command goes on with them, unless the file has
    changed, and `s3envelope uploads` lists and aborts them. A file of 64 MiB and more can also go on if the process
    was killed without --resume.
    """
    check_pair(source, target)
    if content_type is not None and is_s3(source):
        raise click.UsageError("--content-type is for uploads")
    headers = {"ContentType": content_type} if content_type else {}
    if STREAM in (source, target) and not recursive:
        if resume or settings.dry_run:
            raise click.UsageError("--resume and --dry-run are not for streams")
        return _stream(source, target, settings, headers)
    if recursive:
        with connected(settings) as run:
            from_tree, to_tree = trees(run.client, source, target)
            jobs = tree_jobs(from_tree, to_tree, filters)
            return run.jobs(jobs, str(to_tree.root), resume=resume, headers=headers)
    if filters.patterns:
        raise click.UsageError("--include and --exclude need --recursive")
    places = one_place(source, target)
    with connected(settings) as run:
        return run.one(one_job(run.client, *places), resume=resume, headers=headers)


def _stream(source: str, target: str, settings: Settings, headers: dict[str, str]) -> int:
    if source == STREAM:
        place = upload_place(source, target)
        with connected(settings) as run, interruptible(sys.stdin.buffer) as stream:
            return run.stream(stream, place, headers=headers)
    wanted = parse_object(source)
    if settings.as_json:
        raise click.UsageError("--json writes to stdout, and so does a DST of -")
    with connected(settings) as run:
        _print(run, wanted, sys.stdout.buffer)
    return 0


def _print(run: Run, source: S3Location, stream: BinaryIO) -> None:
    """Write the verified bytes of an object to a stream, up to its end or an error."""
    client: S3Client = run.client
    answer = client.get_object(Bucket=source.bucket, Key=source.key)
    shown = not run.settings.no_progress and sys.stderr.isatty()
    bar = progress(Console(stderr=True), str(source), answer["ContentLength"], shown=shown)
    with closing(answer["Body"]) as body, bar as advance:
        for piece in body.iter_chunks(_PIECE_SIZE):
            stream.write(piece)
            advance(len(piece))
    stream.flush()
