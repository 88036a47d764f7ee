"""The trail: who and where are added to what happened, what is to be hidden is hidden, and sinks get it."""

from __future__ import annotations

import copy
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from s3envelope.audit.event import AuditEvent, EventSink
from s3envelope.audit.names import NameHasher
from s3envelope.audit.policies import Policy
from s3envelope.audit.ports import machine_ports
from s3envelope.audit.sinks import PolicySink
from s3envelope.core.occurrences import Occurrence
from s3envelope.core.ports import SystemPorts
from s3envelope.errors import ConfigurationError

_ASK_AGAIN_SECONDS = 60.0


class StsClient(Protocol):
    """What is used of a boto3 STS client."""

    def get_caller_identity(self) -> Any: ...


class CallerIdentity:
    """Ask STS who calls, once it is known never again.

    Args:
        client: A boto3 STS client.
        otherwise: What to say while STS does not answer; it is asked again after a minute.
        ports: Clocks.
    """

    def __init__(self, client: StsClient, otherwise: str | None = None, *, ports: SystemPorts | None = None) -> None:
        self._client = client
        self._otherwise = otherwise
        self._clock = (ports or machine_ports()).clock
        self._arn: str | None = None
        self._asked_at: float | None = None

    def __call__(self) -> str | None:
        """Return the ARN of the caller, or what was configured."""
        now = self._clock()
        if self._arn is None and (self._asked_at is None or now - self._asked_at >= _ASK_AGAIN_SECONDS):
            self._asked_at = now
            try:
                self._arn = str(self._client.get_caller_identity()["Arn"])
            except Exception:  # noqa: BLE001  # the client is handed in; without the name the rest is written
                return self._otherwise
        return self._arn or self._otherwise


class AuditTrail:
    """Write down every use of a key and every refusal. Pass it as `audit` to a client; several may share one.

    Args:
        sink: Where events go.
        policy: "required": what cannot be written down does not happen: the call fails with an `AuditError` before
            plaintext is released or ciphertext is sent. "best-effort": it is logged.
        actor: Who calls: a name, or `CallerIdentity(boto3.client("sts"))`.
        host: By default the name of this machine.
        redact_names: Whether keyed hashes stand in the place of the keys of objects.
        name_hasher: Makes them; by default with a key in a file of this user.
        context_values: Names in the encryption context whose values may be written down; of all others the name is.
        ports: Clocks and process number.

    Raises:
        ConfigurationError: An argument is not legal, or the sink cannot keep the policy.
    """

    def __init__(
        self,
        sink: EventSink,
        *,
        policy: Policy = "best-effort",
        actor: str | Callable[[], str | None] | None = None,
        host: str | None = None,
        redact_names: bool = False,
        name_hasher: NameHasher | None = None,
        context_values: Collection[str] = (),
        ports: SystemPorts | None = None,
    ) -> None:
        if isinstance(context_values, str):
            raise ConfigurationError(f"context_values is {context_values!r}; use a collection of names")
        self._ports = ports or machine_ports()
        self._given_sink = sink
        self._sink = PolicySink(sink, policy, ports=self._ports)
        self._actor = actor
        self._host = socket.gethostname() if host is None else host
        self._hasher = (name_hasher or NameHasher.from_file()) if redact_names else None
        self._shown = frozenset(context_values)

    def record(self, occurrence: Occurrence) -> None:
        """Write down what happened; see `AuditSink`.

        Raises:
            AuditError: It was not written down, and the policy is "required".
        """
        # Of an actor or a name that cannot be had, the policy decides as of a disk that is full.
        with self._sink.deciding():
            self._sink.write(self._event(occurrence))

    def under(self, policy: Policy) -> AuditTrail:
        """Return this trail with another policy.

        Raises:
            ConfigurationError: The sink cannot keep it.
        """
        changed = copy.copy(self)
        changed._sink = PolicySink(self._given_sink, policy, ports=self._ports)
        return changed

    def close(self) -> None:
        """Close the sink: what it holds back is written.

        Raises:
            AuditError: It was not, and the policy is "required".
        """
        self._sink.close()

    def _event(self, occurrence: Occurrence) -> AuditEvent:
        key: str | None = occurrence.key
        key_hash: str | None = None
        if self._hasher is not None and key is not None:
            # INVARIANT: where names are hidden, no event has one.
            key_hash = self._hasher.hash(occurrence.bucket or "", key)
            key = None
        context: Mapping[str, str] = occurrence.context or {}
        return AuditEvent(
            operation=occurrence.operation,
            outcome=occurrence.outcome,
            time=self._ports.wall_clock(),
            host=self._host,
            process=self._ports.process_id(),
            actor=self._actor() if callable(self._actor) else self._actor,
            source=occurrence.source,
            bucket=occurrence.bucket,
            key=key,
            key_hash=key_hash,
            version_id=occurrence.version_id,
            key_arns=occurrence.key_arns,
            format=occurrence.format,
            commitment=None if occurrence.commitment is None else occurrence.commitment.hex(),
            context_names=tuple(sorted(context)),
            context_values=tuple((name, context[name]) for name in sorted(context) if name in self._shown),
            error=None if occurrence.error is None else type(occurrence.error).__name__,
            kms_request_ids=occurrence.kms_request_ids,
            s3_request_ids=occurrence.s3_request_ids,
            duration_seconds=occurrence.duration_seconds,
            details=occurrence.details,
        )
