"""What happened to a key or an object, as whoever did it knows it: for an audit sink. Never a key, never plaintext."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from s3envelope.core.context import EncryptionContext

Operation = Literal[
    "generate",
    "reuse",
    "wrap",
    "decrypt",
    "seal",
    "open",
    "rewrap",
    "reencrypt",
    "delete",
    "refuse",
    "authenticate",
    "evict",
    "configure",
    "evidence",
    "log-begin",
    "log-repair",
    "log-replace",
]
Outcome = Literal["begun", "success", "refused", "failed"]
Source = Literal["key service", "cache", "offline"]


class ObjectName(NamedTuple):
    """The object that a data key is used for."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class KeyServiceCall:
    """One request that a key service answered.

    Args:
        key_arn: Of the key that answered.
        request_id: As the service gave it; "" if it gave none.
        duration_seconds: Until the answer.
    """

    key_arn: str
    request_id: str
    duration_seconds: float

    @property
    def request_ids(self) -> tuple[str, ...]:
        """Return the id as what an `Occurrence` takes."""
        return (self.request_id,) if self.request_id else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """What whoever uses a key knows of it. The trail adds who, where and when, and hides what is to be hidden.

    Args:
        operation: "generate" and "reuse" are of data keys for new objects, "decrypt" of those of stored ones;
            "authenticate" is one that failed.
        outcome: "begun" is what is about to be sent; "success" or "failed" follows.
        source: Where a data key came from; "offline" is the cache while the key service could not be reached.
        key_arns: The wrapping keys.
        commitment: Of the object's body; it tells one upload from another.
        error: Its class is written down, and nothing else of it.
        details: Names and values that are public; never the name of an object.
    """

    operation: Operation
    outcome: Outcome = "success"
    source: Source | None = None
    bucket: str | None = None
    key: str | None = None
    version_id: str | None = None
    key_arns: tuple[str, ...] = ()
    format: str | None = None
    commitment: bytes | None = None
    context: EncryptionContext | None = None
    error: BaseException | None = None
    kms_request_ids: tuple[str, ...] = ()
    s3_request_ids: tuple[str, ...] = ()
    duration_seconds: float | None = None
    details: tuple[tuple[str, str], ...] = ()
