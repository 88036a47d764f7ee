"""What the steps of the demonstration share, and how each of them is judged."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.memory import MemoryCache
from s3envelope.cli.demonstration.places import FetchMeter, KeyService, Storage
from s3envelope.cli.demonstration.sample import Sample
from s3envelope.cli.failures import explain
from s3envelope.cli.output import plain, printable
from s3envelope.s3.config import EnvelopeConfig

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DEFAULT_REGION = "us-east-1"
# So that the number of KMS calls does not depend on how long a slow line takes.
_LIMITS = CacheLimits(max_age_seconds=86_400, fresh_for_seconds=86_400)
_CACHE = MemoryCache()
CONTEXT = {"application": "s3envelope-demo", "tenant": "acme"}


class NotHeldError(Exception):
    """A promise that a step checks did not hold."""


def check(holds: bool, complaint: str) -> None:
    """Raise `NotHeldError` unless something holds."""
    if not holds:
        raise NotHeldError(complaint)


@dataclass(frozen=True, slots=True)
class Scene:
    """The servers, the file and the clients of one demonstration.

    Args:
        folder: For files that vanish afterwards.
        prefix: Of all keys in the bucket.
        writer, reader: Enveloped clients that share nothing: as two programs would.
    """

    console: Console
    storage: Storage
    key_service: KeyService
    sample: Sample
    folder: Path
    bucket: str
    prefix: str
    writer: S3Client
    reader: S3Client
    meter: FetchMeter

    @property
    def key(self) -> str:
        """The key of the object that is examined."""
        return f"{self.prefix}orders.bin"

    @property
    def plain(self) -> S3Client:
        """The client that sees what the server sees."""
        return self.storage.plain

    def tell(self, line: str) -> None:
        """Print one line below the title of a step."""
        self.console.print(f"  {line}", highlight=False, markup=False)

    def show(self, *rows: tuple[str, str], title: str = "") -> None:
        """Print a table of names and values."""
        table = Table(show_header=False, title=title or None, title_justify="left", pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(plain(name), plain(value))
        self.console.print(table)


def make_config(
    key_service: KeyService,
    context: dict[str, str],
    *,
    cache: DiskCache | MemoryCache | None = _CACHE,
    limits: CacheLimits = _LIMITS,
) -> EnvelopeConfig:
    """Return a configuration that nothing in the environment changes, and that leaves nothing in the user's folders."""
    return EnvelopeConfig(
        kms_key_id=key_service.key_id,
        kms_client=key_service.client,
        encryption_context=context,
        cache=cache,
        cache_limits=limits,
    )


@contextmanager
def bucket_for(storage: Storage, name: str | None) -> Iterator[str]:
    """Use a bucket that was given, or make one and delete it, empty, afterwards."""
    if name is not None:
        yield name
        return
    name = f"s3envelope-demo-{secrets.token_hex(6)}"
    region = storage.plain.meta.region_name
    if region in (None, "aws-global", _DEFAULT_REGION):
        storage.plain.create_bucket(Bucket=name)
    else:
        # The type lists the regions that were known when it was written.
        storage.plain.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]
    try:
        yield name
    finally:
        storage.plain.delete_bucket(Bucket=name)


def remove_objects(storage: Storage, bucket: str, prefix: str) -> int:
    """Delete every version of every object under a prefix; return how many there were."""
    count = 0
    try:
        for page in storage.plain.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                storage.plain.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
                count += 1
    except ClientError:
        # Not every server and not every policy lists versions.
        for listing in storage.plain.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in listing.get("Contents", ()):
                storage.plain.delete_object(Bucket=bucket, Key=item["Key"])
                count += 1
    return count


@dataclass(slots=True)
class Scores:
    """Runs steps and remembers how they ended.

    Args:
        console: Where each result is told.
    """

    console: Console
    held_count: int = 0
    failed_count: int = 0
    steps: list[dict[str, object]] = field(default_factory=list)

    def run(self, title: str, step: Callable[[], str]) -> bool:
        """Run a step, print its result, and return whether it held.

        Args:
            step: Returns the sentence that has been shown to be true.
        """
        self.console.print(f"\n[bold]{escape(title)}[/bold]", highlight=False)
        try:
            sentence, held = step(), True
        except ModuleNotFoundError:
            # Nothing has been tried: the caller says what to install.
            raise
        except NotHeldError as error:
            sentence, held = str(error), False
        except Exception as error:  # noqa: BLE001  # a step finds out whether something fails: its error is the result
            sentence, held = explain(error).line, False
        self.held_count += held
        self.failed_count += not held
        self.steps.append({"step": title, "held": held, "told": sentence})
        mark, colour = (self._sign("✓", "ok"), "green") if held else (self._sign("✗", "FAILED"), "red")
        self.console.print(f"[{colour}]{mark}[/{colour}] {escape(printable(sentence))}", highlight=False)
        return held

    def _sign(self, sign: str, word: str) -> str:
        return sign if self.console.encoding.lower().startswith("utf") else word


def describe_calls(calls: Counter[str]) -> str:
    """Return the calls of a key service in words."""
    return ", ".join(f"{count} {operation}" for operation, count in sorted(calls.items())) or "none"
