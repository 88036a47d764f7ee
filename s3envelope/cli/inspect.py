"""`s3envelope inspect`: what the metadata of an object says of itself. It needs no key, and proves nothing."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from s3envelope.cli.locations import S3Location, parse_object
from s3envelope.cli.options import (
    Connection,
    KeyChoice,
    connection_options,
    instruction_suffix_option,
    key_options,
)
from s3envelope.cli.output import plain, size, stdout
from s3envelope.core.envelope import Envelope, without_envelope
from s3envelope.core.hints import key_hint
from s3envelope.core.layout import plaintext_size
from s3envelope.engine.s3ec_opening import FetchInstruction, describe_stored
from s3envelope.errors import MalformedEnvelopeError, NotEncryptedError
from s3envelope.formats.s3ec import bodies
from s3envelope.formats.s3ec.metadata import is_reserved_name
from s3envelope.formats.s3ec.model import S3ecEnvelope
from s3envelope.formats.s3ec.policy import needed_names
from s3envelope.keyrings.kms_names import check_key_ids
from s3envelope.keyrings.raw_aes import RawAesKeyring
from s3envelope.s3.instruction_files import read_instruction_file
from s3envelope.s3.s3ec_reads import is_marked, may_be_s3ec

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

    Value = str | int | bool | None | dict[str, str] | list[dict[str, str | int | bool | None]] | list[str]

_FORMAT = "SE1"


@click.command()
@click.argument("location", metavar="s3://BUCKET/KEY")
@connection_options(kms=False)
@key_options
@click.option("--version-id", metavar="ID", help="Version of the object; by default the latest.")
@instruction_suffix_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(
    *,
    location: str,
    connection: Connection,
    key_choice: KeyChoice,
    version_id: str | None,
    instruction_suffix: str,
    as_json: bool,
) -> None:
    """Show the envelope of an object, as its metadata has it.

    KMS is not asked, and nothing is verified: that takes reading the object. With --kms-key-id (or the environment)
    or --raw-key-file it shows which encrypted data keys belong to that key; an alias cannot be told without KMS.
    Objects of the Amazon S3 Encryption Clients show their format and algorithms, and where their envelope is.
    """
    wanted = parse_object(location)
    hints = _hints_of(key_choice)
    version = {"VersionId": version_id} if version_id else {}
    with closing(connection.s3(connection.session())) as client:
        answer = client.head_object(Bucket=wanted.bucket, Key=wanted.key, **version)  # type: ignore[arg-type]
        found = _describe(client, wanted, answer, hints, instruction_suffix=instruction_suffix)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _show(wanted, found)


def _describe(
    client: S3Client,
    location: S3Location,
    answer: HeadObjectOutputTypeDef,
    hints: Container[str] | None,
    *,
    instruction_suffix: str,
) -> dict[str, Value]:
    """Return what the answer to a HEAD says of an object; the names are those of the JSON output.

    Args:
        client: A plain one: without an envelope in the metadata, an instruction file is looked for.
        hints: Of the configured keys, 8 hexadecimal digits each; `None` if they are not known.

    Raises:
        EnvelopeError: The object has no envelope, or one that is not understood.
        TruncatedObjectError, S3ecDecryptionError: No object of its layout has this size.
        ClientError: There may be an instruction file, which cannot be read.
    """
    if answer.get("MissingMeta"):
        raise MalformedEnvelopeError("the server withholds metadata of the object (x-amz-missing-meta)")
    general: dict[str, Value] = {
        "bucket": location.bucket,
        "key": location.key,
        "version_id": answer.get("VersionId"),
        "etag": answer.get("ETag"),
        "last_modified": answer["LastModified"].isoformat(),
        "content_type": answer.get("ContentType"),
    }
    stored, stored_size = answer["Metadata"], answer["ContentLength"]
    if not may_be_s3ec(stored):
        return {**general, **_se1(Envelope.parse(stored), stored, stored_size, hints)}

    def send(_: str, parameters: dict[str, Any]) -> Any:
        return client.get_object(**parameters)

    file = f"{location.key}{instruction_suffix}"
    where = {"Bucket": location.bucket, "Key": location.key}
    envelope = _s3ec_envelope(stored, lambda: read_instruction_file(send, instruction_suffix, where), file)
    return {**general, **_s3ec(envelope, stored, stored_size, file)}


def _se1(
    envelope: Envelope, stored: Mapping[str, str], stored_size: int, hints: Container[str] | None
) -> dict[str, Value]:
    header = envelope.header
    return {
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
        "user_metadata": without_envelope(stored),
    }


def _s3ec_envelope(stored: Mapping[str, str], fetch_instruction: FetchInstruction, file: str) -> S3ecEnvelope:
    try:
        return describe_stored(stored, fetch_instruction, is_missing=False)
    except NotEncryptedError:
        if is_marked(stored):
            raise
        raise NotEncryptedError(
            f"the object has no envelope, neither of s3envelope nor of an Amazon S3 Encryption Client, in its metadata "
            f"or in {file!r}"
        ) from None


def _s3ec(envelope: S3ecEnvelope, stored: Mapping[str, str], stored_size: int, file: str) -> dict[str, Value]:
    """Return what an envelope of an Amazon client says, under the names of SE1 as far as they fit."""
    needed, commitment, size_of_key = needed_names(envelope), envelope.commitment, len(envelope.encrypted_data_key)
    data_key: dict[str, str | int | bool | None] = {"hint": None, "size": size_of_key, "matches_configured_key": None}
    return {
        "format": needed[0],
        "envelope_in": "instruction file" if envelope.has_instruction_file else "metadata",
        "instruction_file": file if envelope.has_instruction_file else None,
        "wrapping_algorithm": envelope.wrap.value,
        "content_algorithm": envelope.content.suite,
        "read_formats": list(needed),
        "bound": False,
        "indexed": False,
        "commitment": None if commitment is None else commitment.hex(),
        "encryption_context": dict(envelope.description),
        "encrypted_data_keys": [data_key],
        "plaintext_size": bodies.plaintext_size(envelope, stored_size),
        "ciphertext_size": stored_size,
        "user_metadata": {name: value for name, value in stored.items() if not is_reserved_name(name)},
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
        return [each if isinstance(each, str) else _key_in_words(each) for each in value]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, int):
        return [size(value)]
    if value is None:
        return ["only with a key: what tells it is encrypted" if name == "plaintext_size" else "none"]
    return [value]


def _key_in_words(key: Mapping[str, str | int | bool | None]) -> str:
    hint = "" if key["hint"] is None else f"hint {key['hint']}, "
    matches = key["matches_configured_key"]
    match = "" if matches is None else ", belongs to the configured key" if matches else ", of another key"
    return f"{hint}{key['size']} bytes{match}"
