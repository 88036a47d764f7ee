"""Listings in plaintext terms."""

from __future__ import annotations

import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.core.layout import plaintext_size
from s3envelope.core.segments import SEALED_SEGMENT_SIZE, SEGMENT_OVERHEAD, SEGMENT_SIZE
from s3envelope.errors import EnvelopeError, TruncatedObjectError
from s3envelope.formats import names
from s3envelope.formats.s3ec.model import TAG_SIZE
from s3envelope.s3.instruction_files import hide_instruction_files

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_LISTS = {"ListObjects": "Contents", "ListObjectsV2": "Contents", "ListObjectVersions": "Versions"}
_PARTS = "ListParts"
_MOST_REQUESTS = 8


def present_listing(seam: Seam, bucket: str, operation: str, parsed: dict[str, Any], *, quoted: bool) -> None:
    """Replace stored sizes by plaintext sizes as the configuration says; leave those that are not of ours.

    Args:
        bucket: As the caller named it.
        quoted: Whether the keys in the answer are URL-encoded, because the caller asked for that.
    """
    if operation == _PARTS:
        # A part of one message is as large as its plaintext.
        if seam.config.list_sizes != "stored" and seam.config.write_format == names.SE1:
            _present_parts(parsed.get("Parts", []))
        return
    if seam.config.hide_instruction_files:
        hide_instruction_files(seam.config.instruction_suffix, parsed, quoted=quoted)
    entries = [
        entry
        for entry in parsed.get(_LISTS[operation], [])
        if "Size" in entry and "Key" in entry and not _is_instruction_file(seam, entry["Key"], quoted=quoted)
    ]
    if seam.config.list_sizes == "plaintext":
        reads_se1 = names.SE1 in seam.config.read_formats
        for entry in entries:
            # Where both are read, nothing in a listing tells them apart.
            entry["Size"] = _computed(entry["Size"]) if reads_se1 else max(0, entry["Size"] - TAG_SIZE)
    elif seam.config.list_sizes == "exact" and entries:
        with ThreadPoolExecutor(min(_MOST_REQUESTS, len(entries))) as executor:
            sizes = executor.map(lambda entry: _asked(seam, bucket, entry, quoted=quoted), entries)
            for entry, size in zip(entries, sizes, strict=True):
                entry["Size"] = size


def _is_instruction_file(seam: Seam, key: str, *, quoted: bool) -> bool:
    name = urllib.parse.unquote_plus(key) if quoted else key
    return seam.config.reads_s3ec and name.endswith(seam.config.instruction_suffix)


def _present_parts(parts: list[dict[str, Any]]) -> None:
    for part in parts:
        full_count, rest_size = divmod(part.get("Size", 0), SEALED_SEGMENT_SIZE)
        # A part of whole segments that is not the last one has nothing behind them.
        if rest_size == 0 or rest_size >= SEGMENT_OVERHEAD:
            part["Size"] = full_count * SEGMENT_SIZE + max(0, rest_size - SEGMENT_OVERHEAD)


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
