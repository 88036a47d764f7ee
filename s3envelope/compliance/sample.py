"""A random sample of the objects in a bucket, and what their metadata says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.compliance.failures import told
from s3envelope.core.envelope import Envelope
from s3envelope.core.layout import plaintext_size
from s3envelope.core.ports import Random
from s3envelope.errors import EnvelopeError, NotEncryptedError, TruncatedObjectError
from s3envelope.formats.s3ec.metadata import INSTRUCTION_FILE_MARKER, KEY_V1, KEY_V2, KEY_V3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A listing of more keys takes hours; the evidence says where it was cut.
MOST_LISTED = 1_000_000
_REQUESTS = 8
_RANDOM_SIZE = 8
_GONE = frozenset({"404", "NoSuchKey"})
# What the Amazon S3 Encryption Clients write: envelopes of their formats, and instruction files.
_AMAZON = frozenset({KEY_V1, KEY_V2, KEY_V3, INSTRUCTION_FILE_MARKER})
_INSTRUCTION_SUFFIX = ".instruction"
Kind = Literal["enveloped", "amazon", "plain", "empty", "broken", "gone", "unseen"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the metadata of one object says.

    Args:
        kind: "enveloped" has an envelope of SE1 and a stored size that goes with it; "amazon" the metadata, or the
            instruction file, of an Amazon S3 Encryption Client; "empty" is a folder marker without content; "broken"
            has an envelope that is none.
        reason: Why it is "broken" or "unseen".
    """

    key: str
    kind: Kind
    modified: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The objects that were looked at, out of those that were listed."""

    listed_count: int
    is_cut: bool
    objects: tuple[Seen, ...]

    def of(self, *kinds: Kind) -> list[Seen]:
        """Return the objects of some kinds."""
        return [seen for seen in self.objects if seen.kind in kinds]

    def described(self) -> str:
        """Return what was looked at, in a sentence."""
        share = "all" if len(self.objects) == self.listed_count else f"a random sample of {len(self.objects)}"
        cut = f", the listing was cut at {MOST_LISTED:,} keys" if self.is_cut else ""
        return f"The metadata of {share} of {self.listed_count} objects was read{cut}; old versions were not"


def take_sample(client: S3Client, bucket: str, size: int | None, random: Random, *, without: str) -> Sample:
    """List a bucket and look at some of its objects, each with the same chance.

    Args:
        size: How many; `None` is all.
        without: A prefix that is left out.
    """
    listed_count, is_cut = 0, False
    chosen: list[str] = []
    for key in _keys(client, bucket, without):
        if listed_count >= MOST_LISTED and size is not None:
            is_cut = True
            break
        listed_count += 1
        if size is None or len(chosen) < size:
            chosen.append(key)
        elif (place := _below(listed_count, random)) < size:
            chosen[place] = key
    with ThreadPoolExecutor(_REQUESTS) as executor:
        seen = list(executor.map(lambda key: _look(client, bucket, key), chosen))
    return Sample(listed_count, is_cut, tuple(seen))


def _below(limit: int, random: Random) -> int:
    # 64 bits for at most a million: the bias cannot be seen.
    return int.from_bytes(random(_RANDOM_SIZE), "big") % limit


def _keys(client: S3Client, bucket: str, without: str) -> Iterator[str]:
    pages: Iterable[Any] = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for page in pages:
        for entry in page.get("Contents", []):
            if not entry["Key"].startswith(without):
                yield entry["Key"]


def _look(client: S3Client, bucket: str, key: str) -> Seen:
    try:
        answer: dict[str, Any] = dict(client.head_object(Bucket=bucket, Key=key))
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code")) in _GONE:
            return Seen(key, "gone")
        return Seen(key, "unseen", reason=told(error))
    except BotoCoreError as error:
        return Seen(key, "unseen", reason=told(error))
    metadata, size, modified = answer.get("Metadata") or {}, int(answer["ContentLength"]), answer.get("LastModified")
    try:
        envelope = Envelope.parse(metadata)
        if not envelope.header.indexed:
            plaintext_size(size)
    except NotEncryptedError:
        if _AMAZON & {name.lower() for name in metadata} or _has_instruction_file(client, bucket, key):
            return Seen(key, "amazon", modified)
        return Seen(key, "empty" if size == 0 and key.endswith("/") else "plain", modified)
    except (EnvelopeError, TruncatedObjectError) as error:
        return Seen(key, "broken", modified, str(error))
    return Seen(key, "enveloped", modified)


def _has_instruction_file(client: S3Client, bucket: str, key: str) -> bool:
    """Tell whether the envelope of an object lies beside it, as an Amazon S3 Encryption Client may put it."""
    try:
        found = client.head_object(Bucket=bucket, Key=key + _INSTRUCTION_SUFFIX).get("Metadata") or {}
    except (ClientError, BotoCoreError):
        return False
    return INSTRUCTION_FILE_MARKER in {name.lower() for name in found}
