"""A set-up that keeps to the policy, on moto's KMS, S3, CloudTrail and STS in this process."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

from s3envelope.caches.limits import CacheLimits
from s3envelope.compliance.assess import assess
from s3envelope.compliance.assessment import Assessment
from s3envelope.compliance.audit_log import FileAuditLog
from s3envelope.compliance.controls import read_controls
from s3envelope.compliance.policy import CompliancePolicy
from s3envelope.compliance.subject import Clients, Scope, Subject
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import Keyring
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import client as enveloped_client
from tests.support.auditing import write

ACCOUNT = "123456789012"
STRANGER = "999999999999"
CONTEXT = EncryptionContext({"purpose": "tests"})
REGION = "us-east-1"
TRAIL = "everything"
logging.getLogger("werkzeug").setLevel(logging.ERROR)
_ARGUMENTS: dict[str, Any] = {
    "region_name": REGION,
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "config": Config(retries={"total_max_attempts": 1}, proxies={}),
}


def tls_only(bucket: str) -> dict[str, Any]:
    """Return the bucket policy of the good set-up."""
    arn = f"arn:aws:s3:::{bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def key_policy(*more: dict[str, Any]) -> str:
    """Return the key policy that KMS makes by itself, with further statements."""
    root = {
        "Sid": "Root",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [root, *more]})


@dataclass(frozen=True, slots=True)
class SetUp:
    """The good set-up, to be broken; the clients are plain ones."""

    url: str
    bucket: str
    key_arn: str
    audit_log: Path
    s3: Any
    kms: Any
    trails: Any

    @property
    def options(self) -> list[str]:
        """What the command needs."""
        servers = ("--endpoint-url", "--kms-endpoint-url", "--cloudtrail-endpoint-url", "--sts-endpoint-url")
        return [
            *("--bucket", self.bucket, "--kms-key", self.key_arn, "--audit-log", str(self.audit_log)),
            *(word for server in servers for word in (server, self.url)),
        ]

    def assess(
        self, policy: CompliancePolicy | None = None, *, skipped: tuple[str, ...] = (), sample_size: int | None = None
    ) -> Assessment:
        """Run all checks, with clients that are made once: that is what takes long."""
        return assess(self.subject(policy, sample_size), read_controls(), assessor="arn:tests", skipped=skipped)

    def subject(self, policy: CompliancePolicy | None = None, sample_size: int | None = None) -> Subject:
        """Return what checks look at."""
        scope = Scope(
            key_id=self.key_arn,
            bucket=self.bucket,
            policy=policy or CompliancePolicy(),
            context=CONTEXT,
            cache_limits=CacheLimits(),
            audit=FileAuditLog(self.audit_log),
            sample_size=sample_size,
        )
        clients = Clients(kms=self.kms, s3=self.s3, sealing=self.sealing, trails=lambda _: self.trails)
        return Subject(scope, clients, wall_clock=time.time)

    @contextmanager
    def sealing(self, keyring: Keyring) -> Iterator[Any]:
        """Yield an enveloped client that keeps no data keys."""
        config = EnvelopeConfig(keyring=keyring, encryption_context=CONTEXT, cache=None, cache_limits=None)
        client = enveloped_client("s3", envelope=config, endpoint_url=self.url, **_ARGUMENTS)
        yield client
        client.close()

    def put_sealed(self, *keys: str, body: bytes = b"sealed") -> None:
        """Store objects with the library."""
        with self.sealing(KmsKeyring(self.key_arn, self.kms)) as client:
            for key in keys:
                client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def keys(self) -> list[str]:
        """Return the keys of all versions of all objects, delete markers too."""
        found = self.s3.list_object_versions(Bucket=self.bucket)
        return [entry["Key"] for entry in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))]


@contextmanager
def moto_of_everything() -> Iterator[str]:
    """Run moto's servers of all services in this process; yield the URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def plain_client(service: str, url: str) -> Any:
    """Return a plain boto3 client of moto."""
    return boto3.session.Session().client(service, endpoint_url=url, **_ARGUMENTS)  # type: ignore[call-overload]


def good_set_up(url: str, s3: Any, kms: Any, trails: Any, folder: Path) -> SetUp:
    """Make a bucket, a key, a trail and an audit log that pass every check."""
    bucket = f"bucket-{os.urandom(8).hex()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(tls_only(bucket)))
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    key = kms.create_key(KeyUsage="ENCRYPT_DECRYPT", Policy=key_policy())["KeyMetadata"]
    kms.enable_key_rotation(KeyId=key["KeyId"])
    trails.create_trail(Name=TRAIL, S3BucketName=bucket, IsMultiRegionTrail=True, EnableLogFileValidation=True)
    trails.put_event_selectors(
        TrailName=TRAIL, EventSelectors=[{"ReadWriteType": "All", "IncludeManagementEvents": True}]
    )
    trails.start_logging(Name=TRAIL)
    log = folder / "audit" / "log.jsonl"
    write(log, 5)
    made = SetUp(url, bucket, key["Arn"], log, s3, kms, trails)
    made.put_sealed("first", "second")
    return made
