"""What it means that a record could not be written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from s3envelope.audit.ports import machine_ports
from s3envelope.core.occurrences import Occurrence
from s3envelope.core.ports import AuditSink, SystemPorts
from s3envelope.errors import AuditError, ConfigurationError

Policy = Literal["required", "best-effort"]
_LOGGER = logging.getLogger("s3envelope.audit")
_QUIET_SECONDS = 60.0


class FailurePolicy:
    """Raise, or log at WARNING to `s3envelope.audit`, at most once a minute.

    Raises:
        ConfigurationError: The policy is unknown.
    """

    def __init__(self, policy: Policy, ports: SystemPorts | None = None) -> None:
        if policy not in ("required", "best-effort"):
            raise ConfigurationError(f"the audit policy is {policy!r}; use 'required' or 'best-effort'")
        self._is_required = policy == "required"
        self._clock = (ports or machine_ports()).clock
        self._lock = threading.Lock()
        self._lost_count = 0
        self._logged_at: float | None = None

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Run what writes an event; what it raises is treated as an event that was not kept.

        Raises:
            AuditError: The policy is "required".
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001  # sinks and actors are anybody's code: no type of error is certain
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        # INVARIANT: under "required" whatever went wrong ends the operation, before plaintext or ciphertext leaves it.
        if self._is_required:
            if isinstance(error, AuditError):
                raise error
            raise AuditError("the audit record could not be written, and the policy requires it") from error
        now = self._clock()
        # A lock that was held while another thread forked would never be free in the child: so none is waited for.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._lost_count += 1
            if self._logged_at is not None and now - self._logged_at < _QUIET_SECONDS:
                return
            lost_count, self._lost_count, self._logged_at = self._lost_count, 0, now
        finally:
            self._lock.release()
        _LOGGER.warning("%d audit records were not written; the newest because: %s", lost_count, error)


class PolicedSink:
    """Put a policy around an audit sink of somebody else."""

    def __init__(self, sink: AuditSink, policy: Policy, ports: SystemPorts | None = None) -> None:
        self._sink = sink
        self._policy = FailurePolicy(policy, ports)

    def record(self, occurrence: Occurrence) -> None:
        """See `AuditSink`.

        Raises:
            AuditError: It was not written down, and the policy is "required".
        """
        with self._policy.deciding():
            self._sink.record(occurrence)
