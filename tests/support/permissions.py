"""Which permissions of AWS the requests of boto3 need, and what a policy says to them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.endpoint import Endpoint as BotocoreEndpoint

from s3envelope.compliance.iam import matches

_BUCKET_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetBucketPolicy": "s3:GetBucketPolicy",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
}
# Those of an old version have actions of their own.
_OBJECT_ACTIONS = {
    "GetObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "HeadObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "GetObjectTagging": ("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
    "DeleteObject": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
}
_WRITES = (
    "PutObject",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "CopyObject",
    "UploadPartCopy",
)
_UPLOAD_ACTIONS = {"AbortMultipartUpload": "s3:AbortMultipartUpload", "ListParts": "s3:ListMultipartUploadParts"}
_KEY_ACTIONS = (
    *("GenerateDataKey", "Encrypt", "Decrypt", "DescribeKey"),
    *("GetKeyPolicy", "ListGrants", "GetKeyRotationStatus"),
)
_TRAIL_ACTIONS = ("DescribeTrails", "GetTrailStatus", "GetEventSelectors")


@dataclass(frozen=True, slots=True)
class Need:
    """One permission that a request needs.

    Args:
        values: Of the condition keys that the request has.
    """

    action: str
    resource: str
    values: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Wire:
    """The requests of every boto3 client of this process, as they are about to be sent."""

    arn_of: Callable[[str], str]
    needs: list[Need] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what was sent so far."""
        self.needs.clear()

    def see(self, service: str, operation: str, request: Mapping[str, Any]) -> None:
        """Note what a request needs.

        Raises:
            AssertionError: Nobody has said what this operation needs.
        """
        found = {"s3": _of_s3, "kms": self._of_kms, "cloudtrail": _of_trail, "sts": _of_nothing}[service]
        needs = list(found(operation, request))
        assert needs or service == "sts", f"say in {__name__} which permissions {service} {operation} needs"
        self.needs.extend(needs)

    def _of_kms(self, operation: str, request: Mapping[str, Any]) -> Iterator[Need]:
        sent = json.loads(request["body"])
        if operation == "ReEncrypt":
            for action, key, context in (
                ("kms:ReEncryptFrom", sent["SourceKeyId"], sent.get("SourceEncryptionContext", {})),
                ("kms:ReEncryptTo", sent["DestinationKeyId"], sent.get("DestinationEncryptionContext", {})),
            ):
                yield Need(action, self.arn_of(key), _context_values(context))
        elif operation == "ListKeys":
            yield Need("kms:ListKeys", "*")
        elif operation in _KEY_ACTIONS:
            context = _context_values(sent.get("EncryptionContext", {}))
            yield Need(f"kms:{operation}", self.arn_of(sent["KeyId"]), context)


def _context_values(context: Mapping[str, str]) -> dict[str, str]:
    return {f"kms:EncryptionContext:{name}": value for name, value in context.items()}


def _of_s3(operation: str, request: Mapping[str, Any]) -> Iterator[Need]:
    # Servers on loopback are addressed in path style.
    url, headers = urllib.parse.urlsplit(request["url"]), request["headers"]
    bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
    query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
    target = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    if operation in _BUCKET_ACTIONS:
        yield Need(_BUCKET_ACTIONS[operation], f"arn:aws:s3:::{bucket}")
    elif operation in _OBJECT_ACTIONS:
        yield Need(_OBJECT_ACTIONS[operation]["versionId" in query], target)
    elif operation in _UPLOAD_ACTIONS:
        yield Need(_UPLOAD_ACTIONS[operation], target)
    elif operation in _WRITES:
        tags = dict(urllib.parse.parse_qsl(headers.get("x-amz-tagging", "")))
        yield Need("s3:PutObject", target, {f"s3:RequestObjectTag/{name}": value for name, value in tags.items()})
        if tags:
            yield Need("s3:PutObjectTagging", target)
        if "x-amz-copy-source" in headers:
            yield from _of_copy(operation, headers, target)


def _of_copy(operation: str, headers: Mapping[str, str], target: str) -> Iterator[Need]:
    name, _, version = headers["x-amz-copy-source"].partition("?versionId=")
    source = "arn:aws:s3:::" + urllib.parse.unquote(name).lstrip("/")
    yield Need("s3:GetObjectVersion" if version else "s3:GetObject", source)
    if operation == "CopyObject" and headers.get("x-amz-tagging-directive", "COPY") == "COPY":
        # Of a source that has tags; a policy must allow for it.
        yield Need("s3:GetObjectVersionTagging" if version else "s3:GetObjectTagging", source)
        yield Need("s3:PutObjectTagging", target)


def _of_trail(operation: str, _: Mapping[str, Any]) -> Iterator[Need]:
    if operation in _TRAIL_ACTIONS:
        yield Need(f"cloudtrail:{operation}", "*")


def _of_nothing(_: str, __: Mapping[str, Any]) -> Iterator[Need]:
    return iter(())


@contextmanager
def watched_wire(monkeypatch: pytest.MonkeyPatch, arn_of: Callable[[str], str]) -> Iterator[Wire]:
    """Yield what every boto3 client of this process sends from now on; the requests go on unchanged.

    Args:
        arn_of: Returns the ARN of a KMS key, however a request names it.
    """
    wire = Wire(arn_of)
    original = BotocoreEndpoint.make_request

    def make_request(self: Any, operation_model: Any, request_dict: Any) -> Any:
        wire.see(operation_model.service_model.service_name, operation_model.name, request_dict)
        return original(self, operation_model, request_dict)

    with monkeypatch.context() as patched:
        patched.setattr(BotocoreEndpoint, "make_request", make_request)
        yield wire


# ---- policies ----


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the statements of a policy document."""
    found = policy["Statement"]
    return list(found) if isinstance(found, list) else [found]


def listed(value: str | list[str]) -> list[str]:
    """Return a value of a policy, which may be one string or several, as a list."""
    return [value] if isinstance(value, str) else list(value)


def _holds(operator: str, key: str, wanted: list[str], values: Mapping[str, str]) -> bool:
    value = values.get(key)
    if operator == "Null":
        return (value is None) is (wanted == ["true"])
    if operator == "StringEquals":
        return value in wanted
    if operator == "StringNotEquals":
        return value not in wanted
    if operator == "StringLike":
        return value is not None and any(matches(pattern, value) for pattern in wanted)
    if operator == "ArnNotLike":
        return value is None or not any(matches(pattern, value) for pattern in wanted)
    if operator == "Bool":
        return value in wanted
    raise AssertionError(f"say in {__name__} what the condition operator {operator} means")


def applies(statement: Mapping[str, Any], need: Need) -> bool:
    """Tell whether a statement speaks of a permission; whom it speaks of is left aside."""
    return (
        any(matches(action, need.action) for action in listed(statement["Action"]))
        and any(matches(resource, need.resource) for resource in listed(statement["Resource"]))
        and all(
            _holds(operator, key, listed(wanted), need.values)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def allows(policy: Mapping[str, Any], need: Need) -> bool:
    """Tell whether a policy allows a permission, and does not deny it."""
    speaking = [statement["Effect"] for statement in statements(policy) if applies(statement, need)]
    return "Allow" in speaking and "Deny" not in speaking


def denies(policy: Mapping[str, Any], need: Need) -> bool:
    """Tell whether a policy denies a permission."""
    return any(statement["Effect"] == "Deny" and applies(statement, need) for statement in statements(policy))
