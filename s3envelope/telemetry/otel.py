"""Metrics of OpenTelemetry. Needs the extra `[otel]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from s3envelope._version import __version__
from s3envelope.core.measures import INSTRUMENTS, Instrument
from s3envelope.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, MeterProvider

_SCOPE = "s3envelope"
# A call of KMS takes from a few milliseconds to the sum of all attempts with the pauses between them.
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class OpenTelemetryMetrics:
    """Hand what a client counts to OpenTelemetry. Pass it as `metrics`; several clients may share one.

    OBSERVABILITY.md lists the instruments.

    Args:
        meter_provider: By default the global one, also if it is installed later.

    Raises:
        ConfigurationError: The package is not installed.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        try:
            from opentelemetry import metrics
        except ModuleNotFoundError:
            raise ConfigurationError(
                "OpenTelemetryMetrics needs opentelemetry-api; install it with: pip install 's3envelope[otel]'"
            ) from None
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider=meter_provider)
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for each in INSTRUMENTS:
            if each.kind == "counter":
                self._counters[each.name] = meter.create_counter(each.name, each.unit, each.description)
            else:
                self._histograms[each.name] = meter.create_histogram(
                    each.name, each.unit, each.description, explicit_bucket_boundaries_advisory=_SECONDS
                )

    def add(self, instrument: Instrument, amount: int, attributes: Mapping[str, str]) -> None:
        """See `Metrics`."""
        self._counters[instrument.name].add(amount, attributes)

    def record(self, instrument: Instrument, value: float, attributes: Mapping[str, str]) -> None:
        """See `Metrics`."""
        self._histograms[instrument.name].record(value, attributes)
