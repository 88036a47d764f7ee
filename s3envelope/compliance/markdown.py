"""An assessment as Markdown."""

from __future__ import annotations

import html
import re

from s3envelope.compliance.assessment import Assessment, controls_of, in_line
from s3envelope.compliance.controls import FORMULA
from s3envelope.compliance.drift import worst
from s3envelope.compliance.model import Result

# Names of objects and messages of servers are somebody else's text: nothing in them may become a link, HTML or a table.
_MEANING = re.compile(r"([\\`*_{}\[\]()|~!])")
_AT_START = re.compile(r"^([0-9]*)([#+.-])")


def quoted(text: str) -> str:
    """Return foreign text that Markdown shows as it is, in one line."""
    return _AT_START.sub(r"\1\\\2", html.escape(_MEANING.sub(r"\\\1", in_line(text)), quote=False))


def as_markdown(assessment: Assessment) -> str:
    """Return the report: scores, controls, and every check with its evidence."""
    lines = [
        "# Compliance of client-side encryption",
        "",
        f"Bucket {quoted(assessment.bucket)}, key {quoted(assessment.key)}.",
        f"Looked at from {assessment.started} to {assessment.ended} by {quoted(assessment.assessor or 'unknown')}",
        f"with s3envelope {quoted(assessment.version)}; assessment {assessment.id}.",
        "",
        "## Scores",
        "",
        "| Framework | Score | Formula |",
        "|---|---|---|",
        *(f"| {quoted(one.framework)} | {one.percent} % | {one.formula} |" for one in assessment.scores),
        "",
        f"A score is {FORMULA}. It is rounded down.",
        "",
        "## Controls",
        "",
        "| Control | | Status | Checks |",
        "|---|---|---|---|",
    ]
    results = assessment.by_id
    for control in assessment.controls:
        status = control.counts(results).status.value
        name = quoted(f"{control.framework} {control.number}")
        lines.append(f"| {name} | {quoted(control.title)} | {status} | {', '.join(control.checks)} |")
    lines += ["", "## Checks", ""]
    for result in sorted(assessment.results, key=worst):
        lines += _check(result, assessment)
    return "\n".join(lines).rstrip() + "\n"


def _check(result: Result, assessment: Assessment) -> list[str]:
    lines = [
        f"### {result.id}: {result.status.value}",
        "",
        f"{quoted(result.title)}. A pass proves: {quoted(result.proves)}",
        "",
    ]
    lines += [f"- {quoted(line)}" for line in result.evidence]
    controls = ", ".join(controls_of(result.id, assessment.controls)) or "no control"
    lines += ["", f"For {quoted(controls)}."]
    if result.remedy:
        lines += ["", f"What to do: {quoted(result.remedy)}"]
    return [*lines, ""]
