"""The audit log in files, as checks and bundles use it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from s3envelope.audit.anchors import Anchor
from s3envelope.audit.chain import Entry, Finding, LogSource
from s3envelope.audit.event import AuditEvent
from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.ports import machine_ports
from s3envelope.audit.verify import Verification, verify
from s3envelope.compliance.subject import AuditState
from s3envelope.core.ports import SystemPorts
from s3envelope.errors import AuditError, ConfigurationError

_MOST_PROBLEMS = 100
_NUMBER = r"\.[0-9]{12}"


class FileAuditLog:
    """A log of JSON lines, with the older files that lie beside it.

    Args:
        path: Of the newest file.
        anchors: Of this log, verified.
        bad_anchors: What is wrong with others.
        actor: Who is named in the record of a bundle.
        ports: Clocks and process number.
    """

    def __init__(
        self,
        path: Path,
        anchors: Sequence[Anchor] = (),
        bad_anchors: Sequence[Finding] = (),
        *,
        actor: str | None = None,
        ports: SystemPorts | None = None,
    ) -> None:
        self._path = path
        self._anchors = anchors
        self._bad_anchors = bad_anchors
        self._actor = actor
        self._ports = ports or machine_ports()

    def verify(self) -> AuditState:
        """Read the whole log.

        Raises:
            OSError: It cannot be read.
        """
        found, problems, count = Verification(), [one.message for one in self._bad_anchors], len(self._bad_anchors)
        with closing(self._sources()) as sources:
            for item in verify(sources, self._anchors, into=found):
                if isinstance(item, Entry):
                    continue
                count += 1
                if len(problems) < _MOST_PROBLEMS:
                    problems.append(f"{item.kind}: {item.message}")
        if count > len(problems):
            problems.append(f"and {count - len(problems)} more")
        return AuditState(found.records, tuple(problems), (_anchor_note(found),))

    def append_evidence(self, name: str, sha256: str) -> None:
        """Chain a document into the log, on the disk when this returns.

        Raises:
            AuditError: It was not written.
        """
        event = AuditEvent(
            operation="evidence",
            outcome="success",
            time=self._ports.wall_clock(),
            host=socket.gethostname(),
            process=self._ports.process_id(),
            actor=self._actor,
            details=(("document", name), ("sha256", sha256)),
        )
        try:
            with JsonLinesAuditSink(self._path, fsync="always", ports=self._ports) as sink:
                sink.write(event)
        except ConfigurationError as error:
            raise AuditError(f"the bundle is not in the audit log: {error}") from error

    def _sources(self) -> Generator[tuple[str, LogSource], None, None]:
        pattern = re.compile(re.escape(self._path.name) + _NUMBER)
        older = sorted(name for name in os.listdir(self._path.parent) if pattern.fullmatch(name))
        for name in (*older, self._path.name):
            with (self._path.parent / name).open("rb") as file:
                yield name, file


def _anchor_note(found: Verification) -> str:
    if found.anchored is None:
        return "No anchor confirms a record: an end that was cut off, or a log that was written anew, is not found"
    return f"{found.anchors} anchors confirm the log up to record {found.anchored.sequence}"
