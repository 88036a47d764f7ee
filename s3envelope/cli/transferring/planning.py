"""From SRC and DST on the command line to jobs: which file or object goes where."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from s3envelope.cli.filters import Filters
from s3envelope.cli.locations import STREAM, S3Location, is_s3, parse_object, parse_s3
from s3envelope.cli.transferring.items import Folder, Item, Place, Prefix, Problem, Tree, file_item, object_item
from s3envelope.cli.transferring.outcomes import Action, Job, Outcome, Result

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SEPARATORS = tuple(separator for separator in (os.sep, os.altsep) if separator)


def parse_place(text: str) -> Place:
    """Read a file or folder, or a location in S3.

    Raises:
        click.UsageError: It looks like a location in S3 and is none.
    """
    return parse_s3(text) if is_s3(text) else Path(text)


def check_pair(source: str, target: str) -> None:
    """Refuse a SRC and a DST that are both local.

    Raises:
        click.UsageError: They are.
    """
    if not is_s3(source) and not is_s3(target):
        raise click.UsageError("neither SRC nor DST is in S3; write one of them as s3://BUCKET/KEY")


def action_of(source: Place, target: Place) -> Action:
    """Return what a transfer is called."""
    if isinstance(source, Path):
        return "upload"
    return "download" if isinstance(target, Path) else "copy"


def upload_place(source: str, target: str) -> S3Location:
    """Return the object that one upload makes.

    Raises:
        click.UsageError: It would have no name.
    """
    place = parse_s3(target)
    if not place.is_folder:
        return place
    if source == STREAM:
        raise click.UsageError(f"{target!r} is a folder, and stdin has no name; write the whole key")
    name = Path(source).name
    if not name:
        raise click.UsageError(f"{source!r} has no name to append to {target!r}; write the whole key")
    return S3Location(place.bucket, place.key + name)


def download_path(source: S3Location, target: str) -> Path:
    """Return the file that one download makes.

    Raises:
        click.UsageError: The target is a folder, and the key does not end in the name of a file.
    """
    if not (target.endswith(_SEPARATORS) or os.path.isdir(target)):
        return Path(target)
    name = source.key.rpartition("/")[2]
    try:
        return Folder(Path(target)).place(name)
    except ValueError:
        raise click.UsageError(f"the key of {source} does not end in the name of a file; name the file") from None


def copy_place(source: S3Location, target: str) -> S3Location:
    """Return the object that one copy within S3 makes.

    Raises:
        click.UsageError: It would have no name, or be its own source.
    """
    place = parse_s3(target)
    if place.is_folder:
        name = source.key.rpartition("/")[2]
        if not name:
            raise click.UsageError(f"{str(source)!r} has no name to append to {target!r}; write the whole key")
        place = S3Location(place.bucket, place.key + name)
    if place == source:
        raise click.UsageError(f"SRC and DST are the same object, {source}")
    return place


def one_place(source: str, target: str) -> tuple[Place, Place]:
    """Return source and target of the transfer of one file.

    Raises:
        click.UsageError: One of them is not the name of a file or an object.
    """
    check_pair(source, target)
    if not is_s3(source):
        if os.path.isdir(source):
            raise click.UsageError(f"{source!r} is a folder; use --recursive")
        return Path(source), upload_place(source, target)
    wanted = parse_object(source)
    if is_s3(target):
        return wanted, copy_place(wanted, target)
    return wanted, download_path(wanted, target)


def one_job(client: S3Client, source: Place, target: Place) -> Job:
    """Return the job of one file, which is looked at."""
    item = file_item(source) if isinstance(source, Path) else object_item(client, source)
    return Job(action_of(source, target), source, target, item.size, item.seconds)


def trees(client: S3Client, source: str, target: str) -> tuple[Tree, Tree]:
    """Return what is below SRC, and where it goes below DST.

    Raises:
        click.UsageError: SRC is no folder, or DST lies within it.
    """
    check_pair(source, target)
    if STREAM in (source, target):
        raise click.UsageError("- is a stream; name a folder")
    from_tree, to_tree = _tree(client, source), _tree(client, target)
    if isinstance(from_tree, Folder) and not from_tree.root.is_dir():
        raise click.UsageError(f"{source!r} is no folder")
    if isinstance(to_tree, Folder) and to_tree.root.exists() and not to_tree.root.is_dir():
        raise click.UsageError(f"{target!r} is no folder")
    if isinstance(from_tree, Prefix) and isinstance(to_tree, Prefix):
        one, other = from_tree.root, to_tree.root
        if one.bucket == other.bucket and other.key.startswith(one.key):
            raise click.UsageError(f"{other} lies within {one}: what is copied would be copied again")
    return from_tree, to_tree


def _tree(client: S3Client, text: str) -> Tree:
    if not is_s3(text):
        return Folder(Path(text))
    place = parse_s3(text)
    return Prefix(client, place if place.is_folder else S3Location(place.bucket, f"{place.key}/"))


def tree_jobs(source: Tree, target: Tree, filters: Filters) -> Iterator[Job | Outcome]:
    """Yield a job for everything below a root, and outcomes for what cannot be transferred."""
    for item in admitted(source, filters):
        if isinstance(item, Problem):
            yield problem_outcome(source, target, item)
        else:
            yield item_job(item, target)


def admitted(tree: Tree, filters: Filters) -> Iterator[Item | Problem]:
    """Yield what the filters leave of a tree."""
    for item in tree.items():
        if isinstance(item, Problem) or filters.admit(item.name):
            yield item


def item_job(item: Item, target: Tree) -> Job | Outcome:
    """Return the job of an item; an outcome if its key would leave the target."""
    action: Action = action_of(item.place, target.root)
    try:
        place = target.place(item.name)
    except ValueError as error:
        return Outcome(action, str(item.place), None, item.size, "failed", str(error))
    return Job(action, item.place, place, item.size, item.seconds, is_below=True)


def problem_outcome(source: Tree, target: Tree, problem: Problem) -> Outcome:
    """Return the outcome of something that cannot be transferred."""
    result: Result = "failed" if problem.is_failure else "skipped"
    action = action_of(source.root, target.root)
    return Outcome(action, str(problem.place), None, 0, result, problem.reason)
