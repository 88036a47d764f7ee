"""`s3envelope cp`: one file, stream or object, sealed on the way up and verified on the way down."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from rich.console import Console

from s3envelope.cli.locations import STREAM, S3Location, is_s3, parse_object, parse_s3
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options, read_context
from s3envelope.cli.output import Advance, progress
from s3envelope.cli.stdin import interruptible
from s3envelope.s3.config import make_config
from s3envelope.s3.install import install

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PIECE_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Bar:
    """Shows progress, where there is someone to see it."""

    is_wanted: bool

    @property
    def is_shown(self) -> bool:
        return self.is_wanted and sys.stderr.isatty()

    def over(self, title: str, total: int | None) -> AbstractContextManager[Advance]:
        """Return a bar for one transfer."""
        return progress(Console(stderr=True), title, total, shown=self.is_shown)


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@connection_options()
@key_options
@click.option("--create-key", is_flag=True, help="Make the --raw-key-file if it does not exist.")
@click.option(
    "--context",
    metavar="NAME=VALUE",
    multiple=True,
    callback=read_context,
    help="Entry of the encryption context; repeatable. Stored in clear, and demanded when the object is read.",
)
@click.option("--content-type", metavar="TYPE", help="Content type of the new object.")
@click.option("--no-progress", is_flag=True, help="Show no progress bar.")
def cp(
    *,
    source: str,
    target: str,
    connection: Connection,
    key_choice: KeyChoice,
    context: dict[str, str] | None,
    content_type: str | None,
    no_progress: bool,
) -> None:
    """Copy SRC to DST: one of them a file or - (stdin, stdout), the other s3://BUCKET/KEY.

    What goes up is encrypted here, what comes down is verified here. A DST that is a folder, or ends in a slash,
    gets the name of SRC. A download to a file leaves nothing when it fails; one to stdout writes verified bytes only,
    and the exit code tells whether they were all.
    """
    if is_s3(source) == is_s3(target):
        raise click.UsageError(
            "copies within S3 are not supported; download the object and upload it again"
            if is_s3(source)
            else "neither SRC nor DST is in S3; write one of them as s3://BUCKET/KEY"
        )
    bar = _Bar(not no_progress)
    if is_s3(target):
        place = _upload_place(source, target)
        with _enveloped(connection, key_choice, context) as client:
            _upload(client, source, place, {"ContentType": content_type} if content_type else {}, bar)
        return
    if content_type is not None:
        raise click.UsageError("--content-type is for uploads")
    wanted = parse_object(source)
    path = None if target == STREAM else _download_path(wanted, target)
    with _enveloped(connection, key_choice, context) as client:
        if path is None:
            _print(client, wanted, sys.stdout.buffer, bar)
        else:
            _download(client, wanted, path, bar)


@contextmanager
def _enveloped(connection: Connection, key_choice: KeyChoice, context: dict[str, str] | None) -> Iterator[S3Client]:
    session = connection.session()
    with key_choice.keyring(connection, session) as keyring:
        fields: dict[str, object] = {"keyring": keyring}
        if context is not None:
            fields["encryption_context"] = context
        install(session, make_config(fields, os.environ))
        with closing(connection.s3(session)) as client:
            yield client


def _upload_place(source: str, target: str) -> S3Location:
    """Return the object that an upload makes."""
    place = parse_s3(target)
    if not place.is_folder:
        return place
    if source == STREAM:
        raise click.UsageError(f"{target!r} is a folder, and stdin has no name; write the whole key")
    name = Path(source).name
    if not name:
        raise click.UsageError(f"{source!r} has no name to append to {target!r}; write the whole key")
    return S3Location(place.bucket, place.key + name)


def _download_path(source: S3Location, target: str) -> Path:
    """Return the file that a download makes."""
    separators = tuple(separator for separator in (os.sep, os.altsep) if separator)
    if not (target.endswith(separators) or os.path.isdir(target)):
        return Path(target)
    name = source.key.rpartition("/")[2]
    # INVARIANT: a key is chosen by whoever writes to the bucket; it must not name a file outside the folder.
    if name in ("", os.curdir, os.pardir) or any(separator in name for separator in separators):
        raise click.UsageError(f"the key of {source} does not end in the name of a file; name the file")
    return Path(target) / name


def _upload(client: S3Client, source: str, place: S3Location, extra: dict[str, str], bar: _Bar) -> None:
    if source == STREAM:
        with interruptible(sys.stdin.buffer) as stream, bar.over(str(place), None) as advance:
            client.upload_fileobj(stream, place.bucket, place.key, ExtraArgs=extra, Callback=advance)
        return
    with bar.over(str(place), os.stat(source).st_size) as advance:
        client.upload_file(source, place.bucket, place.key, ExtraArgs=extra, Callback=advance)


def _print(client: S3Client, source: S3Location, stream: BinaryIO, bar: _Bar) -> None:
    """Write the verified bytes of an object to a stream, up to its end or an error."""
    answer = client.get_object(Bucket=source.bucket, Key=source.key)
    with closing(answer["Body"]) as body, bar.over(str(source), answer["ContentLength"]) as advance:
        for piece in body.iter_chunks(_PIECE_SIZE):
            stream.write(piece)
            advance(len(piece))
    stream.flush()


def _download(client: S3Client, source: S3Location, path: Path, bar: _Bar) -> None:
    total = client.head_object(Bucket=source.bucket, Key=source.key)["ContentLength"] if bar.is_shown else None
    with bar.over(str(source), total) as advance:
        client.download_file(source.bucket, source.key, str(path), Callback=advance)
