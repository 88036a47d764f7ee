"""Instruction files: objects beside an object that hold its envelope, written by the Amazon S3 Encryption Clients."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.engine.sources import read_fully
from s3envelope.errors import MalformedEnvelopeError
from s3envelope.s3.copy_sources import CopySource

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

MOST_BYTES = 65_536
_CARRIED = (
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
    "RequestPayer",
    "ExpectedBucketOwner",
)
_DELETE_CARRIED = ("RequestPayer", "ExpectedBucketOwner", "BypassGovernanceRetention")
_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED = frozenset({"AccessDenied", "403", "Forbidden"})
_MOST_DELETED = 1000


def read_instruction_file(
    raw: Callable[[str, dict[str, Any]], Any], suffix: str, parameters: Mapping[str, Any]
) -> bytes | None:
    """Return the content of the instruction file of an object; `None` if there is none.

    Args:
        raw: Makes a request in ciphertext terms.
        parameters: Of the GET or HEAD of the object. Its version says nothing about the file's: the latest is read.

    Raises:
        MalformedEnvelopeError: The file is larger than 64 KiB; the rest is not read.
        ClientError: S3 refuses to tell.
    """
    key = f"{parameters['Key']}{suffix}"
    carried = {name: parameters[name] for name in _CARRIED if name in parameters}
    try:
        answer = raw("GetObject", {"Bucket": parameters["Bucket"], "Key": key, **carried})
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ABSENT:
            return None
        if code in _DENIED:
            raise _denied(error, key) from error
        raise
    body = answer["Body"]
    try:
        content = read_fully(body, MOST_BYTES + 1)
    finally:
        body.close()
    if len(content) > MOST_BYTES:
        raise MalformedEnvelopeError(f"the instruction file {key!r} is larger than {MOST_BYTES} bytes")
    return content


def _denied(error: ClientError, key: str) -> ClientError:
    message = (
        f"the object has no envelope in its metadata, and its instruction file {key!r} may not be read. "
        "S3 answers so too if there is none and s3:ListBucket is not allowed"
    )
    answer: Any = {**error.response, "Error": {"Code": "AccessDenied", "Message": message}}
    return type(error)(answer, "GetObject")


def _delete_with_object(seam: Seam, parameters: Mapping[str, Any], answer: dict[str, Any]) -> None:
    """Delete the instruction file of an object that was deleted.

    Raises:
        ClientError: It is still there; the object is gone.
    """
    suffix = seam.config.instruction_suffix
    if _has_file(parameters["Key"], parameters, suffix):
        carried = {name: parameters[name] for name in _DELETE_CARRIED if name in parameters}
        seam.inner("DeleteObject", {"Bucket": parameters["Bucket"], "Key": parameters["Key"] + suffix, **carried})


def _delete_with_objects(seam: Seam, parameters: Mapping[str, Any], answer: dict[str, Any]) -> None:
    """Delete the instruction files of those objects that were deleted; failures join those in `answer`."""
    suffix = seam.config.instruction_suffix
    failed = {error.get("Key") for error in answer.get("Errors", [])}
    asked = [
        entry
        for entry in parameters["Delete"]["Objects"]
        if entry["Key"] not in failed and _has_file(entry["Key"], entry, suffix)
    ]
    files = [{"Key": key + suffix} for key in dict.fromkeys(entry["Key"] for entry in asked)]
    carried = {name: parameters[name] for name in _DELETE_CARRIED if name in parameters}
    for start in range(0, len(files), _MOST_DELETED):
        request = {"Objects": files[start : start + _MOST_DELETED], "Quiet": True}
        more = seam.inner("DeleteObjects", {"Bucket": parameters["Bucket"], "Delete": request, **carried})
        if more.get("Errors"):
            answer.setdefault("Errors", []).extend(more["Errors"])


# What follows a deletion, where the configuration says so: the object goes first, for it is nothing without the file.
DELETIONS: Mapping[str, Callable[[Seam, Mapping[str, Any], dict[str, Any]], None]] = {
    "DeleteObject": _delete_with_object,
    "DeleteObjects": _delete_with_objects,
}


def _has_file(key: str, entry: Mapping[str, Any], suffix: str) -> bool:
    # Nothing tells which version of the file belongs to a version of the object.
    return not key.endswith(suffix) and not entry.get("VersionId")


def copy_instruction_file(
    seam: Seam, source: CopySource, target: Mapping[str, Any], *, source_suffix: str
) -> dict[str, Any]:
    """Copy the instruction file of an object to that of its copy."""
    arguments = {name: target[name] for name in _CARRIED if name in target}
    for name in ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"):
        if f"CopySource{name}" in target:
            arguments[f"CopySource{name}"] = target[f"CopySource{name}"]
    if "ExpectedSourceBucketOwner" in target:
        arguments["ExpectedSourceBucketOwner"] = target["ExpectedSourceBucketOwner"]
    return seam.inner(
        "CopyObject",
        {
            **arguments,
            "Bucket": target["Bucket"],
            "Key": target["Key"] + seam.config.instruction_suffix,
            "CopySource": {"Bucket": source.bucket, "Key": source.key + source_suffix},
        },
    )


def hide_instruction_files(suffix: str, parsed: dict[str, Any], *, quoted: bool) -> None:
    """Take instruction files out of a page of a listing; it goes on where it would have gone on.

    Args:
        quoted: Whether the keys in the answer are URL-encoded.
    """
    contents = parsed.get("Contents", [])
    if parsed.get("IsTruncated") and contents and "NextMarker" not in parsed and "KeyCount" not in parsed:
        # Of the oldest operation the last key says where to go on, and it may be one that is hidden.
        parsed["NextMarker"] = contents[-1]["Key"]
    hidden_count = 0
    for name in ("Contents", "Versions", "DeleteMarkers"):
        if name in parsed:
            kept = [entry for entry in parsed[name] if not _ends_with(suffix, entry.get("Key", ""), quoted=quoted)]
            hidden_count += len(parsed[name]) - len(kept)
            parsed[name] = kept
    if "KeyCount" in parsed:
        parsed["KeyCount"] -= hidden_count


def _ends_with(suffix: str, key: str, *, quoted: bool) -> bool:
    return (urllib.parse.unquote_plus(key) if quoted else key).endswith(suffix)
