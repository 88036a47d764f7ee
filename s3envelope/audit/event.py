"""What is written down of one use of a key, or of one refusal: never a key, never plaintext."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from s3envelope.audit.canonical import Record
from s3envelope.core.occurrences import Operation, Outcome, Source

SCHEMA = 1
_MOST_TEXT, _MOST_ITEMS = 2048, 64
_DIGEST_LENGTH = 16
_TEXTS = ("actor", "host", "source", "bucket", "key", "key_hash", "version_id", "format", "commitment", "error")
_LISTS = ("key_arns", "context_names", "kms_request_ids", "s3_request_ids")
_PAIRS = ("context_values", "details")
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What goes into the log. See `Occurrence` for what is not explained here.

    Args:
        time: Seconds since the epoch.
        actor: The ARN of the caller where it is known, else a configured name.
        key_hash: Instead of `key`, where names are hidden: the same name has the same hash.
        commitment: In hexadecimal.
        context_names: Of the entries of the encryption context.
        context_values: Of those entries whose values may be shown.
        error: The name of a class.
    """

    operation: Operation
    outcome: Outcome
    time: float
    host: str
    process: int
    actor: str | None = None
    source: Source | None = None
    bucket: str | None = None
    key: str | None = None
    key_hash: str | None = None
    version_id: str | None = None
    key_arns: tuple[str, ...] = ()
    format: str | None = None
    commitment: str | None = None
    context_names: tuple[str, ...] = ()
    context_values: tuple[tuple[str, str], ...] = ()
    error: str | None = None
    kms_request_ids: tuple[str, ...] = ()
    s3_request_ids: tuple[str, ...] = ()
    duration_seconds: float | None = None
    details: tuple[tuple[str, str], ...] = ()

    def to_record(self) -> Record:
        """Return the record that a chain takes: what is empty is left out, what is too long is cut and says so."""
        record: Record = {
            "schema": SCHEMA,
            "time": time_text(self.time),
            "operation": self.operation,
            "outcome": self.outcome,
            "process": self.process,
        }
        for name in _TEXTS:
            text = getattr(self, name)
            if text is not None:
                record[name] = _bounded(text)
        for name in _LISTS:
            items = getattr(self, name)
            if items:
                record[name] = [_bounded(item) for item in items[:_MOST_ITEMS]]
        for name in _PAIRS:
            pairs = getattr(self, name)
            if pairs:
                record[name] = [[_bounded(left), _bounded(right)] for left, right in pairs[:_MOST_ITEMS]]
        if self.duration_seconds is not None:
            record["duration_us"] = round(self.duration_seconds * _MICROSECONDS)
        return record


class EventSink(Protocol):
    """A place for events. All methods may be called from several threads, and in a forked child."""

    @property
    def is_buffered(self) -> bool:
        """Whether an event may still be lost when `write` has returned."""
        ...

    def write(self, event: AuditEvent) -> None:
        """Keep an event. Must raise `AuditError` if it was not kept."""
        ...

    def close(self) -> None:
        """Keep what is buffered, and give back what is held. Must raise `AuditError` if something was not kept."""
        ...


def time_text(seconds: float) -> str:
    """Return seconds since the epoch as `2027-01-31T23:59:59.123456Z`."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _bounded(text: str) -> str:
    """Return text that is Unicode and not too long; two that are cut do not become equal."""
    if len(text) <= _MOST_TEXT and text.isascii():
        return text
    encoded = text.encode("utf-8", "backslashreplace")
    if len(text) <= _MOST_TEXT:
        return encoded.decode("utf-8")
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGEST_LENGTH]
    return text[:_MOST_TEXT].encode("utf-8", "backslashreplace").decode("utf-8") + f"... cut, sha256 {digest}"
