"""What a listing and the metadata of its objects tell; needs no key but for exact sizes of objects in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from s3envelope.cli.dependencies import KeyNames
from s3envelope.cli.locations import S3Location
from s3envelope.core.envelope import Envelope
from s3envelope.core.layout import plaintext_size
from s3envelope.errors import EnvelopeError, NotEncryptedError, S3EnvelopeError, TruncatedObjectError
from s3envelope.formats.s3ec import bodies, metadata
from s3envelope.formats.s3ec.policy import needed_names

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Sizes = Literal["plaintext", "exact", "stored"]
_BATCH = 1000
_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
PLAIN, UNKNOWN = "plain", "unknown"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a listing.

    Args:
        kind: "object", "delete_marker" or "prefix".
        size: In bytes, of the plaintext unless stored sizes are asked for; `None` of all but objects.
        details: What the metadata says, if that was asked for; see `Looker`.
    """

    kind: str
    bucket: str
    key: str
    version_id: str | None = None
    is_latest: bool | None = None
    size: int | None = None
    stored_size: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    storage_class: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; COMMAND.md has them."""
        if self.kind == "prefix":
            return {"kind": self.kind, "bucket": self.bucket, "prefix": self.key}
        names = ("kind", "bucket", "key", "version_id", "is_latest", "size", "stored_size", "etag", "last_modified")
        return {**{name: getattr(self, name) for name in names}, "storage_class": self.storage_class, **self.details}


def computed_size(stored_size: int) -> int:
    """Return the plaintext size that a stored size stands for, as listings of an enveloped client do."""
    try:
        return plaintext_size(stored_size)
    except TruncatedObjectError:
        # No object of the plain layout has this size: it is what S3 says that it is.
        return stored_size


def listed(client: S3Client, where: S3Location, *, recursive: bool, versions: bool, sizes: Sizes) -> Iterator[Listed]:
    """Yield what is under a prefix; not recursive: up to the next slash.

    Args:
        client: A plain one.
        sizes: "exact" is up to a `Looker`; until then they are computed.
    """
    operation, names = (
        ("list_object_versions", ("Versions", "DeleteMarkers")) if versions else ("list_objects_v2", ("Contents",))
    )
    delimiter = {} if recursive else {"Delimiter": "/"}
    # Its overloads know no choice of operations.
    paginator: Any = client.get_paginator(operation)  # type: ignore[call-overload]
    for page in paginator.paginate(Bucket=where.bucket, Prefix=where.key, **delimiter):
        for entry in page.get("CommonPrefixes", ()):
            yield Listed("prefix", where.bucket, entry["Prefix"])
        entries = [(name, entry) for name in names for entry in page.get(name, ())]
        if versions:
            # The versions of a key from its newest to its oldest, as S3 has them, with the markers between them.
            entries.sort(key=lambda one: (one[1]["Key"], -one[1]["LastModified"].timestamp(), not one[1]["IsLatest"]))
        for name, entry in entries:
            yield _listed_object(where.bucket, name, entry, sizes)


def _listed_object(bucket: str, name: str, entry: Mapping[str, Any], sizes: Sizes) -> Listed:
    stored = entry.get("Size")
    return Listed(
        "delete_marker" if name == "DeleteMarkers" else "object",
        bucket,
        entry["Key"],
        version_id=entry.get("VersionId"),
        is_latest=entry.get("IsLatest"),
        size=stored if stored is None or sizes == "stored" else computed_size(stored),
        stored_size=stored,
        etag=entry.get("ETag"),
        last_modified=entry["LastModified"].isoformat(),
        storage_class=entry.get("StorageClass"),
    )


@dataclass(frozen=True, slots=True)
class Looker:
    """Asks for the metadata of listed objects, several at once.

    Args:
        client: A plain one.
        sizer: An enveloped client, for exact sizes; `None` leaves them.
        names: Of keys.
        with_details: Whether the format and the keys are told.
        sizes: As listed.
    """

    client: S3Client
    sizer: S3Client | None
    names: KeyNames
    with_details: bool
    sizes: Sizes
    workers: int

    def over(self, entries: Iterable[Listed]) -> Iterator[Listed]:
        """Yield the entries in their order, with what is to be told of them."""
        remaining = iter(entries)
        with ThreadPoolExecutor(self.workers) as executor:
            while batch := list(islice(remaining, _BATCH)):
                yield from executor.map(self._look, batch)

    def _look(self, entry: Listed) -> Listed:
        if entry.kind != "object":
            return entry
        version = {} if entry.version_id is None else {"VersionId": entry.version_id}
        where: dict[str, Any] = {"Bucket": entry.bucket, "Key": entry.key, **version}
        size, details = entry.size, dict(entry.details)
        if self.with_details:
            size, details = self._details(where, entry)
        if self.sizer is not None:
            size = _exact_size(self.sizer, where, entry)
        return replace(entry, size=size, details=details)

    def _details(self, where: dict[str, Any], entry: Listed) -> tuple[int | None, dict[str, Any]]:
        try:
            head: Mapping[str, Any] = self.client.head_object(**where)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            why = "deleted since it was listed" if code in _GONE else f"HeadObject: {code}"
            return entry.size, _details(UNKNOWN, error=why)
        size, details = describe_head(head, self.names)
        return (entry.size if size is None or self.sizes == "stored" else size), details


def _exact_size(sizer: S3Client, where: dict[str, Any], entry: Listed) -> int | None:
    try:
        return int(sizer.head_object(**where)["ContentLength"])
    except NotEncryptedError:
        return entry.stored_size
    except (S3EnvelopeError, ClientError):
        # It cannot be opened, or is gone since it was listed: the computed size stays, `verify` says what is wrong.
        return entry.size


def _details(format_name: str, **fields: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"bound": None, "indexed": None, "key_hints": [], "kms_keys": [], "error": None}
    return {"format": format_name, **nothing, **fields}


def describe_head(head: Mapping[str, Any], names: KeyNames) -> tuple[int | None, dict[str, Any]]:
    """Return the plaintext size, as far as metadata tells it, and the details of an object."""
    found, stored = head.get("Metadata") or {}, int(head["ContentLength"])
    if head.get("MissingMeta"):
        return None, _details(UNKNOWN, error="the server withholds metadata (x-amz-missing-meta)")
    try:
        envelope = Envelope.parse(found)
    except NotEncryptedError:
        return _foreign(found, stored)
    except EnvelopeError as error:
        return None, _details(UNKNOWN, error=f"{type(error).__name__}: {error}")
    hints = sorted({key.hint.hex() for key in envelope.encrypted_data_keys})
    details = _details(
        "SE1",
        bound=envelope.header.bound,
        indexed=envelope.header.indexed,
        key_hints=hints,
        kms_keys=sorted({name.key for hint in hints for name in names.get(hint, [])}),
    )
    return None if envelope.header.indexed else computed_size(stored), details


def _foreign(found: Mapping[str, str], stored: int) -> tuple[int | None, dict[str, Any]]:
    if not metadata.is_s3ec_metadata(found):
        return stored, _details(PLAIN)
    try:
        envelope = metadata.parse(found)
        return bodies.plaintext_size(envelope, stored), _details(needed_names(envelope)[0])
    except S3EnvelopeError as error:
        return None, _details("s3ec", error=f"{type(error).__name__}: {error}")


def in_words(details: Mapping[str, Any]) -> tuple[str, str]:
    """Return the format and the keys of an object for people."""
    words = [str(details["format"])]
    words += ["indexed"] if details["indexed"] else []
    words += ["unbound"] if details["bound"] is False else ["bound"] if details["bound"] else []
    keys = [*details["kms_keys"]] or [f"hint {hint}" for hint in details["key_hints"]]
    return " ".join(words), ", ".join(keys) or (details["error"] or "-")
