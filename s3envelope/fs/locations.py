"""Paths as buckets and keys, and errors of S3 as those of a filesystem."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from s3envelope.errors import ObjectChangedError

_VERSION_MARK = "?versionId="
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "NotFound", "404"})
_TAKEN = frozenset({"BucketAlreadyExists", "BucketAlreadyOwnedByYou"})
_CONDITION_FAILED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_FORBIDDEN = 403
# What S3 takes in one DeleteObjects.
MOST_DELETED = 1000


@dataclass(frozen=True, slots=True)
class Location:
    """A place in S3.

    Args:
        bucket: Empty for the list of all buckets.
        key: Empty for the bucket itself.
        version_id: `None` is the current version.
    """

    bucket: str
    key: str
    version_id: str | None = None

    @classmethod
    def of(cls, path: str, *, version_aware: bool = False) -> Location:
        """Return the location of a path without protocol.

        Args:
            version_aware: Whether `?versionId=` at the end names a version. Else it is a part of the key.
        """
        bucket, _, key = path.partition("/")
        if version_aware and _VERSION_MARK in key:
            key, _, version_id = key.rpartition(_VERSION_MARK)
            return cls(bucket, key, version_id)
        return cls(bucket, key)

    @property
    def prefix(self) -> str:
        """What the keys begin with that are below this location."""
        return f"{self.key}/" if self.key else ""

    def parameters(self) -> dict[str, Any]:
        """Return what names this object in a call of boto3."""
        named = {"Bucket": self.bucket, "Key": self.key}
        return named if self.version_id is None else {**named, "VersionId": self.version_id}


@contextmanager
def s3_errors(path: str, *, is_new: bool = False, etag: str | None = None) -> Iterator[None]:
    """Raise errors of S3 about one path as those of a filesystem; others stay botocore's.

    Args:
        is_new: Whether the call demands that nothing is there yet.
        etag: Of the version that the call demands.

    Raises:
        FileNotFoundError, FileExistsError, PermissionError: As the names say.
        OSError: A bucket is not empty.
        ObjectChangedError: It is not that version any more.
    """
    try:
        yield
    except ClientError as error:
        raised = _translated(error, path, is_new=is_new, etag=etag)
        if raised is None:
            raise
        raise raised from error


def _translated(error: ClientError, path: str, *, is_new: bool, etag: str | None) -> Exception | None:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _MISSING:
        return missing(path)
    if code in _TAKEN or (is_new and code in _CONDITION_FAILED):
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    if code == "BucketNotEmpty":
        return not_empty(path)
    if etag is not None and code in _CONDITION_FAILED:
        return ObjectChangedError(
            f"{path} was overwritten while it was read: it is not the version {etag} any more; open it again"
        )
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _FORBIDDEN:
        return PermissionError(errno.EACCES, f"{os.strerror(errno.EACCES)} ({error})", path)
    return None


def missing(path: str) -> FileNotFoundError:
    """Return the error that nothing is there."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def not_empty(path: str) -> OSError:
    """Return the error that a bucket or directory has contents."""
    return OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
