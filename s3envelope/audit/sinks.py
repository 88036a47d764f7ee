"""Sinks around sinks, and the one that hands events to Python's logging."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from s3envelope.audit.event import AuditEvent, EventSink
from s3envelope.audit.policies import FailurePolicy, Policy
from s3envelope.core.ports import SystemPorts
from s3envelope.errors import AuditError, ConfigurationError


class LoggingAuditSink:
    """Log each event as a line of JSON, by default at INFO to `s3envelope.audit.events`.

    There is no chain; and a handler of Python's logging that fails tells nobody, so nothing is proved by this sink.
    """

    def __init__(self, logger: logging.Logger | None = None, *, level: int = logging.INFO) -> None:
        self._logger = logger or logging.getLogger("s3envelope.audit.events")
        self._level = level

    @property
    def is_buffered(self) -> bool:
        """Return true: what handlers do with it is not known."""
        return True

    def write(self, event: AuditEvent) -> None:
        """Log an event. The record has the event as its attribute `audit`."""
        record = event.to_record()
        # ASCII: no letter of an object's name can end the line, or mean something to a terminal.
        self._logger.log(self._level, "%s", json.dumps(record, sort_keys=True), extra={"audit": record})

    def close(self) -> None:
        """Do nothing: the logger belongs to somebody else."""


class MultiSink:
    """Hand each event to several sinks, to all of them even if one fails."""

    def __init__(self, sinks: Sequence[EventSink]) -> None:
        if not sinks:
            raise ConfigurationError("there is no sink; pass at least one")
        self._sinks = tuple(sinks)

    @property
    def is_buffered(self) -> bool:
        """Return whether any of the sinks is."""
        return any(sink.is_buffered for sink in self._sinks)

    def write(self, event: AuditEvent) -> None:
        """See `EventSink`.

        Raises:
            AuditError: At least one sink did not keep the event.
        """
        self._for_each(lambda sink: sink.write(event))

    def close(self) -> None:
        """See `EventSink`.

        Raises:
            AuditError: At least one sink did not keep something.
        """
        self._for_each(lambda sink: sink.close())

    def _for_each(self, use: Callable[[EventSink], None]) -> None:
        failures: list[Exception] = []
        for sink in self._sinks:
            try:
                use(sink)
            except Exception as error:  # noqa: BLE001  # sinks are anybody's code: of what one raises the others know nothing
                failures.append(error)
        if failures:
            text = f"{len(failures)} of {len(self._sinks)} audit sinks failed: {failures[0]}"
            raise AuditError(text) from failures[0]


class PolicySink:
    """Decide what a failing sink means.

    Args:
        sink: Where events go.
        policy: "required": the operation fails. "best-effort": a WARNING in the log `s3envelope.audit`, at most once a
            minute.
        ports: Clocks.

    Raises:
        ConfigurationError: The policy is unknown; or it is "required", and the sink may lose what it was given.
    """

    def __init__(self, sink: EventSink, policy: Policy, *, ports: SystemPorts | None = None) -> None:
        self._policy = FailurePolicy(policy, ports)
        if policy == "required" and sink.is_buffered:
            raise ConfigurationError(
                "the audit policy is 'required', but a sink keeps events for later or cannot tell whether they were "
                "kept; use one that writes each at once: JsonLinesAuditSink, or S3AuditSink(batch_count=1). A further "
                "sink may have a policy of its own: PolicySink(sink, 'best-effort')"
            )
        self._sink = sink

    @property
    def is_buffered(self) -> bool:
        """Return false: what may be lost by policy is no reason against another policy around this one."""
        return False

    def write(self, event: AuditEvent) -> None:
        """See `EventSink`.

        Raises:
            AuditError: The event was not kept, and the policy is "required".
        """
        with self.deciding():
            self._sink.write(event)

    def close(self) -> None:
        """See `EventSink`.

        Raises:
            AuditError: Something was not kept, and the policy is "required".
        """
        with self.deciding():
            self._sink.close()

    def deciding(self) -> AbstractContextManager[None]:
        """Return the block that makes or writes an event; see `FailurePolicy.deciding`."""
        return self._policy.deciding()
