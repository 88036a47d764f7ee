"""`s3envelope inspect`: what the metadata of an object says of itself. It needs no key, and proves nothing."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

import click
from rich.table import Table

from s3envelope.cli.locations import S3Location, parse_object
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options
from s3envelope.cli.output import plain, size, stdout
from s3envelope.core.envelope import Envelope, without_envelope
from s3envelope.core.hints import key_hint
from s3envelope.core.layout import plaintext_size
from s3envelope.errors import MalformedEnvelopeError
from s3envelope.keyrings.kms_names import check_key_ids
from s3envelope.keyrings.raw_aes import RawAesKeyring

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

    Value = str | int | bool | None | dict[str, str] | list[dict[str, str | int | bool | None]]

_FORMAT = "SE1"


@click.command()
@click.argument("location", metavar="s3://BUCKET/KEY")
@connection_options(kms=False)
@key_options
@click.option("--version-id", metavar="ID", help="Version of the object; by default the latest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(
    *, location: str, connection: Connection, key_choice: KeyChoice, version_id: str | None, as_json: bool
) -> None:
    """Show the envelope of an object, as its metadata has it.

    KMS is not asked, and nothing is verified: that takes reading the object. With --kms-key-id (or the environment)
    or --raw-key-file it shows which encrypted data keys belong to that key; an alias cannot be told without KMS.
    """
    wanted = parse_object(location)
    hints = _hints_of(key_choice)
    version = {"VersionId": version_id} if version_id else {}
    with closing(connection.s3(connection.session())) as client:
        answer = client.head_object(Bucket=wanted.bucket, Key=wanted.key, **version)  # type: ignore[arg-type]
    found = describe(wanted, answer, hints)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _show(wanted, found)


def describe(location: S3Location, answer: HeadObjectOutputTypeDef, hints: Container[str] | None) -> dict[str, Value]:
    """Return what the answer to a HEAD says of an object; the names are those of the JSON output.

    Args:
        hints: Of the configured keys, 8 hexadecimal digits each; `None` if they are not known.

    Raises:
        EnvelopeError: The object has no envelope, or one that is not understood.
        TruncatedObjectError: No object of the plain layout has this size.
    """
    if answer.get("MissingMeta"):
        raise MalformedEnvelopeError("the server withholds metadata of the object (x-amz-missing-meta)")
    envelope = Envelope.parse(answer["Metadata"])
    header, stored_size = envelope.header, answer["ContentLength"]
    return {
        "bucket": location.bucket,
        "key": location.key,
        "version_id": answer.get("VersionId"),
        "etag": answer.get("ETag"),
        "last_modified": answer["LastModified"].isoformat(),
        "content_type": answer.get("ContentType"),
        "format": _FORMAT,
        "bound": header.bound,
        "indexed": header.indexed,
        "commitment": header.commitment.hex(),
        "encryption_context": dict(envelope.context),
        "encrypted_data_keys": [
            {
                "hint": key.hint.hex(),
                "size": len(key.ciphertext),
                "matches_configured_key": None if hints is None else key.hint.hex() in hints,
            }
            for key in envelope.encrypted_data_keys
        ],
        "plaintext_size": None if header.indexed else plaintext_size(stored_size),
        "ciphertext_size": stored_size,
        "user_metadata": without_envelope(answer["Metadata"]),
    }


def _hints_of(key_choice: KeyChoice) -> frozenset[str] | None:
    """Return the hints of the configured keys; `None` without one, or if any is an alias."""
    if key_choice.raw_key_file is not None:
        names: Iterable[str] = RawAesKeyring.from_file(key_choice.raw_key_file, create=False).key_ids
    elif not key_choice.kms_key_ids or any("alias/" in name for name in check_key_ids(key_choice.kms_key_ids)):
        return None
    else:
        names = key_choice.kms_key_ids
    return frozenset(key_hint(name).hex() for name in names)


def _show(location: S3Location, found: dict[str, Value]) -> None:
    table = Table(show_header=False, title=plain(location), title_justify="left", pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in found.items():
        if name in ("bucket", "key"):
            continue
        for number, line in enumerate(_in_words(name, value)):
            table.add_row("" if number else name.replace("_", " "), plain(line))
    console = stdout()
    console.print(table)
    console.print("Nothing of this has been verified; reading the object does that.", highlight=False)


def _in_words(name: str, value: Value) -> list[str]:
    """Return the lines of one row."""
    if isinstance(value, dict):
        return [f"{entry} = {content}" for entry, content in sorted(value.items())] or ["none"]
    if isinstance(value, list):
        match = {True: ", belongs to the configured key", False: ", of another key", None: ""}
        return [f"hint {key['hint']}, {key['size']} bytes{match[key['matches_configured_key']]}" for key in value]  # type: ignore[index]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, int):
        return [size(value)]
    if value is None:
        return ["only with a key: the index of its parts must be opened" if name == "plaintext_size" else "none"]
    return [value]
