"""How the bucket is set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from s3envelope.compliance.failures import code_of
from s3envelope.compliance.iam import MalformedPolicyError, denies_plain_http
from s3envelope.compliance.model import NotAssessedError, Verdict
from s3envelope.compliance.subject import Subject

_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_NO_POLICY = "NoSuchBucketPolicy"
_NO_BLOCK = "NoSuchPublicAccessBlockConfiguration"
_NO_ENCRYPTION = "ServerSideEncryptionConfigurationNotFoundError"
_ALGORITHMS = ("AES256", "aws:kms", "aws:kms:dsse")


def _unless(missing: str, call: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return an answer; `None` if the bucket has no such setting."""
    try:
        return call()
    except ClientError as error:
        if code_of(error) == missing:
            return None
        raise


class RequiresTls:
    """The bucket policy denies requests that do not come over TLS."""

    id = "bucket-tls"
    title = "The bucket policy allows TLS only"
    proves = "Nobody reads or writes the bucket over a connection that others can read."
    remedy = (
        'Add a statement to the bucket policy: Effect Deny, Principal "*", Action "s3:*", Resource the bucket and '
        'bucket/*, Condition {"Bool": {"aws:SecureTransport": "false"}}.'
    )
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the bucket policy."""
        bucket = subject.scope.bucket
        answer = _unless(_NO_POLICY, lambda: subject.clients.s3.get_bucket_policy(Bucket=bucket))
        if answer is None:
            return Verdict(False, (f"{bucket} has no bucket policy",))
        partition = subject.key_arn().split(":")[1]
        try:
            is_good = denies_plain_http(answer["Policy"], f"arn:{partition}:s3:::{bucket}")
        except MalformedPolicyError as error:
            raise NotAssessedError(f"the bucket policy is not understood: {error}") from error
        word = "denies" if is_good else "does not deny"
        return Verdict(is_good, (f"The policy of {bucket} {word} every action without TLS to everyone",))


class BlocksPublicAccess:
    """All four blocks of public access are on for the bucket."""

    id = "bucket-public-access"
    title = "Public access to the bucket is blocked"
    proves = "Neither an ACL nor a bucket policy can make the bucket or an object public."
    remedy = "Call s3:PutPublicAccessBlock on the bucket with all four settings on."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the bucket's own settings."""
        bucket = subject.scope.bucket
        answer = _unless(_NO_BLOCK, lambda: subject.clients.s3.get_public_access_block(Bucket=bucket))
        found = {} if answer is None else answer["PublicAccessBlockConfiguration"]
        line = ", ".join(f"{name} {'on' if found.get(name) is True else 'OFF'}" for name in _BLOCKS)
        note = "Settings of the whole account were not looked at"
        return Verdict(all(found.get(name) is True for name in _BLOCKS), (line, note))


class KeepsVersions:
    """The bucket keeps old versions."""

    id = "bucket-versioning"
    title = "Versioning of the bucket is on"
    proves = "An object that was overwritten or deleted, by mistake or by an attacker, can be had again."
    remedy = "Call s3:PutBucketVersioning with Status Enabled."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the versioning state."""
        answer = subject.clients.s3.get_bucket_versioning(Bucket=subject.scope.bucket)
        status = answer.get("Status", "never enabled")
        return Verdict(status == "Enabled", (f"Versioning is {status}, MFA delete {answer.get('MFADelete', 'off')}",))


class EncryptsByDefault:
    """S3 encrypts what it stores, over our own encryption."""

    id = "bucket-encryption"
    title = "Default encryption of the bucket is on"
    proves = "What a client without envelopes writes by mistake is at least encrypted at rest by S3."
    remedy = "Call s3:PutBucketEncryption with aws:kms or AES256."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the default encryption."""
        bucket = subject.scope.bucket
        answer = _unless(_NO_ENCRYPTION, lambda: subject.clients.s3.get_bucket_encryption(Bucket=bucket))
        rules = [] if answer is None else answer["ServerSideEncryptionConfiguration"].get("Rules", [])
        found = [str((rule.get("ApplyServerSideEncryptionByDefault") or {}).get("SSEAlgorithm")) for rule in rules]
        is_good = any(algorithm in _ALGORITHMS for algorithm in found)
        return Verdict(is_good, (f"Default encryption: {', '.join(found) or 'none'}",))
