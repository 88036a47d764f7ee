"""`s3envelope decrypt`: a ciphertext file that left S3, with the envelope that was exported."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import click

from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options, read_context
from s3envelope.core.context import EncryptionContext
from s3envelope.engine.ciphertext_files import open_ciphertext_file
from s3envelope.engine.materials import DefaultMaterialsManager
from s3envelope.engine.opening import ReadPolicy

_PIECE_SIZE = 1 << 20


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--envelope", required=True, metavar="LINE", help="Line of `keys export`, or @FILE that holds it.")
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Instead of stdout."
)
@click.option("--context", metavar="NAME=VALUE", multiple=True, callback=read_context, help="Demand this entry.")
@click.option("--json", "as_json", is_flag=True, help="With --output: print one JSON object.")
@connection_options()
@key_options
def decrypt(
    *,
    file: BinaryIO,
    envelope: str,
    output: Path | None,
    context: dict[str, str] | None,
    as_json: bool,
    connection: Connection,
    key_choice: KeyChoice,
) -> None:
    """Decrypt FILE, the body of an object as S3 had it, without S3.

    Every byte is verified before it is written. An output file has its name only when it is whole.
    """
    if as_json and output is None:
        raise click.UsageError("--json needs --output: stdout is for the plaintext")
    name, metadata = _read_line(envelope)
    policy = ReadPolicy(EncryptionContext(context or {}), require_bound=False)
    with key_choice.keyring(connection, connection.session()) as keyring:
        opened = open_ciphertext_file(file, metadata, name, DefaultMaterialsManager(keyring), policy)
    if output is None:
        _write(opened.stream, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    descriptor, temporary = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    try:
        with os.fdopen(descriptor, "wb") as target:
            count = _write(opened.stream, target)
        os.replace(temporary, output)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if as_json:
        click.echo(json.dumps({"key": name, "output": str(output), "bytes": count}))


def _read_line(text: str) -> tuple[str, dict[str, str]]:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"{text[1:]} cannot be read: {error.strerror}") from error
    try:
        document = json.loads(text)
        name, metadata = document["key"], document["metadata"]
        if not isinstance(name, str) or not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise click.UsageError("--envelope is not one line of `s3envelope keys export`") from None
    return name, dict(metadata)


def _write(stream: Any, target: BinaryIO) -> int:
    """Write all of a stream, and return how many bytes that was."""
    count = 0
    while piece := stream.read(_PIECE_SIZE):
        target.write(piece)
        count += len(piece)
    return count
