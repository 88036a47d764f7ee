"""Sinks around sinks: what a failing one means, and what Python's logging gets."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field

import pytest

from s3envelope.audit.event import AuditEvent
from s3envelope.audit.sinks import LoggingAuditSink, MultiSink, PolicySink
from s3envelope.errors import AuditError, ConfigurationError
from tests.support.auditing import event
from tests.support.objects import FakeClock, fake_ports


@dataclass(slots=True)
class Kept:
    """A sink in memory, which can fail."""

    is_buffered: bool = False
    failure: Exception | None = None
    events: list[AuditEvent] = field(default_factory=list)
    is_closed: bool = False

    def write(self, event: AuditEvent) -> None:
        if self.failure is not None:
            raise self.failure
        self.events.append(event)

    def close(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.is_closed = True


FAILURES = [AuditError("full"), OSError(28, "No space left on device"), RuntimeError("a sink of somebody else")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_event_when_required_and_not_kept_fails_the_call(failure: Exception) -> None:
    sink = PolicySink(Kept(failure=failure), "required")

    with pytest.raises(AuditError):
        sink.write(event())
    with pytest.raises(AuditError):
        sink.close()


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_event_when_not_required_and_not_kept_is_logged_once_a_minute(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    sink = PolicySink(Kept(failure=failure), "best-effort", ports=fake_ports(clock=clock))

    for _ in range(121):
        sink.write(event())
        clock.seconds += 1

    told = [record.getMessage().partition(" ")[0] for record in caplog.records if record.name == "s3envelope.audit"]
    assert told == ["1", "60", "60"]


def test_sink_when_it_buffers_cannot_be_required() -> None:
    with pytest.raises(ConfigurationError, match="batch_count=1"):
        PolicySink(Kept(is_buffered=True), "required")
    with pytest.raises(ConfigurationError, match="batch_count=1"):
        PolicySink(MultiSink([Kept(), LoggingAuditSink()]), "required")
    with pytest.raises(ConfigurationError, match="best-effort"):
        PolicySink(Kept(), "sometimes")  # type: ignore[arg-type]
    PolicySink(MultiSink([Kept(), PolicySink(LoggingAuditSink(), "best-effort")]), "required").write(event())


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_sinks_when_one_fails_all_get_the_event_and_the_call_is_told(failure: Exception) -> None:
    first, last = Kept(), Kept()
    sinks = MultiSink([first, Kept(failure=failure), last])

    with pytest.raises(AuditError, match="1 of 3"):
        sinks.write(event(5))
    with pytest.raises(AuditError, match="1 of 3"):
        sinks.close()

    assert first.events == last.events == [event(5)]
    assert first.is_closed
    assert last.is_closed


def test_sinks_when_there_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no sink"):
        MultiSink([])


def test_event_when_logged_is_one_line_of_json_whatever_its_names(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s3envelope.audit.events")
    hostile = event(key="a\nfake line\u2028\x1b[31m%s{}", operation="open")

    LoggingAuditSink().write(hostile)

    (record,) = caplog.records
    assert record.getMessage().isascii()
    assert record.getMessage().isprintable()
    assert json.loads(record.getMessage()) == hostile.to_record()
    assert record.audit == hostile.to_record()  # type: ignore[attr-defined]
