"""Where a copy comes from: the ways in which boto3 lets a caller say it, and the conditions of S3."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from botocore.exceptions import ParamValidationError
from botocore.utils import parse_to_aware_datetime

from s3envelope.core.ranges import normalised_etag
from s3envelope.errors import ConfigurationError

_VERSION_SUFFIX = re.compile(r"\?versionId=[^\s]+$")
_ARN_OBJECT = "/object/"
# Arguments of a copy that speak of its source, and what they are called in a HEAD or GET of the source.
_SOURCE_ARGUMENTS = {
    "CopySourceSSECustomerAlgorithm": "SSECustomerAlgorithm",
    "CopySourceSSECustomerKey": "SSECustomerKey",
    "CopySourceSSECustomerKeyMD5": "SSECustomerKeyMD5",
    "ExpectedSourceBucketOwner": "ExpectedBucketOwner",
    "RequestPayer": "RequestPayer",
}
CONDITIONS = (
    "CopySourceIfMatch",
    "CopySourceIfNoneMatch",
    "CopySourceIfModifiedSince",
    "CopySourceIfUnmodifiedSince",
)


@dataclass(frozen=True, slots=True)
class CopySource:
    """An object, or one version of it, that is copied."""

    bucket: str
    key: str
    version_id: str | None

    @classmethod
    def parse(cls, source: object) -> CopySource:
        """Read a `CopySource`, as boto3 takes it: a dictionary, or "bucket/key" with or without a version id.

        Raises:
            ParamValidationError: A name is missing in the dictionary; botocore's own.
            ConfigurationError: It is neither.
        """
        missing = [name for name in ("Bucket", "Key") if isinstance(source, Mapping) and name not in source]
        if missing:
            raise ParamValidationError(report=f"Missing required parameter: {missing[0]!r}")
        if isinstance(source, Mapping) and isinstance(source.get("Bucket"), str) and isinstance(source.get("Key"), str):
            return cls(source["Bucket"], source["Key"], source.get("VersionId"))
        if isinstance(source, str):
            match = _VERSION_SUFFIX.search(source)
            version_id = match.group().removeprefix("?versionId=") if match else None
            path = source[: match.start()] if match else source
            separator = _ARN_OBJECT if path.startswith("arn:") else "/"
            bucket, found, key = path.lstrip("/").partition(separator)
            if found and bucket and key:
                return cls(bucket, key, version_id)
        raise ConfigurationError("CopySource is not understood; use {'Bucket': ..., 'Key': ...} or 'bucket/key'")

    def parameters(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a HEAD or GET of the source, for the arguments of a copy."""
        parameters = {"Bucket": self.bucket, "Key": self.key}
        if self.version_id is not None:
            parameters["VersionId"] = self.version_id
        parameters.update({theirs: arguments[ours] for ours, theirs in _SOURCE_ARGUMENTS.items() if ours in arguments})
        return parameters

    def as_parameter(self) -> dict[str, str]:
        """Return the dictionary form."""
        named = {"Bucket": self.bucket, "Key": self.key}
        return named if self.version_id is None else {**named, "VersionId": self.version_id}


def conditions_hold(arguments: Mapping[str, Any], etag: str, last_modified: datetime.datetime) -> bool:
    """Evaluate the conditions of a copy as S3 does.

    They are evaluated here because the copy itself is tied to the ETag of the header that was read.
    """
    match, none_match = arguments.get("CopySourceIfMatch"), arguments.get("CopySourceIfNoneMatch")
    if match is not None and not _names(match, etag):
        return False
    if none_match is not None and _names(none_match, etag):
        return False
    unmodified, modified = arguments.get("CopySourceIfUnmodifiedSince"), arguments.get("CopySourceIfModifiedSince")
    if unmodified is not None and match is None and last_modified > _instant(unmodified):
        return False
    return not (modified is not None and none_match is None and last_modified <= _instant(modified))


def _names(condition: str, etag: str) -> bool:
    return condition == "*" or normalised_etag(condition) == normalised_etag(etag)


def _instant(value: object) -> datetime.datetime:
    instant: datetime.datetime = parse_to_aware_datetime(cast(str, value))
    return instant
