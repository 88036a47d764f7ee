"""Choosing records of a log, and counting them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from s3envelope.errors import ConfigurationError

Group = Literal["actor", "key", "object", "operation", "day", "host"]
_DAY_LENGTH = len("2027-01-31")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records are wanted; what is `None` or empty does not matter.

    Args:
        since, until: Times as the log has them, or beginnings of such; `since` is included, `until` is not.
        key_arn: A wrapping key.
        key: Of an object.
        key_hash: Of an object whose name is hidden.
    """

    since: str | None = None
    until: str | None = None
    actor: str | None = None
    key_arn: str | None = None
    bucket: str | None = None
    key: str | None = None
    key_hash: str | None = None
    operations: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()

    def takes(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record is wanted."""
        time = str(record.get("time", ""))
        if (self.since is not None and time < self.since) or (self.until is not None and time >= self.until):
            return False
        if self.operations and record.get("operation") not in self.operations:
            return False
        if self.outcomes and record.get("outcome") not in self.outcomes:
            return False
        if self.key_arn is not None and self.key_arn not in texts(record, "key_arns"):
            return False
        is_other = self.actor not in (None, record.get("actor")) or self.bucket not in (None, record.get("bucket"))
        return not is_other and self._takes_object(record)

    def _takes_object(self, record: Mapping[str, Any]) -> bool:
        if self.key is None and self.key_hash is None:
            return True
        return bool(record.get("key", "") == self.key or record.get("key_hash", "") == self.key_hash)


@dataclass(slots=True)
class Row:
    """What was done by one actor, with one key, to one object, or whatever was asked for."""

    name: str
    counts: dict[str, int] = field(default_factory=lambda: {"begun": 0, "success": 0, "refused": 0, "failed": 0})
    first: str = ""
    last: str = ""

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a record."""
        outcome, time = str(record.get("outcome", "")), str(record.get("time", ""))
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        self.first = min(self.first or time, time)
        self.last = max(self.last, time)

    @property
    def events(self) -> int:
        """Return the number of all records."""
        return sum(self.counts.values())


def summarise(records: Iterable[Mapping[str, Any]], by: Group) -> list[Row]:
    """Count records in groups, the largest first. A record with several wrapping keys counts for each.

    Raises:
        ConfigurationError: They cannot be grouped so.
    """
    if by not in get_args(Group):
        raise ConfigurationError(f"records cannot be grouped by {by!r}; use one of {', '.join(get_args(Group))}")
    rows: dict[str, Row] = {}
    for record in records:
        for name in _names(record, by):
            row = rows.get(name)
            if row is None:
                row = rows[name] = Row(name)
            row.add(record)
    return sorted(rows.values(), key=lambda row: (-row.events, row.name))


def texts(record: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts of a list in a record, whatever it really holds."""
    items = record.get(name)
    return [item for item in items if isinstance(item, str)] if isinstance(items, list) else []


def object_name(record: Mapping[str, Any]) -> str:
    """Return the object of a record as one text."""
    bucket, key = record.get("bucket"), record.get("key")
    if key is None and "key_hash" in record:
        key = f"hash:{record['key_hash']}"
    if bucket is None and key is None:
        return _UNKNOWN
    return f"s3://{bucket or ''}/{'' if key is None else key}"


def _names(record: Mapping[str, Any], by: Group) -> Iterator[str]:
    if by == "key":
        yield from texts(record, "key_arns") or [_UNKNOWN]
    elif by == "object":
        yield object_name(record)
    elif by == "day":
        yield str(record.get("time", ""))[:_DAY_LENGTH]
    else:
        yield str(record.get(by, _UNKNOWN))
