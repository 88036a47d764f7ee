"""An assessment as OSCAL assessment results.

Source: NIST OSCAL 1.1.2, the assessment-results model.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from s3envelope.compliance.assessment import Assessment, in_line
from s3envelope.compliance.controls import FORMULA, Control
from s3envelope.compliance.model import Result, Status
from s3envelope.core.ports import Random

OSCAL_VERSION = "1.1.2"
_NAMESPACE = "urn:s3envelope:compliance"
_UUID_SIZE = 16
# OSCAL knows satisfied and not satisfied; that something was not looked at is said by the reason.
_STATES = {
    Status.PASSED: {"state": "satisfied", "reason": "pass"},
    Status.FAILED: {"state": "not-satisfied", "reason": "fail"},
    Status.NOT_ASSESSED: {"state": "not-satisfied", "reason": "other"},
}


class _Ids:
    """New UUIDs, and those of things that are referred to."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.tool, self.key, self.bucket, self.plan = (self.new() for _ in range(4))
        self.observations: dict[str, str] = {}

    def new(self) -> str:
        return str(uuid.UUID(bytes=self._random(_UUID_SIZE), version=4))


def as_oscal(assessment: Assessment, random: Random) -> dict[str, Any]:
    """Return the document, for JSON."""
    ids = _Ids(random)
    plan = {
        "uuid": ids.plan,
        "title": "The checks of s3envelope",
        "description": "Each observation says what its check proves; there is no other plan.",
    }
    return {
        "assessment-results": {
            "uuid": assessment.id,
            "metadata": {
                "title": f"s3envelope: assessment of the bucket {in_line(assessment.bucket)}",
                "last-modified": assessment.ended,
                "version": assessment.version,
                "oscal-version": OSCAL_VERSION,
            },
            "import-ap": {"href": f"#{ids.plan}"},
            "results": [_results(assessment, ids)],
            "back-matter": {"resources": [plan]},
        }
    }


def _results(assessment: Assessment, ids: _Ids) -> dict[str, Any]:
    # Findings refer to observations, which get their UUIDs first.
    observations = [_observation(result, assessment, ids) for result in assessment.results]
    return {
        "uuid": ids.new(),
        "title": "Checks of client-side encryption",
        "description": f"Scores are {FORMULA}.",
        "start": assessment.started,
        "end": assessment.ended,
        "props": [
            _property("score", f"{score.percent}", f"{score.framework}: {score.formula}") for score in assessment.scores
        ],
        "local-definitions": {"components": _components(assessment, ids)},
        "reviewed-controls": {"control-selections": [_selection(assessment)]},
        "observations": observations,
        "findings": [_finding(control, assessment.by_id, ids) for control in assessment.controls],
    }


def _property(name: str, value: str, remarks: str = "") -> dict[str, str]:
    found = {"name": name, "ns": _NAMESPACE, "value": value}
    return {**found, "remarks": remarks} if remarks else found


def _components(assessment: Assessment, ids: _Ids) -> list[dict[str, Any]]:
    rows = (
        (ids.tool, "software", f"s3envelope {assessment.version}", "The program that made the checks."),
        (ids.key, "service", f"KMS key {in_line(assessment.key)}", "The key that wraps data keys."),
        (ids.bucket, "service", f"S3 bucket {in_line(assessment.bucket)}", "Where the encrypted objects are."),
    )
    return [
        {"uuid": id_, "type": kind, "title": title, "description": what, "status": {"state": "operational"}}
        for id_, kind, title, what in rows
    ]


def _selection(assessment: Assessment) -> dict[str, Any]:
    return {"include-controls": [{"control-id": control.oscal_id} for control in assessment.controls]}


def _observation(result: Result, assessment: Assessment, ids: _Ids) -> dict[str, Any]:
    own = ids.observations[result.id] = ids.new()
    found: dict[str, Any] = {
        "uuid": own,
        "title": result.title,
        "description": f"A pass proves: {result.proves}",
        "props": [_property("check", result.id), _property("status", result.status.value.replace(" ", "-"))],
        "methods": ["TEST"],
        "origins": [{"actors": [{"type": "tool", "actor-uuid": ids.tool}]}],
        "subjects": [{"subject-uuid": each, "type": "component"} for each in (ids.key, ids.bucket)],
        "relevant-evidence": [{"description": in_line(line)} for line in result.evidence],
        "collected": assessment.ended,
    }
    return {**found, "remarks": f"Remedy: {result.remedy}"} if result.remedy else found


def _finding(control: Control, results: Mapping[str, Result], ids: _Ids) -> dict[str, Any]:
    counts = control.counts(results)
    summary = f"{counts.passed} checks passed, {counts.failed} failed, {counts.not_assessed} were not assessed."
    return {
        "uuid": ids.new(),
        "title": f"{control.framework} {control.number}: {control.title}",
        "description": summary,
        "target": {
            "type": "objective-id",
            "target-id": f"{control.oscal_id}_obj",
            "status": {**_STATES[counts.status], "remarks": summary},
        },
        "related-observations": [{"observation-uuid": ids.observations[check]} for check in control.checks],
    }
