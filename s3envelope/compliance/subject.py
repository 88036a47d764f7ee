"""What is looked at: one key, one bucket, and the services around them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.caches.limits import CacheLimits
from s3envelope.compliance.policy import CompliancePolicy
from s3envelope.compliance.sample import Sample, take_sample
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import Keyring, Random
from s3envelope.keyrings.kms import KmsKeyring

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

TEST_PREFIX = ".s3envelope-compliance/"


class TrailClient(Protocol):
    """What is used of a boto3 CloudTrail client."""

    def describe_trails(self, **parameters: Any) -> Mapping[str, Any]: ...

    def get_trail_status(self, **parameters: Any) -> Mapping[str, Any]: ...

    def get_event_selectors(self, **parameters: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class AuditState:
    """What a whole audit log says about itself.

    Args:
        problems: What no undisturbed log has; empty if it verifies.
        notes: What was compared, and with what.
    """

    record_count: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


class AuditLog(Protocol):
    """An audit log with a chain."""

    def verify(self) -> AuditState:
        """Read the log from its beginning. Must raise `AuditError` or `OSError` if that cannot be done."""
        ...

    def append_evidence(self, name: str, sha256: str) -> None:
        """Chain a document into the log. Must raise `AuditError` if that was not done."""
        ...


@dataclass(frozen=True, slots=True)
class Clients:
    """Ready clients of the services.

    Args:
        kms, s3: Plain ones, in the regions of the key and of the bucket.
        sealing: Opens an enveloped S3 client that seals with a keyring and keeps no data key.
        trails: Returns the CloudTrail client of a region; `None` is the region of the key.
    """

    kms: KMSClient
    s3: S3Client
    sealing: Callable[[Keyring], AbstractContextManager[Any]]
    trails: Callable[[str | None], TrailClient]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is to be looked at, and how closely.

    Args:
        key_id: As for `KmsKeyring`.
        context: The encryption context of test objects.
        cache_limits: Those of a client as it is configured here; `None` if it keeps no data keys.
        sample_size: How many objects are looked at; `None` is all.
    """

    key_id: str
    bucket: str
    policy: CompliancePolicy
    context: EncryptionContext
    cache_limits: CacheLimits | None
    audit: AuditLog | None = None
    sample_size: int | None = 100


class Subject:
    """The scope and the clients, with what several checks ask for kept."""

    def __init__(
        self, scope: Scope, clients: Clients, *, wall_clock: Callable[[], float], random: Random = os.urandom
    ) -> None:
        self.scope = scope
        self.clients = clients
        self.wall_clock = wall_clock
        self.random = random
        self._key: Mapping[str, Any] | None = None
        self._sample: Sample | None = None
        self._trails: Sequence[Trail] | None = None

    @property
    def policy(self) -> CompliancePolicy:
        return self.scope.policy

    def keyring(self) -> KmsKeyring:
        """Return a new keyring of the key."""
        return KmsKeyring(self.scope.key_id, self.clients.kms)

    def key(self) -> Mapping[str, Any]:
        """Return the KeyMetadata of the key."""
        if self._key is None:
            self._key = dict(self.clients.kms.describe_key(KeyId=self.scope.key_id)["KeyMetadata"])
        return self._key

    def key_arn(self) -> str:
        """Return the ARN of the key."""
        return str(self.key()["Arn"])

    def sample(self) -> Sample:
        """Return a random sample of the objects in the bucket, taken once."""
        if self._sample is None:
            self._sample = take_sample(
                self.clients.s3, self.scope.bucket, self.scope.sample_size, self.random, without=TEST_PREFIX
            )
        return self._sample

    def trails(self) -> Sequence[Trail]:
        """Return the trails that reach the region of the key."""
        if self._trails is None:
            answer = self.clients.trails(None).describe_trails(includeShadowTrails=True)
            self._trails = [Trail(dict(found)) for found in answer.get("trailList", ())]
        return self._trails

    @contextmanager
    def test_object(self) -> Iterator[dict[str, str]]:
        """Yield a place for a test object; every version of it is deleted afterwards, whatever happens."""
        where = {"Bucket": self.scope.bucket, "Key": f"{TEST_PREFIX}{self.random(16).hex()}"}
        try:
            yield where
        finally:
            self._delete(where)

    def _delete(self, where: Mapping[str, str]) -> None:
        s3: Any = self.clients.s3
        try:
            found = s3.list_object_versions(Bucket=where["Bucket"], Prefix=where["Key"])
            entries = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
            for version in {entry["VersionId"] for entry in entries if entry["Key"] == where["Key"]}:
                s3.delete_object(**where, VersionId=version)
        except (ClientError, BotoCoreError):
            # Versions may not be listed, or are locked: what can be done is to hide the object.
            s3.delete_object(**where)


@dataclass(frozen=True, slots=True)
class Trail:
    """A trail as DescribeTrails tells it."""

    found: Mapping[str, Any]

    @property
    def arn(self) -> str:
        return str(self.found.get("TrailARN") or self.found.get("Name"))

    @property
    def home(self) -> str | None:
        """The region that answers questions about it."""
        region = self.found.get("HomeRegion")
        return None if region is None else str(region)
