"""What is counted and measured, and the port through which it leaves. Attributes are few: no name of an object, no key.

Numbers come from where they arise: sizes from the client, calls from the keyrings, and the rest from what an audit sink
is told as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from s3envelope.core.occurrences import Occurrence
from s3envelope.core.ports import AuditSink, Keyring
from s3envelope.errors import S3EnvelopeError


@dataclass(frozen=True, slots=True)
class Instrument:
    """A number that is counted, or a distribution.

    Args:
        name, unit: As OpenTelemetry's conventions have them.
    """

    name: str
    kind: Literal["counter", "histogram"]
    unit: str
    description: str


@runtime_checkable
class Metrics(Protocol):
    """Takes what a client counts and measures, on the thread on which it happens. Neither method may raise or wait."""

    def add(self, instrument: Instrument, amount: int, attributes: Mapping[str, str]) -> None:
        """Add to a counter."""
        ...

    def record(self, instrument: Instrument, value: float, attributes: Mapping[str, str]) -> None:
        """Put a value into a histogram."""
        ...


SEALED_BYTES = Instrument("s3envelope.sealed.bytes", "counter", "By", "Plaintext that was sealed and taken by S3")
SEALED_SEGMENTS = Instrument("s3envelope.sealed.segments", "counter", "{segment}", "The segments of it")
OPENED_BYTES = Instrument("s3envelope.opened.bytes", "counter", "By", "Plaintext that was released to readers")
OPENED_SEGMENTS = Instrument("s3envelope.opened.segments", "counter", "{segment}", "Segments that were opened for it")
OPERATIONS = Instrument(
    "s3envelope.operations", "counter", "{operation}", "Requests that seal, rewrap or delete, and answers that opened"
)
DATA_KEYS = Instrument("s3envelope.data_keys", "counter", "{use}", "Uses of data keys, by where they came from")
EVICTIONS = Instrument("s3envelope.data_key.evictions", "counter", "{key}", "Data keys that a cache dropped")
KMS_DURATION = Instrument("s3envelope.kms.duration", "histogram", "s", "Calls of KMS, with their retries")
KMS_RETRIES = Instrument("s3envelope.kms.retries", "counter", "{request}", "Requests to KMS that were repetitions")
REFUSALS = Instrument("s3envelope.refusals", "counter", "{call}", "Calls that were refused")
AUTHENTICATION_FAILURES = Instrument(
    "s3envelope.authentication.failures", "counter", "{failure}", "Objects that were not what their writer wrote"
)
ERRORS = Instrument("s3envelope.errors", "counter", "{error}", "Errors of s3envelope that were raised to the caller")

INSTRUMENTS = (
    SEALED_BYTES,
    SEALED_SEGMENTS,
    OPENED_BYTES,
    OPENED_SEGMENTS,
    OPERATIONS,
    DATA_KEYS,
    EVICTIONS,
    KMS_DURATION,
    KMS_RETRIES,
    REFUSALS,
    AUTHENTICATION_FAILURES,
    ERRORS,
)

FORMAT, OPERATION = "s3envelope.format", "s3envelope.operation"
PURPOSE, SOURCE, REASON = "s3envelope.data_key.purpose", "s3envelope.data_key.source", "s3envelope.reason"
METHOD, ERROR_TYPE = "rpc.method", "error.type"

_PURPOSES = {"generate": "seal", "reuse": "seal", "decrypt": "open"}
_SOURCES = {"key service": "key_service", "cache": "cache", "offline": "offline"}
_OPERATIONS = frozenset({"seal", "open", "rewrap", "reencrypt", "delete"})


@dataclass(frozen=True, slots=True)
class Meter:
    """Turns what happens into numbers. Two of the same `Metrics` are equal."""

    metrics: Metrics

    def sealed(self, plaintext_size: int, segment_count: int, format_name: str) -> None:
        """Count a body that S3 has taken."""
        attributes = {FORMAT: format_name}
        self.metrics.add(SEALED_BYTES, plaintext_size, attributes)
        self.metrics.add(SEALED_SEGMENTS, segment_count, attributes)

    def opened(self, plaintext_size: int, segment_count: int, format_name: str) -> None:
        """Count what was released of an object."""
        attributes = {FORMAT: format_name}
        self.metrics.add(OPENED_BYTES, plaintext_size, attributes)
        self.metrics.add(OPENED_SEGMENTS, segment_count, attributes)

    def key_service_called(
        self, operation: str, duration_seconds: float, *, retry_count: int, error_type: str | None
    ) -> None:
        """Measure one call of KMS, whatever became of it."""
        attributes = {METHOD: operation} if error_type is None else {METHOD: operation, ERROR_TYPE: error_type}
        self.metrics.record(KMS_DURATION, duration_seconds, attributes)
        if retry_count:
            self.metrics.add(KMS_RETRIES, retry_count, {METHOD: operation})

    def occurred(self, told: Occurrence) -> None:
        """Count what an audit sink is told."""
        if told.outcome == "begun":
            return
        failed = {} if told.outcome == "success" else {ERROR_TYPE: _error_type(told)}
        call = dict(told.details).get("call")
        method = {} if call is None else {METHOD: call}
        if told.operation in _OPERATIONS:
            self.metrics.add(OPERATIONS, 1, {OPERATION: told.operation, **failed})
        elif told.operation == "evict":
            self.metrics.add(EVICTIONS, 1, {REASON: dict(told.details)["reason"]})
        elif told.operation == "refuse":
            self.metrics.add(REFUSALS, 1, {**failed, **method})
        elif told.operation == "authenticate":
            self.metrics.add(AUTHENTICATION_FAILURES, 1, {**failed, **method})
        elif told.outcome == "success" and told.source is not None and told.operation in _PURPOSES:
            attributes = {PURPOSE: _PURPOSES[told.operation], SOURCE: _SOURCES[told.source]}
            self.metrics.add(DATA_KEYS, 1, attributes)
        if isinstance(told.error, S3EnvelopeError):
            self.failed(told.error)

    def failed(self, error: S3EnvelopeError) -> None:
        """Count an error that is going to be raised to the caller."""
        self.metrics.add(ERRORS, 1, {ERROR_TYPE: type(error).__name__})


def _error_type(told: Occurrence) -> str:
    return "_OTHER" if told.error is None else type(told.error).__name__


class MeteredSink:
    """Tells an audit sink, if there is one, and counts what it was told.

    Args:
        sink: Comes first: what it does not let happen is not counted.
    """

    def __init__(self, meter: Meter, sink: AuditSink | None) -> None:
        self.meter = meter
        self._sink = sink

    def record(self, occurrence: Occurrence) -> None:
        """See `AuditSink`."""
        if self._sink is not None:
            self._sink.record(occurrence)
        self.meter.occurred(occurrence)


@runtime_checkable
class Measurable(Protocol):
    """A keyring whose calls of a key service are measured."""

    def measure(self, meter: Meter) -> None:
        """Tell `meter` of every call from now on; once, if it is given twice."""
        ...


def measure_keyring(keyring: Keyring, meter: Meter) -> None:
    """Have the calls of a keyring measured, and of those that it is made of."""
    if isinstance(keyring, Measurable):
        keyring.measure(meter)
    for inner in getattr(keyring, "keyrings", ()):
        measure_keyring(inner, meter)
