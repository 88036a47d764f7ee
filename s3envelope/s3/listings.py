"""Listings in plaintext terms."""

from __future__ import annotations

import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.core.layout import plaintext_size
from s3envelope.errors import EnvelopeError, TruncatedObjectError

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_LISTS = {"ListObjects": "Contents", "ListObjectsV2": "Contents", "ListObjectVersions": "Versions"}
_MOST_REQUESTS = 8


def present_listing(seam: Seam, bucket: str, operation: str, parsed: dict[str, Any], *, quoted: bool) -> None:
    """Replace stored sizes by plaintext sizes as the configuration says; leave those that are not of ours.

    Args:
        bucket: As the caller named it.
        quoted: Whether the keys in the answer are URL-encoded, because the caller asked for that.
    """
    entries = [entry for entry in parsed.get(_LISTS[operation], []) if "Size" in entry and "Key" in entry]
    if seam.config.list_sizes == "plaintext":
        for entry in entries:
            entry["Size"] = _computed(entry["Size"])
    elif seam.config.list_sizes == "exact" and entries:
        with ThreadPoolExecutor(min(_MOST_REQUESTS, len(entries))) as executor:
            sizes = executor.map(lambda entry: _asked(seam, bucket, entry, quoted=quoted), entries)
            for entry, size in zip(entries, sizes, strict=True):
                entry["Size"] = size


def _computed(stored_size: int) -> int:
    try:
        return plaintext_size(stored_size)
    except TruncatedObjectError:
        # No object of the plain layout has this size: it is what S3 says that it is.
        return stored_size


def _asked(seam: Seam, bucket: str, entry: dict[str, Any], *, quoted: bool) -> int:
    key = urllib.parse.unquote_plus(entry["Key"]) if quoted else entry["Key"]
    parameters = {"Bucket": bucket, "Key": key}
    if entry.get("VersionId"):
        parameters["VersionId"] = entry["VersionId"]
    try:
        return int(seam.client().head_object(**parameters)["ContentLength"])
    except (EnvelopeError, ClientError):
        # Not one of ours, or gone since it was listed.
        return int(entry["Size"])
