"""What happens to each operation of the S3 API. An operation that is not listed is refused."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3envelope.errors import UnsupportedOperationError


class Treatment(enum.Enum):
    """What happens to an operation.

    SEAL: its body is sealed. OPEN: its answer is put into plaintext terms. REWRAP: it is made of several requests,
    which give the result an envelope of its own. PASS: it is unchanged. REFUSE: no request is made.
    """

    SEAL = enum.auto()
    OPEN = enum.auto()
    REWRAP = enum.auto()
    PASS = enum.auto()
    REFUSE = enum.auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to one operation.

    Args:
        treatment: See there.
        reason, alternative: For `REFUSE`: why, and what to do instead.
        note: For the others: what a user of boto3 should know.
        differs: Whether the answer is another one than a plain client would get.
    """

    treatment: Treatment
    reason: str = ""
    alternative: str = ""
    note: str = ""
    differs: bool = False


_MULTIPART = (
    "parts in any order, of any size, from several processes; `complete` adds an index as one more part, or to a last "
    "part below 5 MiB. With `PartSize=`, a multiple of 64 KiB, there is no index: every part but the last has this "
    "size, and each is sent once"
)
_RESTORE = "`Type='SELECT'` is refused: S3 cannot query ciphertext"
_LISTING = (
    "`Size` is computed from the stored size; for multipart uploads without `PartSize` it may read up to 52 bytes per "
    'part and 4 bytes high. `list_sizes="exact"` asks for each object, `"stored"` leaves the stored sizes'
)
_COPY = (
    "the body stays in S3, the copy gets an envelope of its own; one HEAD before and one after. A source without "
    'envelope is refused unless `unencrypted="allow"`; it is then read and written sealed'
)

_SEAL = {
    "PutObject": "bodies that boto3 takes, and `memoryview`; a stream that cannot seek is sealed into a temporary file "
    "first; `WriteOffsetBytes` is refused",
    "CreateMultipartUpload": _MULTIPART,
    "UploadPart": _MULTIPART,
    "CompleteMultipartUpload": _MULTIPART,
}
_OPEN = {
    "GetObject": "every form of `Range`; whole segments are fetched, 64 KiB at least; `PartNumber` is refused",
    "HeadObject": "sizes of the plaintext; a claim of the server until the object is read",
    "ListObjects": _LISTING,
    "ListObjectsV2": _LISTING,
    "ListObjectVersions": _LISTING,
    "ListParts": '`Size` of the plaintext of each part; `list_sizes="stored"` leaves the stored sizes',
}
_OPEN_DIFFERENTLY = {"GetObjectAttributes": "`ObjectSize` of the plaintext; no `Checksum` and `ObjectParts`"}
_REWRAP = {"CopyObject": _COPY, "UploadPartCopy": "the range is read, verified and sealed as a part"}

_REFUSED = {
    "GetObjectTorrent": ("it serves ciphertext", "use get_object"),
    "SelectObjectContent": ("S3 cannot query ciphertext", "get the object and query it here"),
    "RenameObject": (
        "the envelope is bound to the object's key",
        "read the object, put it under the new key, then delete the old one",
    ),
    "PutObjectAnnotation": ("the annotation would be stored in plaintext", "put it into an object of its own"),
    "WriteGetObjectResponse": (
        "it sends plaintext through S3 to another caller",
        "use a plain boto3 client in the Lambda function if that is what you want",
    ),
}

