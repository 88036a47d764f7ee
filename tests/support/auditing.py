"""Logs of the audit tests: making them, taking them apart, and what verification finds in them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s3envelope.audit.anchors import Anchor
from s3envelope.audit.chain import Entry, Finding
from s3envelope.audit.event import AuditEvent
from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.verify import Verification, verify

NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z
DAY = 86_400.0


def event(number: int = 0, **fields: Any) -> AuditEvent:
    """Return an event that differs from those of other numbers."""
    usual: dict[str, Any] = {
        "operation": "decrypt",
        "outcome": "success",
        "time": NOON + number,
        "host": "tests",
        "process": 1,
        "bucket": "orders",
        "key": f"key-{number}",
    }
    return AuditEvent(**{**usual, **fields})


def write(path: Path, count: int, **arguments: Any) -> list[bytes]:
    """Write a log of so many lines, the first of which begins the chain; return them."""
    with JsonLinesAuditSink(path, **arguments) as sink:
        for number in range(count - 1):
            sink.write(event(number))
    return lines(path)


def lines(path: Path) -> list[bytes]:
    """Return the lines of a log."""
    return path.read_bytes().splitlines(keepends=True)


def examine_bytes(
    *contents: bytes, anchors: Sequence[Anchor] = (), partial: bool = False, into: Verification | None = None
) -> tuple[list[Entry], list[Finding]]:
    """Verify the contents of the files of a log."""
    sources = [(f"file-{number}", io.BytesIO(content)) for number, content in enumerate(contents)]
    found = list(verify(sources, anchors, partial=partial, into=into))
    return [item for item in found if isinstance(item, Entry)], [item for item in found if isinstance(item, Finding)]


def entries_of(*paths: Path) -> list[Entry]:
    """Return the records of a log that must be whole."""
    entries, findings = examine_bytes(*(path.read_bytes() for path in paths))
    assert not findings
    return entries


def operations_of(*paths: Path) -> list[object]:
    """Return what the records of a log that must be whole are about."""
    return [entry.content["operation"] for entry in entries_of(*paths)]
