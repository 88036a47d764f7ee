"""The enveloped client of a command, and the formats that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import click

from s3envelope.cli.options import Command, Connection, KeyChoice
from s3envelope.formats import names
from s3envelope.s3.config import make_config
from s3envelope.s3.install import install

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@contextmanager
def enveloped_client(
    connection: Connection,
    key_choice: KeyChoice,
    *,
    context: Mapping[str, str] | None = None,
    read_formats: tuple[str, ...] | None = None,
    session: boto3.Session | None = None,
    max_pool_connections: int = 10,
    **fields: Any,
) -> Iterator[S3Client]:
    """Yield an enveloped client of the key that was chosen; what is `None` is left to the environment.

    Args:
        session: To be made enveloped; by default a new one.
        fields: Further fields of `EnvelopeConfig`.

    Raises:
        click.UsageError: No key is named.
        ConfigurationError: The configuration has no legal value.
    """
    used = session or connection.session()
    with key_choice.keyring(connection, used) as keyring:
        given = {"keyring": keyring, "encryption_context": context, "read_formats": read_formats, **fields}
        install(used, make_config({name: value for name, value in given.items() if value is not None}, os.environ))
        with closing(connection.s3(used, max_pool_connections=max_pool_connections)) as client:
            yield client


def _read_formats(_: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    chosen = tuple(name.strip() for name in value.split(","))
    unknown = [name for name in chosen if name not in names.READ_FORMATS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(names.READ_FORMATS)}", param=option)
    return chosen


def read_formats_option(command: Command) -> Command:
    """Add the option that names the formats which are read, as `read_formats`."""
    return click.option(
        "--read-formats",
        metavar="NAMES",
        callback=_read_formats,
        help="Formats that are read, with commas: se1, s3ec-v3, s3ec-v2, ...; by default what "
        "S3ENVELOPE_READ_FORMATS says, or se1.",
    )(command)
