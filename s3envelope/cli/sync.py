"""`s3envelope sync`: one way, what is missing or differs is transferred."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from s3envelope.cli.filters import FilteringCommand, Filters, filter_options
from s3envelope.cli.output import complain
from s3envelope.cli.transferring.comparing import How, is_up_to_date
from s3envelope.cli.transferring.items import Folder, Item, Problem, Tree
from s3envelope.cli.transferring.outcomes import Job, Outcome
from s3envelope.cli.transferring.planning import admitted, item_job, problem_outcome, trees
from s3envelope.cli.transferring.running import Settings, connected, transfer_options
from s3envelope.s3.shared_transfers import PARTIAL_SUFFIX

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@click.command(cls=FilteringCommand)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@filter_options
@click.option("--delete", "deletes", is_flag=True, help="Delete what is in DST and not in SRC; never what is excluded.")
@click.option("--size-only", is_flag=True, help="Compare sizes and nothing else.")
@click.option(
    "--checksum",
    is_flag=True,
    help="Compare contents instead of times. No checksum of the plaintext is stored anywhere, so objects of equal "
    "size are read and verified whole.",
)
@click.option("--resume", is_flag=True, help="As with cp: go on with interrupted uploads, and keep them.")
@transfer_options
def sync(
    *,
    source: str,
    target: str,
    filters: Filters,
    deletes: bool,
    size_only: bool,
    checksum: bool,
    resume: bool,
    settings: Settings,
) -> int:
    """Make the files below DST those below SRC: folders or s3://BUCKET/PREFIX, at least one of them in S3.

    A file is transferred if it is missing in DST, has another size there (that of the plaintext), or is newer in SRC,
    in whole seconds. Downloaded files get the time of their object, so a second run transfers nothing.
    """
    if size_only and checksum:
        raise click.UsageError("--size-only and --checksum exclude each other")
    how: How = "size" if size_only else "content" if checksum else "time"
    with connected(settings) as run:
        from_tree, to_tree = trees(run.client, source, target)
        plan = _Plan(run.client, from_tree, to_tree, filters, how)
        then = (lambda _: plan.deletions()) if deletes else None
        return run.jobs(plan.transfers(), str(to_tree.root), resume=resume, then=then)


class _Plan:
    """What a run transfers, and then deletes."""

    def __init__(self, client: S3Client, source: Tree, target: Tree, filters: Filters, how: How) -> None:
        self._client, self._source, self._target, self._filters, self._how = client, source, target, filters, how
        self._others: dict[str, Item] = {}
        self._source_is_whole = True

    def transfers(self) -> Iterator[Job | Outcome]:
        """Yield a job for every file of the source."""
        if not isinstance(self._target, Folder) or self._target.root.exists():
            items = admitted(self._target, self._filters)
            self._others = {item.name: item for item in items if isinstance(item, Item) and not self._is_partial(item)}
        for item in admitted(self._source, self._filters):
            if isinstance(item, Problem):
                self._source_is_whole &= not item.is_failure
                yield problem_outcome(self._source, self._target, item)
            else:
                yield self._job(item)

    def _is_partial(self, item: Item) -> bool:
        # A download of another process may be at it.
        return isinstance(self._target, Folder) and item.name.endswith(PARTIAL_SUFFIX)

    def _job(self, item: Item) -> Job | Outcome:
        job = item_job(item, self._target)
        other = self._others.pop(item.name, None)
        if other is None or isinstance(job, Outcome):
            return job
        return dataclasses.replace(job, is_needed=functools.partial(self._differs, item, other))

    def _differs(self, item: Item, other: Item) -> bool:
        return not is_up_to_date(self._client, item, other, self._how)

    def deletions(self) -> Iterator[Job | Outcome]:
        """Yield a job for everything that only the target has."""
        if not self._source_is_whole:
            complain("nothing is deleted: not all of SRC could be read")
            return
        for item in self._others.values():
            yield Job("delete", None, item.place, item.size)
