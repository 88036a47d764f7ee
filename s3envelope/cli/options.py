"""Options that several commands share, and what they are read into."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import click

from s3envelope.core.ports import Keyring
from s3envelope.keyrings.kms import KmsKeyring, check_key_id, region_of
from s3envelope.keyrings.raw_aes import RawAesKeyring

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

_KEY_VARIABLE = "S3ENVELOPE_KMS_KEY_ID"
# It returns the exit code; None is 0.
Command = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Connection:
    """How the servers are reached."""

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    kms_endpoint_url: str | None = None

    def session(self) -> boto3.Session:
        """Return a new session with this profile and region."""
        return boto3.Session(profile_name=self.profile, region_name=self.region)

    def s3(self, session: boto3.Session) -> S3Client:
        """Return an S3 client: enveloped if the session is."""
        return session.client("s3", endpoint_url=self.endpoint_url)

    def kms(self, session: boto3.Session, key_id: str | None) -> KMSClient:
        """Return a KMS client in the region of a key, where its id tells one."""
        region = region_of(key_id) if key_id else None
        return session.client("kms", region_name=region, endpoint_url=self.kms_endpoint_url)


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """Which key was named on the command line, or else in the environment."""

    kms_key_id: str | None = None
    raw_key_file: Path | None = None
    create_key: bool = False

    @contextmanager
    def keyring(self, connection: Connection, session: boto3.Session) -> Iterator[Keyring]:
        """Yield the keyring of the key.

        Raises:
            click.UsageError: None is named.
            ConfigurationError: The key id or the key file is wrong.
        """
        if self.raw_key_file is not None:
            yield RawAesKeyring.from_file(self.raw_key_file, create=self.create_key)
            return
        if self.kms_key_id is None:
            raise click.UsageError(f"there is no key; give --kms-key-id or --raw-key-file, or set {_KEY_VARIABLE}")
        key_id = check_key_id(self.kms_key_id)
        with closing(connection.kms(session, key_id)) as client:
            yield KmsKeyring(key_id, client)


def _with_options(command: Command, options: list[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def connection_options(*, kms: bool = True) -> Callable[[Command], Command]:
    """Return what adds the options of a `Connection` to a command, which gets it as `connection`.

    Args:
        kms: Whether the command speaks with a KMS too.
    """
    options: list[Callable[[Command], Command]] = [
        click.option("--profile", metavar="NAME", help="Profile of the AWS configuration."),
        click.option("--region", metavar="NAME", help="AWS Region."),
        click.option("--endpoint-url", metavar="URL", help="S3 server; by default that of AWS."),
    ]
    if kms:
        options.append(click.option("--kms-endpoint-url", metavar="URL", help="KMS server; by default that of AWS."))

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_connection(
            *arguments: object,
            profile: str | None,
            region: str | None,
            endpoint_url: str | None,
            kms_endpoint_url: str | None = None,
            **rest: object,
        ) -> int | None:
            connection = Connection(profile, region, endpoint_url, kms_endpoint_url)
            return command(*arguments, connection=connection, **rest)

        return _with_options(with_connection, options)

    return decorate


def key_options(command: Command) -> Command:
    """Add the options of a `KeyChoice`, which the command gets as `key_choice`."""

    @functools.wraps(command)
    def with_key(
        *arguments: object, kms_key_id: str | None, raw_key_file: Path | None, create_key: bool = False, **rest: object
    ) -> int | None:
        if kms_key_id is not None and raw_key_file is not None:
            raise click.UsageError("--kms-key-id and --raw-key-file exclude each other")
        if create_key and raw_key_file is None:
            raise click.UsageError("--create-key needs --raw-key-file")
        if kms_key_id is None and raw_key_file is None:
            kms_key_id = os.environ.get(_KEY_VARIABLE)
        return command(*arguments, key_choice=KeyChoice(kms_key_id, raw_key_file, create_key), **rest)

    return _with_options(
        with_key,
        [
            click.option(
                "--kms-key-id", metavar="ID", help=f"KMS key id, ARN or alias; by default what {_KEY_VARIABLE} says."
            ),
            click.option(
                "--raw-key-file",
                metavar="FILE",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Instead of KMS: a file with a 32-byte master key that only you can read.",
            ),
        ],
    )


def read_context(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    """Return the entries of repeated `name=value` options; `None` if there are none."""
    entries: dict[str, str] = {}
    for value in values:
        name, sign, entry = value.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{value!r} is not of the form name=value", param=option)
        if name in entries:
            raise click.BadParameter(f"{name!r} is given twice", param=option)
        entries[name] = entry
    return entries or None
