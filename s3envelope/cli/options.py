"""Options that several commands share, and what they are read into."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import click
from botocore.config import Config

from s3envelope.core.ports import Keyring
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.keyrings.kms_names import check_key_ids, region_of
from s3envelope.keyrings.multi import MultiKeyring
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

    def s3(self, session: boto3.Session, *, max_pool_connections: int = 10) -> S3Client:
        """Return an S3 client: enveloped if the session is."""
        config = Config(max_pool_connections=max_pool_connections)
        return session.client("s3", endpoint_url=self.endpoint_url, config=config)

    def kms(self, session: boto3.Session, key_id: str | None) -> KMSClient:
        """Return a KMS client in the region of a key, where its id tells one."""
        region = region_of(key_id) if key_id else None
        return session.client("kms", region_name=region, endpoint_url=self.kms_endpoint_url)


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """Which key was named on the command line, or else in the environment; of KMS keys up to four."""

    kms_key_ids: tuple[str, ...] = ()
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
        if not self.kms_key_ids:
            raise click.UsageError(f"there is no key; give --kms-key-id or --raw-key-file, or set {_KEY_VARIABLE}")
        with ExitStack() as stack:
            keyrings = [
                KmsKeyring(key_id, stack.enter_context(closing(connection.kms(session, key_id))))
                for key_id in check_key_ids(self.kms_key_ids)
            ]
            home = session.region_name
            nearest_first = sorted(keyrings, key=lambda one: one.region != home)
            yield keyrings[0] if len(keyrings) == 1 else MultiKeyring(*keyrings, read_order=nearest_first)


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
        *arguments: object,
        kms_key_ids: tuple[str, ...],
        raw_key_file: Path | None,
        create_key: bool = False,
        **rest: object,
    ) -> int | None:
        if kms_key_ids and raw_key_file is not None:
            raise click.UsageError("--kms-key-id and --raw-key-file exclude each other")
        if create_key and raw_key_file is None:
            raise click.UsageError("--create-key needs --raw-key-file")
        named = os.environ.get(_KEY_VARIABLE)
        if not kms_key_ids and raw_key_file is None and named is not None:
            kms_key_ids = tuple(name.strip() for name in named.split(","))
        return command(*arguments, key_choice=KeyChoice(kms_key_ids, raw_key_file, create_key), **rest)

    return _with_options(
        with_key,
        [
            click.option(
                "--kms-key-id",
                "--kms-key",
                "kms_key_ids",
                metavar="ID",
                multiple=True,
                help=f"KMS key id, ARN or alias; by default what {_KEY_VARIABLE} says. Repeatable: every data key is "
                "wrapped with each.",
            ),
            click.option(
                "--raw-key-file",
                metavar="FILE",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Instead of KMS: a file with a 32-byte master key that only you can read.",
            ),
        ],
    )


def _read_suffix(_: click.Context, option: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("an empty suffix names the object itself", param=option)
    return value


def instruction_suffix_option(command: Command) -> Command:
    """Add the option that says where the instruction files of the Amazon clients are, as `instruction_suffix`."""
    return click.option(
        "--instruction-suffix",
        metavar="TEXT",
        default=".instruction",
        show_default=True,
        callback=_read_suffix,
        help="Behind the keys of objects: their instruction files, of the Amazon S3 Encryption Clients.",
    )(command)


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
