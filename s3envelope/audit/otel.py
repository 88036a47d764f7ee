"""Events as logs and metrics of OpenTelemetry. Needs the extra `[otel]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3envelope.audit.event import AuditEvent
from s3envelope.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider

_SCOPE = "s3envelope.audit"
_LABELS = ("operation", "outcome", "source")
_NANOSECONDS = 1_000_000_000


class OpenTelemetryAuditSink:
    """Emit each event as a log record, and count it.

    The log record `s3envelope.audit` has the fields of the event as attributes `s3envelope.*`. The counter
    `s3envelope.audit.events` and the histogram `s3envelope.audit.duration` (seconds) have operation, outcome, source.

    Args:
        logger_provider, meter_provider: By default the global ones.

    Raises:
        ConfigurationError: The package is not installed.
    """

    def __init__(
        self, logger_provider: LoggerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        try:
            from opentelemetry import _logs as logs
            from opentelemetry import metrics
        except ModuleNotFoundError:
            raise ConfigurationError(
                "OpenTelemetryAuditSink needs opentelemetry-api; install it with: pip install 's3envelope[otel]'"
            ) from None
        self._record_type = logs.LogRecord
        self._severities = {
            "success": logs.SeverityNumber.INFO,
            "refused": logs.SeverityNumber.WARN,
            "failed": logs.SeverityNumber.ERROR,
        }
        self._logger = logs.get_logger(_SCOPE, logger_provider=logger_provider)
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._events = meter.create_counter("s3envelope.audit.events", unit="{event}")
        self._durations = meter.create_histogram("s3envelope.audit.duration", unit="s")

    @property
    def is_buffered(self) -> bool:
        """Return true: what exporters do with it is not known."""
        return True

    def write(self, event: AuditEvent) -> None:
        """Emit an event."""
        record = event.to_record()
        labels: dict[str, Any] = {name: record[name] for name in _LABELS if name in record}
        self._logger.emit(
            self._record_type(
                timestamp=round(event.time * _NANOSECONDS),
                severity_number=self._severities[event.outcome],
                severity_text=event.outcome,
                event_name=_SCOPE,
                body=f"{event.operation}: {event.outcome}",
                attributes={f"s3envelope.{name}": _attribute(value) for name, value in record.items()},
            )
        )
        self._events.add(1, labels)
        if event.duration_seconds is not None:
            self._durations.record(event.duration_seconds, labels)

    def close(self) -> None:
        """Do nothing: the providers belong to somebody else."""


def _attribute(value: Any) -> str | int | list[str]:
    """Return a value that an attribute can have; pairs become `name=value`."""
    if isinstance(value, list):
        return ["=".join(item) if isinstance(item, list) else item for item in value]
    return value if isinstance(value, int) else str(value)
