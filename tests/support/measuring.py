"""What OpenTelemetry was given, as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from s3envelope import OpenTelemetryMetrics

Attributes = dict[str, str]


class Measured:
    """Metrics that end in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False)
        self.metrics = OpenTelemetryMetrics(self.provider)

    def points(self) -> Iterator[tuple[str, Attributes, Any]]:
        """Yield (instrument, attributes, data point) of everything since the beginning."""
        found: Any = self._reader.get_metrics_data()
        for resource in () if found is None else found.resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                for point in metric.data.data_points:
                    yield metric.name, dict(point.attributes), point

    def total(self, name: str, **attributes: str) -> int:
        """Return the sum of a counter, or the count of a histogram, over all points with these attributes.

        The names of attributes are shortened to what follows their last dot.
        """
        sum_: int = 0
        for found, labels, point in self.points():
            short = {label.rpartition(".")[2]: value for label, value in labels.items()}
            if found == name and attributes.items() <= short.items():
                sum_ += point.count if hasattr(point, "count") else point.value
        return sum_

    def labels(self, name: str) -> set[frozenset[tuple[str, str]]]:
        """Return the attributes of all points of an instrument."""
        return {frozenset(labels.items()) for found, labels, _ in self.points() if found == name}
