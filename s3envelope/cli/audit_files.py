"""What the commands of `s3envelope audit` share: the files of a log, and the anchors for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from s3envelope.audit.anchor_keys import Ed25519AnchorVerifier, KmsAnchorKey, KmsAnchorMac
from s3envelope.audit.anchors import Anchor, AnchorVerifier
from s3envelope.audit.chain import MOST_LINE, Finding, LogSource, parse_line
from s3envelope.audit.s3_objects import stored_anchors
from s3envelope.audit.verify import read_anchors
from s3envelope.cli.locations import parse_s3
from s3envelope.cli.options import Connection
from s3envelope.errors import AuditError

_S3 = "s3://"

files_argument = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE..."
)


@dataclass(frozen=True, slots=True)
class AnchorChoice:
    """Where anchors are, and what verifies them; at most one of the last three."""

    places: Sequence[str]
    public_key: str | None
    kms_key_id: str | None
    kms_mac_key_id: str | None
    kms_algorithm: str | None

    def __post_init__(self) -> None:
        keys = [key for key in (self.public_key, self.kms_key_id, self.kms_mac_key_id) if key is not None]
        if len(keys) > 1:
            raise click.UsageError("--public-key, --kms-key-id and --kms-mac-key-id exclude each other")
        if bool(keys) != bool(self.places):
            raise click.UsageError("--anchors needs a key to verify them with, and the key needs --anchors")

    def collect(self, connection: Connection) -> tuple[list[Anchor], list[Finding]]:
        """Return the anchors, verified, and what is wrong with others."""
        if not self.places:
            return [], []
        with ExitStack() as stack:
            found = list(read_anchors(self._sources(connection, stack), self._verifier(connection, stack)))
        good = [item for item in found if isinstance(item, Anchor)]
        return good, [item for item in found if isinstance(item, Finding)]

    def _sources(self, connection: Connection, stack: ExitStack) -> Iterator[tuple[str, LogSource]]:
        for place in self.places:
            if place.startswith(_S3):
                where = parse_s3(place)
                client = stack.enter_context(closing(connection.s3(connection.session())))
                yield from ((place, anchor) for anchor in stored_anchors(client, where.bucket, where.key))
            else:
                with Path(place).open("rb") as file:
                    yield place, file

    def _verifier(self, connection: Connection, stack: ExitStack) -> AnchorVerifier:
        if self.public_key is not None:
            try:
                return Ed25519AnchorVerifier(bytes.fromhex(self.public_key))
            except ValueError:
                raise click.UsageError("--public-key takes 64 hexadecimal digits") from None
        key_id = self.kms_key_id or self.kms_mac_key_id or ""
        client = stack.enter_context(closing(connection.kms(connection.session(), key_id)))
        kind = KmsAnchorKey if self.kms_key_id is not None else KmsAnchorMac
        return (
            kind(key_id, client) if self.kms_algorithm is None else kind(key_id, client, algorithm=self.kms_algorithm)
        )


@contextmanager
def opened(files: Sequence[Path]) -> Iterator[Iterator[tuple[str, LogSource]]]:
    """Yield the files of a log one after the other, the oldest first; one is open at a time."""

    def each() -> Generator[tuple[str, LogSource], None, None]:
        for path in in_order(files):
            with path.open("rb") as file:
                yield str(path), file

    sources = each()
    try:
        yield sources
    finally:
        sources.close()


def in_order(files: Sequence[Path]) -> list[Path]:
    """Return files by the number of their first record; as they were given if one of them does not tell it."""
    numbers: dict[Path, int] = {}
    for path in files:
        with path.open("rb") as file:
            line = file.readline(MOST_LINE)
        try:
            numbers[path] = parse_line(line).head.sequence
        except AuditError:
            if line:
                return list(files)
            numbers[path] = 0
    return sorted(files, key=lambda path: numbers[path])


def anchor_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add the options of an `AnchorChoice`."""
    options = [
        click.option(
            "--anchors", "places", multiple=True, metavar="PLACE", help="File, or s3://BUCKET/PREFIX; repeatable."
        ),
        click.option("--public-key", metavar="HEX", help="Ed25519 key of the anchors."),
        click.option("--kms-key-id", metavar="ID", help="Asymmetric KMS key of the anchors."),
        click.option("--kms-mac-key-id", metavar="ID", help="HMAC key of the anchors in KMS."),
        click.option("--kms-algorithm", metavar="NAME", help="By default ECDSA_SHA_256, or HMAC_SHA_256."),
    ]
    for option in reversed(options):
        command = option(command)
    return command
