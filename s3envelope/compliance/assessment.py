"""A whole assessment: what was looked at, when, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from s3envelope.compliance.controls import FORMULA, Control, Score, count, scores
from s3envelope.compliance.model import Result

SCHEMA = "s3envelope-compliance-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One run of all checks.

    Args:
        id: A UUID.
        started, ended: UTC, as RFC 3339 writes it.
        version: Of this library.
        assessor: ARN of the identity that looked; `None` if STS did not tell.
        key: The ARN of the KMS key; the id that was given if it could not be described.
        policy: What the checks compared with.
    """

    id: str
    started: str
    ended: str
    version: str
    assessor: str | None
    bucket: str
    key: str
    policy: Mapping[str, Any]
    results: tuple[Result, ...]
    controls: tuple[Control, ...]

    @property
    def by_id(self) -> dict[str, Result]:
        """The results by the ids of their checks."""
        return {result.id: result for result in self.results}

    @property
    def scores(self) -> tuple[Score, ...]:
        """The score of each framework."""
        return scores(self.controls, self.results)

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        counts = count(self.results)
        return {
            "schema": SCHEMA,
            "id": self.id,
            "started": self.started,
            "ended": self.ended,
            "version": self.version,
            "assessor": self.assessor,
            "bucket": self.bucket,
            "key": self.key,
            "policy": dict(self.policy),
            "counts": {"passed": counts.passed, "failed": counts.failed, "not_assessed": counts.not_assessed},
            "formula": FORMULA,
            "scores": [_score(score) for score in self.scores],
            "controls": [_control(control, self.by_id) for control in self.controls],
            "checks": [_result(result) for result in self.results],
        }


def _score(score: Score) -> dict[str, Any]:
    return {"framework": score.framework, "percent": score.percent, "formula": score.formula}


def _control(control: Control, results: Mapping[str, Result]) -> dict[str, Any]:
    status = control.counts(results).status.value
    return {
        "framework": control.framework,
        "control": control.number,
        "status": status,
        "checks": list(control.checks),
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "id": result.id,
        "title": result.title,
        "proves": result.proves,
        "status": result.status.value,
        "evidence": list(result.evidence),
        "remedy": result.remedy,
        "settings": dict(result.settings),
        "skipped": result.is_skipped,
    }


def utc(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 writes them, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def controls_of(check: str, controls: Sequence[Control]) -> list[str]:
    """Return the names of the controls that a check speaks for."""
    return [f"{control.framework} {control.number}" for control in controls if check in control.checks]


def in_line(text: str) -> str:
    """Return foreign text in one line, with whatever would break, turn or hide it spelled out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
