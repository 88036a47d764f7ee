"""Events as logs and metrics of OpenTelemetry."""

import sys
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from s3envelope.audit.otel import OpenTelemetryAuditSink
from s3envelope.errors import ConfigurationError
from tests.support.auditing import NOON, event


def _metrics(reader: InMemoryMetricReader) -> dict[str, Any]:
    found: Any = reader.get_metrics_data()
    metrics = found.resource_metrics[0].scope_metrics[0].metrics
    return {metric.name: list(metric.data.data_points) for metric in metrics}


def test_event_when_emitted_is_a_log_record_and_is_counted() -> None:
    exporter, reader = InMemoryLogRecordExporter(), InMemoryMetricReader()  # type: ignore[no-untyped-call]
    logs, meters = LoggerProvider(), MeterProvider(metric_readers=[reader])
    logs.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    sink = OpenTelemetryAuditSink(logs, meters)

    sink.write(event(0, source="cache", context_values=(("tenant", "acme"),), key_arns=("arn",), duration_seconds=0.5))
    sink.write(event(1, outcome="refused", operation="refuse"))
    sink.close()

    first, second = (each.log_record for each in exporter.get_finished_logs())
    assert (first.event_name, first.timestamp) == ("s3envelope.audit", int(NOON) * 10**9)
    assert dict(first.attributes or {})["s3envelope.context_values"] == ("tenant=acme",)
    assert dict(first.attributes or {})["s3envelope.duration_us"] == 500_000
    assert second.severity_text == "refused"
    found = _metrics(reader)
    counted = {
        (point.attributes["operation"], point.attributes["outcome"]): point.value
        for point in found["s3envelope.audit.events"]
    }
    assert counted == {("decrypt", "success"): 1, ("refuse", "refused"): 1}
    assert [point.sum for point in found["s3envelope.audit.duration"]] == [0.5]
    meters.shutdown()
    logs.shutdown()


def test_sink_when_the_package_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigurationError, match=r"s3envelope\[otel\]"):
        OpenTelemetryAuditSink()
