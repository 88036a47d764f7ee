"""`s3envelope migrate`: objects of the Amazon S3 Encryption Clients, and unencrypted ones, become SE1."""

from __future__ import annotations

import functools
import itertools
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import click

from s3envelope.cli.locations import S3Location, parse_object, parse_s3
from s3envelope.cli.options import (
    Connection,
    KeyChoice,
    connection_options,
    instruction_suffix_option,
    key_options,
    read_context,
)
from s3envelope.cli.reports import Report, counting
from s3envelope.errors import ConfigurationError
from s3envelope.formats import names
from s3envelope.formats.s3ec.ports import S3ecKeyring
from s3envelope.keyrings.kms import KmsKeyring, check_key_id
from s3envelope.keyrings.raw_rsa import RawRsaKeyring
from s3envelope.keyrings.s3ec_aes import S3ecAesKeyring
from s3envelope.rotation.inventory import inventory_locations
from s3envelope.rotation.migration import (
    RESULTS,
    Migration,
    migrate_object,
    migration_locations,
    remove_leftovers,
)
from s3envelope.rotation.run import Location, list_locations, rotate
from s3envelope.s3.config import make_config
from s3envelope.s3.install import install

_LEFT = 1
_FILE = click.Path(dir_okay=False, path_type=Path)
_DEFAULT_FORMATS = (names.S3EC_V3, names.S3EC_V2)
_FOREIGN_FORMATS = tuple(name for name in names.READ_FORMATS if name != names.SE1)
# Several objects are verified at once, each in so much memory; larger ones in encrypted temporary files.
_VERIFY_IN_MEMORY = 4 << 20
_LARGEST_KEY_FILE = 64 << 10
_RSA_PASSWORD_VARIABLE = "S3ENVELOPE_RSA_PASSWORD"  # noqa: S105  # the name of a variable


@dataclass(frozen=True, slots=True)
class OldKey:
    """What opens the objects that are migrated; at most one of these.

    One key for a run, so that nothing in an object chooses the key that opens it: anybody can encrypt for an RSA key
    whose public half he has.
    """

    s3ec_kms_key: str | None
    aes_key_file: Path | None
    rsa_private_key: Path | None

    @contextmanager
    def keyring(self, connection: Connection, session: boto3.Session) -> Iterator[S3ecKeyring | None]:
        """Yield the keyring; `None` if the key that new objects get is to open the old ones too.

        Raises:
            click.UsageError: More than one is named.
            ConfigurationError: A key id or a file is wrong.
        """
        if sum(given is not None for given in (self.s3ec_kms_key, self.aes_key_file, self.rsa_private_key)) > 1:
            raise click.UsageError(
                "--s3ec-kms-key, --aes-key-file and --rsa-private-key exclude each other; run once with each"
            )
        if self.s3ec_kms_key is not None:
            key_id = check_key_id(self.s3ec_kms_key)
            with closing(connection.kms(session, key_id)) as client:
                yield KmsKeyring(key_id, client)
        elif self.aes_key_file is not None:
            yield S3ecAesKeyring(_private_file(self.aes_key_file))
        elif self.rsa_private_key is not None:
            password = os.environ.get(_RSA_PASSWORD_VARIABLE)
            pem = _private_file(self.rsa_private_key)
            yield RawRsaKeyring(private_key=pem, password=None if password is None else password.encode())
        else:
            yield None