_PASS = (
    "AbortMultipartUpload",
    "CreateBucket",
    "CreateBucketMetadataConfiguration",
    "CreateBucketMetadataTableConfiguration",
    "CreateSession",
    "DeleteBucket",
    "DeleteBucketAnalyticsConfiguration",
    "DeleteBucketCors",
    "DeleteBucketEncryption",
    "DeleteBucketIntelligentTieringConfiguration",
    "DeleteBucketInventoryConfiguration",
    "DeleteBucketLifecycle",
    "DeleteBucketMetadataConfiguration",
    "DeleteBucketMetadataTableConfiguration",
    "DeleteBucketMetricsConfiguration",
    "DeleteBucketOwnershipControls",
    "DeleteBucketPolicy",
    "DeleteBucketReplication",
    "DeleteBucketTagging",
    "DeleteBucketWebsite",
    "DeleteObject",
    "DeleteObjectAnnotation",
    "DeleteObjectTagging",
    "DeleteObjects",
    "DeletePublicAccessBlock",
    "GetBucketAbac",
    "GetBucketAccelerateConfiguration",
    "GetBucketAcl",
    "GetBucketAnalyticsConfiguration",
    "GetBucketCors",
    "GetBucketEncryption",
    "GetBucketIntelligentTieringConfiguration",
    "GetBucketInventoryConfiguration",
    "GetBucketLifecycle",
    "GetBucketLifecycleConfiguration",
    "GetBucketLocation",
    "GetBucketLogging",
    "GetBucketMetadataConfiguration",
    "GetBucketMetadataTableConfiguration",
    "GetBucketMetricsConfiguration",
    "GetBucketNotification",
    "GetBucketNotificationConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketReplication",
    "GetBucketRequestPayment",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetObjectAcl",
    "GetObjectAnnotation",
    "GetObjectLegalHold",
    "GetObjectLockConfiguration",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetPublicAccessBlock",
    "HeadBucket",
    "ListBucketAnalyticsConfigurations",
    "ListBucketIntelligentTieringConfigurations",
    "ListBucketInventoryConfigurations",
    "ListBucketMetricsConfigurations",
    "ListBuckets",
    "ListDirectoryBuckets",
    "ListMultipartUploads",
    "ListObjectAnnotations",
    "PutBucketAbac",
    "PutBucketAccelerateConfiguration",
    "PutBucketAcl",
    "PutBucketAnalyticsConfiguration",
    "PutBucketCors",
    "PutBucketEncryption",
    "PutBucketIntelligentTieringConfiguration",
    "PutBucketInventoryConfiguration",
    "PutBucketLifecycle",
    "PutBucketLifecycleConfiguration",
    "PutBucketLogging",
    "PutBucketMetricsConfiguration",
    "PutBucketNotification",
    "PutBucketNotificationConfiguration",
    "PutBucketOwnershipControls",
    "PutBucketPolicy",
    "PutBucketReplication",
    "PutBucketRequestPayment",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutBucketWebsite",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectLockConfiguration",
    "PutObjectRetention",
    "PutObjectTagging",
    "PutPublicAccessBlock",
    "UpdateBucketMetadataAnnotationTableConfiguration",
    "UpdateBucketMetadataInventoryTableConfiguration",
    "UpdateBucketMetadataJournalTableConfiguration",
    "UpdateObjectEncryption",
)

OPERATIONS: dict[str, Rule] = {
    **{name: Rule(Treatment.SEAL, note=note) for name, note in _SEAL.items()},
    **{name: Rule(Treatment.OPEN, note=note) for name, note in _OPEN.items()},
    **{name: Rule(Treatment.OPEN, note=note, differs=True) for name, note in _OPEN_DIFFERENTLY.items()},
    **{name: Rule(Treatment.REWRAP, note=note) for name, note in _REWRAP.items()},
    **{name: Rule(Treatment.REFUSE, *words) for name, words in _REFUSED.items()},
    **{name: Rule(Treatment.PASS) for name in _PASS},
    "RestoreObject": Rule(Treatment.PASS, note=_RESTORE),
}

_UPLOAD = (
    "`ExtraArgs` also takes `EncryptionContext` and `PartSize`; parts are multiples of 64 KiB. boto3's CRT transfer "
    "client would bypass encryption: it is never used, and refused if it is asked for"
)
_PRESIGNED = Rule(
    Treatment.REFUSE,
    "whoever uses it would go around the encryption",
    "make the call through this client; `allow_presigned_ciphertext=True` allows URLs for `get_object` and "
    "`head_object`. URLs for operations that pass unchanged work",
)
# What boto3 adds to a client beside the operations of the API.
METHODS: dict[str, Rule] = {
    "upload_file": Rule(Treatment.SEAL, note=_UPLOAD),
    "upload_fileobj": Rule(Treatment.SEAL, note=_UPLOAD),
    "download_file": Rule(Treatment.OPEN, note="a file has its name only when it is whole and verified"),
    "download_fileobj": Rule(Treatment.OPEN, note="every byte that arrives is verified"),
    "copy": Rule(Treatment.REWRAP, note=_COPY),
    "generate_presigned_url": _PRESIGNED,
    "generate_presigned_post": _PRESIGNED,
}

_UNKNOWN = Rule(
    Treatment.REFUSE,
    "this version of s3envelope does not know the operation",
    "use a plain boto3 client if no object content is involved, or update s3envelope",
)


def rule_for(operation: str) -> Rule:
    """Return what happens to an operation."""
    return OPERATIONS.get(operation, _UNKNOWN)


def refuse(operation: str) -> UnsupportedOperationError:
    """Return the error for an operation that is refused."""
    rule = rule_for(operation)
    return UnsupportedOperationError(f"{operation} is refused: {rule.reason}. Instead, {rule.alternative}.")


def refuse_query(parameters: Mapping[str, Any]) -> None:
    """Raise `UnsupportedOperationError` for a restore that queries the object."""
    request = parameters.get("RestoreRequest")
    if isinstance(request, Mapping) and (request.get("Type") == "SELECT" or "SelectParameters" in request):
        raise UnsupportedOperationError(
            "RestoreObject with Type='SELECT' is refused: S3 cannot query ciphertext. Instead, restore the object, "
            "then get it and query it here"
        )
