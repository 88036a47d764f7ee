"""Which event selectors let the management events of KMS through."""

from __future__ import annotations

from typing import Any

import pytest

from s3envelope.compliance.selectors import logs_kms

MANAGEMENT = {"Field": "eventCategory", "Equals": ["Management"]}


def advanced(*fields: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with one advanced selector."""
    return {"AdvancedEventSelectors": [{"FieldSelectors": list(fields)}]}


def read_only(value: str) -> dict[str, Any]:
    """Return a field that lets reads, or writes, through."""
    return {"Field": "readOnly", "Equals": [value]}


def basic(*selectors: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with basic selectors."""
    return {"EventSelectors": list(selectors)}


@pytest.mark.parametrize(
    "answer",
    [
        basic({"ReadWriteType": "All", "IncludeManagementEvents": True}),
        basic({"ReadWriteType": "All", "ExcludeManagementEventSources": ["rdsdata.amazonaws.com"]}),
        basic({"ReadWriteType": "ReadOnly"}, {"ReadWriteType": "WriteOnly"}),
        advanced(MANAGEMENT),
        advanced(MANAGEMENT, {"Field": "eventSource", "NotEquals": ["rdsdata.amazonaws.com"]}),
        advanced(MANAGEMENT, {"Field": "eventSource", "Equals": ["kms.amazonaws.com"]}),
        {"AdvancedEventSelectors": [{"FieldSelectors": [MANAGEMENT, read_only(one)]} for one in ("true", "false")]},
    ],
)
def test_selectors_when_all_events_of_kms_pass_are_accepted(answer: dict[str, Any]) -> None:
    assert logs_kms(answer)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        basic(),
        basic({"ReadWriteType": "WriteOnly"}),
        basic({"ReadWriteType": "ReadOnly"}),
        basic({"ReadWriteType": "All", "IncludeManagementEvents": False}),
        basic({"ReadWriteType": "All", "ExcludeManagementEventSources": ["kms.amazonaws.com"]}),
        advanced({"Field": "eventCategory", "Equals": ["Data"]}),
        advanced(MANAGEMENT, read_only("false")),
        advanced(MANAGEMENT, read_only("true"), read_only("false")),
        advanced(MANAGEMENT, {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]}),
        advanced(MANAGEMENT, {"Field": "eventSource", "NotStartsWith": ["kms"]}),
        advanced(MANAGEMENT, {"Field": "userIdentity.arn", "StartsWith": ["arn:aws:iam"]}),
        advanced(read_only("true")),
    ],
)
def test_selectors_when_an_event_of_kms_may_be_missing_are_not_accepted(answer: dict[str, Any]) -> None:
    assert not logs_kms(answer)
