"""`s3envelope mv`: as `cp`, and the source is deleted when its replacement has been read."""

from __future__ import annotations

import click

from s3envelope.cli.filters import FilteringCommand, Filters, filter_options
from s3envelope.cli.locations import STREAM
from s3envelope.cli.transferring.planning import one_job, one_place, tree_jobs, trees
from s3envelope.cli.transferring.running import Settings, connected, transfer_options


@click.command(cls=FilteringCommand)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--recursive", is_flag=True, help="Move every file below SRC to the same path below DST.")
@filter_options
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with uploads that were interrupted, and keep those that are interrupted now; a file whose copy has its "
    "size and is not older is compared before it is sent again.",
)
@transfer_options
def mv(*, source: str, target: str, recursive: bool, filters: Filters, resume: bool, settings: Settings) -> int:
    """Move SRC to DST: files or s3://BUCKET/KEY, at least one of them in S3.

    Each file is copied, as by cp; then what was written to S3 is read back whole, verified, and compared with a local
    source. Only if the source is then still what was copied, it is deleted. Whatever goes wrong, or is interrupted, the
    source stays. --resume is that of cp.
    """
    if STREAM in (source, target):
        raise click.UsageError("a stream cannot be moved; use cp")
    if recursive:
        with connected(settings, moves=True) as run:
            from_tree, to_tree = trees(run.client, source, target)
            return run.jobs(tree_jobs(from_tree, to_tree, filters), str(to_tree.root), resume=resume)
    if filters.patterns:
        raise click.UsageError("--include and --exclude need --recursive")
    places = one_place(source, target)
    with connected(settings, moves=True) as run:
        return run.one(one_job(run.client, *places), resume=resume)
