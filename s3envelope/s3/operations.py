"""What happens to each operation of the S3 API. An operation that is not listed is refused."""

from __future__ import annotations

import enum
from dataclasses import dataclass

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
    """The treatment of one operation; for `REFUSE` also the reason and what to do instead."""

    treatment: Treatment
    reason: str = ""
    alternative: str = ""


_SEAL = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
_OPEN = ("GetObject", "GetObjectAttributes", "HeadObject", "ListObjects", "ListObjectsV2", "ListObjectVersions")

_REWRAP = ("CopyObject", "UploadPartCopy")

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
    "ListParts",
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
    "RestoreObject",
    "UpdateBucketMetadataAnnotationTableConfiguration",
    "UpdateBucketMetadataInventoryTableConfiguration",
    "UpdateBucketMetadataJournalTableConfiguration",
    "UpdateObjectEncryption",
)

OPERATIONS: dict[str, Rule] = {
    **{name: Rule(Treatment.SEAL) for name in _SEAL},
    **{name: Rule(Treatment.OPEN) for name in _OPEN},
    **{name: Rule(Treatment.REWRAP) for name in _REWRAP},
    **{name: Rule(Treatment.REFUSE, *words) for name, words in _REFUSED.items()},
    **{name: Rule(Treatment.PASS) for name in _PASS},
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
