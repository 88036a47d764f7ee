"""Audit records and anchors in S3, where Object Lock keeps everybody from changing or removing them."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from s3envelope.audit.anchors import MOST_ANCHOR
from s3envelope.audit.chain import Head
from s3envelope.audit.ports import machine_ports
from s3envelope.core.ports import SystemPorts
from s3envelope.errors import ConfigurationError


class AuditBucketClient(Protocol):
    """What is used of a boto3 S3 client. It must be a plain one: what an enveloped one does is written down itself."""

    # Properties, because the methods of boto3's own types name their arguments.

    @property
    def put_object(self) -> Callable[..., Any]: ...

    @property
    def get_object(self) -> Callable[..., Any]: ...

    @property
    def get_paginator(self) -> Callable[..., Any]: ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How long Object Lock keeps an object; the bucket must have it enabled.

    Args:
        days: From when the object is written.
        mode: Nobody can shorten COMPLIANCE; some may, GOVERNANCE.
    """

    days: int
    mode: Literal["COMPLIANCE", "GOVERNANCE"] = "COMPLIANCE"

    def __post_init__(self) -> None:
        if self.days < 1 or self.mode not in ("COMPLIANCE", "GOVERNANCE"):
            raise ConfigurationError("a retention takes a positive number of days, and COMPLIANCE or GOVERNANCE")


@dataclass(frozen=True, slots=True)
class LockedPlace:
    """A bucket and a prefix for objects that are written once.

    Args:
        retention: `None` leaves it to the default retention of the bucket.
    """

    client: AuditBucketClient
    bucket: str
    prefix: str = ""
    retention: Retention | None = None

    def __post_init__(self) -> None:
        if hasattr(self.client, "describe_envelope"):
            raise ConfigurationError("the client of an audit bucket is an enveloped one; use boto3.client('s3')")

    def put(self, name: str, body: bytes, now: float) -> None:
        """Write an object. Raises what the client raises.

        Args:
            now: Seconds since the epoch, from where the retention counts.
        """
        arguments: dict[str, Any] = {}
        if self.retention is not None:
            until = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
            until += datetime.timedelta(days=self.retention.days)
            arguments = {"ObjectLockMode": self.retention.mode, "ObjectLockRetainUntilDate": until}
        self.client.put_object(
            Bucket=self.bucket,
            Key=self.prefix + name,
            Body=body,
            ContentType="application/x-ndjson",
            ChecksumAlgorithm="SHA256",
            **arguments,
        )


class S3AnchorStore:
    """Keeps each anchor as an object of its own, named by chain and number.

    Args:
        place: Where.
        ports: Clocks.
    """

    def __init__(self, place: LockedPlace, *, ports: SystemPorts | None = None) -> None:
        self._place = place
        self._wall_clock = (ports or machine_ports()).wall_clock

    def put(self, head: Head, anchor: bytes) -> None:
        """See `AnchorStore`."""
        self._place.put(f"{head.chain}/{head.sequence:012d}.json", anchor, self._wall_clock())


def stored_anchors(client: AuditBucketClient, bucket: str, prefix: str) -> Iterator[io.BytesIO]:
    """Yield every version of every anchor under a prefix. Raises what the client raises.

    Object Lock keeps versions; it keeps nobody from putting a newer one, or a delete marker, in front of them.
    """
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for version in page.get("Versions", []):
            answer = client.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
            with closing(answer["Body"]) as body:
                content = body.read(MOST_ANCHOR)
            yield io.BytesIO(content)