def _private_file(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name == "posix" and mode & 0o077:
            raise ConfigurationError(
                f"the key file {path} has mode {mode:04o}; others must not read it: chmod 600, and think of the key as "
                "known"
            )
        content = file.read(_LARGEST_KEY_FILE + 1)
    if len(content) > _LARGEST_KEY_FILE:
        raise ConfigurationError(f"the key file {path} has more than {_LARGEST_KEY_FILE} bytes; it is no key")
    return content


def _read_formats(_: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    chosen = _DEFAULT_FORMATS if value is None else tuple(name.strip() for name in value.split(","))
    unknown = [name for name in chosen if name not in _FOREIGN_FORMATS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(_FOREIGN_FORMATS)}", param=option)
    return chosen


@click.command()
@click.argument("location", metavar="s3://BUCKET[/PREFIX]")
@connection_options()
@key_options
@click.option(
    "--read-formats",
    metavar="NAMES",
    callback=_read_formats,
    help="What is migrated, with commas; by default s3ec-v3,s3ec-v2. Weak ones must be named: s3ec-v1, s3ec-cbc, ...",
)
@click.option("--s3ec-kms-key", metavar="ID", help="KMS key of the old objects; by default the one that new ones get.")
@click.option("--aes-key-file", metavar="FILE", type=_FILE, help="Instead: a file with their AES key, 16 to 32 bytes.")
@click.option(
    "--rsa-private-key",
    metavar="FILE",
    type=_FILE,
    help=f"Instead: a PEM file with their RSA key; {_RSA_PASSWORD_VARIABLE} may hold its password.",
)
@instruction_suffix_option
@click.option(
    "--context",
    metavar="NAME=VALUE",
    multiple=True,
    callback=read_context,
    help="Entry of the encryption context that the old objects have, and the new ones get.",
)
@click.option("--plaintext", is_flag=True, help="Seal objects that are not encrypted, too.")
@click.option("--delete-instruction-files", is_flag=True, help="Delete those whose object has been read back as SE1.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--workers", default=8, show_default=True, type=click.IntRange(1, 64), help="Objects at a time.")
@click.option("--inventory", metavar="s3://BUCKET/.../manifest.json", help="Take the objects from an S3 Inventory.")
@click.option("--report", "report_file", metavar="FILE", type=_FILE, help="Write a line of JSON for every object.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def migrate(
    *,
    location: str,
    connection: Connection,
    key_choice: KeyChoice,
    read_formats: tuple[str, ...],
    s3ec_kms_key: str | None,
    aes_key_file: Path | None,
    rsa_private_key: Path | None,
    instruction_suffix: str,
    context: dict[str, str] | None,
    plaintext: bool,
    delete_instruction_files: bool,
    dry_run: bool,
    workers: int,
    inventory: str | None,
    report_file: Path | None,
    as_json: bool,
) -> int:
    """Write every object under a prefix anew as SE1, that an Amazon S3 Encryption Client wrote.

    Each is verified, written beside the old one, read back and compared, and put into its place only then and only if
    nobody has overwritten it. What is done is read from the objects: a run that was interrupted is simply begun again.
    Exit code 0 only if nothing is left. Old versions of objects stay as they are.
    """
    wanted = parse_s3(location)
    job = Migration(instruction_suffix, plaintext, delete_instruction_files, dry_run)
    fields: dict[str, Any] = {"read_formats": (names.SE1, *read_formats), "instruction_suffix": instruction_suffix}
    if context is not None:
        fields["encryption_context"] = context
    with ExitStack() as stack:
        session = connection.session()
        fields["keyring"] = stack.enter_context(key_choice.keyring(connection, session))
        old_key = OldKey(s3ec_kms_key, aes_key_file, rsa_private_key)
        fields["s3ec_keyring"] = stack.enter_context(old_key.keyring(connection, session))
        client = stack.enter_context(_migrating_client(connection, session, fields, workers))
        lines = None if report_file is None else stack.enter_context(report_file.open("a", encoding="utf-8"))
        report = Report(lines)
        listing = functools.partial(list_locations, client, wanted.bucket, wanted.key)
        locations = listing()
        if inventory is not None:
            locations = stack.enter_context(_from_inventory(connection, parse_object(inventory), wanted))
        leftovers = remove_leftovers(client, wanted.bucket, wanted.key, dry_run=dry_run)
        executor = stack.enter_context(ThreadPoolExecutor(workers))
        work = functools.partial(migrate_object, client, job)
        outcomes = rotate(migration_locations(locations), work, executor, workers)
        with counting("migrating", listing if inventory is None else None) as advance:
            # INVARIANT: leftovers first. Later ones are of this run, and needed.
            for outcome in itertools.chain(leftovers, outcomes):
                report.add(outcome)
                advance()
    report.show(RESULTS, as_json=as_json)
    return _LEFT if report.left_count else 0


@contextmanager
def _migrating_client(
    connection: Connection, session: boto3.Session, fields: dict[str, Any], workers: int
) -> Iterator[Any]:
    """Yield the one client of a run: it writes SE1, and takes nothing unencrypted for anything else."""
    fixed = {
        "write_format": names.SE1,
        "unencrypted": "refuse",
        "list_sizes": "stored",
        "verify_in_memory": _VERIFY_IN_MEMORY,
        "unsafe_unverified_ranges": False,
        "delete_instruction_files": False,
        "hide_instruction_files": False,
    }
    install(session, make_config({**fields, **fixed}, os.environ))
    # Reading and writing take a connection each.
    with closing(connection.s3(session, max_pool_connections=2 * workers)) as client:
        yield client


@contextmanager
def _from_inventory(connection: Connection, manifest: S3Location, wanted: S3Location) -> Iterator[Iterator[Location]]:
    with closing(connection.s3(connection.session())) as client:
        yield inventory_locations(client, manifest.bucket, manifest.key, source=wanted.bucket, prefix=wanted.key)
