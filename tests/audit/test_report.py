"""Choosing and counting records, and our records beside those of CloudTrail."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from s3envelope.audit.cloudtrail import CloudTrailEvent, join, read_events
from s3envelope.audit.report import Row, Selection, object_name, summarise
from s3envelope.errors import AuditError, ConfigurationError
from tests.support.auditing import event

ARN, OTHER = "arn:aws:kms:eu-west-1:1:key/a", "arn:aws:kms:eu-west-1:1:key/b"
RECORDS: list[dict[str, Any]] = [
    event(0, actor="ann", key_arns=(ARN,)).to_record(),
    event(1, actor="bob", key_arns=(ARN, OTHER), operation="generate").to_record(),
    event(86_400, actor="ann", outcome="refused", operation="refuse", error="KeyAccessError").to_record(),
    event(2, key=None, key_hash="ab" * 32, outcome="failed").to_record(),
    event(3, bucket=None, key=None, operation="configure").to_record(),
]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"since": "2027-01-16"}, [2]),
        ({"until": "2027-01-16"}, [0, 1, 3, 4]),
        ({"since": "2027-01-15T12:00:01", "until": "2027-01-15T12:00:02"}, [1]),
        ({"actor": "ann"}, [0, 2]),
        ({"key_arn": OTHER}, [1]),
        ({"bucket": "orders"}, [0, 1, 2, 3]),
        ({"key": "key-1"}, [1]),
        ({"key_hash": "ab" * 32}, [3]),
        ({"key": "key-0", "bucket": "other"}, []),
        ({"operations": frozenset({"refuse", "generate"})}, [1, 2]),
        ({"outcomes": frozenset({"failed"})}, [3]),
    ],
)
def test_records_when_chosen_are_those(selection: dict[str, Any], expected: list[int]) -> None:
    chosen = Selection(**selection)

    assert [number for number, record in enumerate(RECORDS) if chosen.takes(record)] == expected


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("actor", {"ann": 2, "bob": 1, "unknown": 2}),
        ("key", {ARN: 2, OTHER: 1, "unknown": 3}),
        ("operation", {"decrypt": 2, "generate": 1, "refuse": 1, "configure": 1}),
        ("day", {"2027-01-15": 4, "2027-01-16": 1}),
        ("host", {"tests": 5}),
        (
            "object",
            {
                "s3://orders/key-0": 1,
                "s3://orders/key-1": 1,
                "s3://orders/key-86400": 1,
                f"s3://orders/hash:{'ab' * 32}": 1,
                "unknown": 1,
            },
        ),
    ],
)
def test_records_when_counted_are_in_groups(by: Any, expected: dict[str, int]) -> None:
    rows = summarise(RECORDS, by)

    assert {row.name: row.events for row in rows} == expected
    assert [row.events for row in rows] == sorted(expected.values(), reverse=True)


def test_row_when_counted_has_outcomes_and_times() -> None:
    (row,) = [row for row in summarise(RECORDS, "actor") if row.name == "ann"]

    counts = {"begun": 0, "success": 1, "refused": 1, "failed": 0}
    assert row == Row("ann", counts, "2027-01-15T12:00:00.000000Z", "2027-01-16T12:00:00.000000Z")
    with pytest.raises(ConfigurationError, match="grouped"):
        summarise(RECORDS, "colour")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record",
    [{"key_arns": "no list", "time": 5}, {"key_arns": [5, None]}, {"bucket": ["b"], "key": {"k": 1}}, {"outcome": []}],
)
def test_record_when_its_fields_are_of_other_types_is_counted_and_harms_nobody(record: dict[str, Any]) -> None:
    for by in ("actor", "key", "object", "operation", "day", "host"):
        assert summarise([record], by)[0].events == 1
    assert not Selection(key_arn=ARN, bucket="b", key="k").takes(record)
    assert object_name(record)


def _trail(request_id: str, name: str = "Decrypt", source: str = "kms.amazonaws.com", **fields: Any) -> dict[str, Any]:
    return {
        "eventTime": "2027-01-15T12:00:00Z",
        "eventSource": source,
        "eventName": name,
        "requestID": request_id,
        "userIdentity": {"arn": "arn:aws:sts::1:assumed-role/a/b"},
        "resources": [{"ARN": ARN}],
        **fields,
    }


EXPORTED = [
    _trail("both"),
    _trail("theirs", "GenerateDataKey"),
    _trail("object", "GetObject", "s3.amazonaws.com"),
    _trail("listing", "ListKeys"),
    _trail("both"),
    _trail("", "Decrypt"),
]
SHAPES = {
    "log file": json.dumps({"Records": EXPORTED}).encode(),
    "compressed": gzip.compress(json.dumps({"Records": EXPORTED}).encode()),
    "lookup-events": json.dumps({"Events": [{"CloudTrailEvent": json.dumps(item)} for item in EXPORTED]}).encode(),
    "lines": b"\n".join(json.dumps(item).encode() for item in EXPORTED) + b"\n\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_export_when_read_gives_requests_for_keys_and_objects_once(shape: str) -> None:
    events = list(read_events("export", io.BytesIO(SHAPES[shape])))

    assert [event.request_id for event in events] == ["both", "theirs", "object"]
    assert events[0] == CloudTrailEvent(
        "both", "2027-01-15T12:00:00Z", "kms.amazonaws.com", "Decrypt", "arn:aws:sts::1:assumed-role/a/b", (ARN,)
    )


def test_export_when_a_single_event_is_read_too() -> None:
    assert len(list(read_events("export", io.BytesIO(json.dumps(_trail("one")).encode())))) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"garbage",
        b"\x1f\x8bgarbage",
        gzip.compress(b"x" * 100)[:-12],
        b'{"Events":[{"CloudTrailEvent":5}]}',
        b"[" * 200_000,
    ],
    ids=["text", "gzip", "cut", "event", "deep"],
)
def test_export_when_it_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(AuditError, match="export"):
        list(read_events("export", io.BytesIO(content)))


@pytest.mark.parametrize(
    "item",
    [
        5,
        None,
        [],
        {},
        _trail("x", userIdentity=5, resources=5),
        _trail("x", userIdentity=None, resources=[5, {"ARN": 5}]),
    ],
)
def test_export_when_its_items_are_strange_is_read(item: Any) -> None:
    events = list(read_events("export", io.BytesIO(json.dumps({"Records": [item, _trail("good")]}).encode())))

    assert events[-1].request_id == "good"


def test_logs_when_joined_tell_what_only_one_has() -> None:
    ours = [
        event(0, source="key service", kms_request_ids=("both",)).to_record(),
        event(1, source="key service", kms_request_ids=("ours",), s3_request_ids=("object",)).to_record(),
        event(2, source="key service").to_record(),
        event(3, source="cache").to_record(),
    ]

    joined = join(ours, read_events("export", io.BytesIO(SHAPES["log file"])))

    assert joined.matched == 2
    assert joined.only_ours == {"ours": "2027-01-15T12:00:01.000000Z"}
    assert [event.request_id for event in joined.only_theirs] == ["theirs"]
    assert joined.without_id == 1
