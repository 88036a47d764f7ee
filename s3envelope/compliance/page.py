"""An assessment as one HTML page: no script, no picture and no style from anywhere else."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator

from s3envelope.compliance.assessment import Assessment, controls_of, in_line
from s3envelope.compliance.controls import FORMULA, Control, Counts, Score
from s3envelope.compliance.drift import worst
from s3envelope.compliance.model import Result, Status

COLORS = {Status.PASSED: "#1a7f37", Status.FAILED: "#c62828", Status.NOT_ASSESSED: "#9e7700"}
_MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.NOT_ASSESSED: "?"}
_BAR_WIDTH, _BAR_HEIGHT, _RADIUS = 280, 18, 42
_STYLE = """
:root{color-scheme:light}
body{font:16px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}
.facts{color:#57606a;overflow-wrap:anywhere}.rings{display:flex;flex-wrap:wrap;gap:1.5rem}
figure{margin:0;text-align:center;width:11rem}figcaption small{display:block;color:#57606a}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #eaeef2}
svg{vertical-align:middle}details{border:1px solid #d0d7de;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}li{overflow-wrap:anywhere}code{background:#f6f8fa;padding:0 .25rem}
.status{color:#fff;border-radius:4px;padding:0 .45rem;font-size:.85rem;white-space:nowrap}
.key span{margin-right:1.2rem}@media print{details{break-inside:avoid}}
"""


def _text(text: str) -> str:
    """Return foreign text that HTML shows as it is."""
    return html.escape(in_line(text), quote=True)


def as_page(assessment: Assessment) -> str:
    """Return the page."""
    return "\n".join(_parts(assessment)) + "\n"


def _parts(assessment: Assessment) -> Iterator[str]:
    title = _text(f"Compliance of {assessment.bucket}")
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    # INVARIANT: nothing is loaded and nothing runs, whatever a name in the report contains.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>"
    yield (
        f'<p class="facts">Key {_text(assessment.key)}<br>'
        f"Looked at from {_text(assessment.started)} to {_text(assessment.ended)} by "
        f"{_text(assessment.assessor or 'unknown')} with s3envelope {_text(assessment.version)}; "
        f"assessment {_text(assessment.id)}</p>"
    )
    yield f'<p class="key">{"".join(f"<span>{_badge(status)}</span>" for status in COLORS)}</p>'
    yield '<h2>Scores</h2>\n<div class="rings">'
    yield from (_ring(score) for score in assessment.scores)
    yield f"</div>\n<p>A score is {_text(FORMULA)}. It is rounded down.</p>"
    yield "<h2>Controls</h2>\n<table>\n<tr><th>Control</th><th>Title</th><th>Status</th><th>Checks</th></tr>"
    results = assessment.by_id
    yield from (_row(control, control.counts(results)) for control in assessment.controls)
    yield "</table>\n<h2>Checks</h2>"
    yield from (_check(result, assessment) for result in sorted(assessment.results, key=worst))
    yield "</body>\n</html>"


def _badge(status: Status) -> str:
    return f'<span class="status" style="background:{COLORS[status]}">{_MARKS[status]} {status.value}</span>'


def _shares(counts: Counts) -> Iterator[tuple[Status, float, float]]:
    """Yield each status with where its share of the whole begins and how long it is."""
    start = 0.0
    for status, number in zip(COLORS, (counts.passed, counts.failed, counts.not_assessed), strict=True):
        share = number / counts.total
        if number:
            yield status, start, share
        start += share


def _ring(score: Score) -> str:
    length = 2 * math.pi * _RADIUS
    arcs = "".join(
        f'<circle cx="60" cy="60" r="{_RADIUS}" fill="none" stroke="{COLORS[status]}" stroke-width="16" '
        f'stroke-dasharray="{share * length:.2f} {length:.2f}" stroke-dashoffset="{-start * length:.2f}" '
        'transform="rotate(-90 60 60)"/>'
        for status, start, share in _shares(score.counts)
    )
    name = _text(score.framework)
    return (
        f'<figure><svg width="120" height="120" role="img" aria-label="{name}: {score.percent} percent">{arcs}'
        f'<text x="60" y="67" text-anchor="middle" font-size="19" font-weight="600">{score.percent}%</text></svg>'
        f"<figcaption>{name}<small>{_text(score.formula)}</small></figcaption></figure>"
    )


def _row(control: Control, counts: Counts) -> str:
    said = f"{counts.passed} passed, {counts.failed} failed, {counts.not_assessed} not assessed"
    pieces = "".join(
        f'<rect x="{start * _BAR_WIDTH:.1f}" width="{share * _BAR_WIDTH:.1f}" height="{_BAR_HEIGHT}" '
        f'fill="{COLORS[status]}"/>'
        for status, start, share in _shares(counts)
    )
    bar = f'<svg width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" role="img" aria-label="{said}">{pieces}</svg>'
    name = _text(f"{control.framework} {control.number}")
    return (
        f"<tr><td>{name}</td><td>{_text(control.title)}</td><td>{_badge(counts.status)}</td>"
        f"<td>{bar}<br><small>{said}</small></td></tr>"
    )


def _check(result: Result, assessment: Assessment) -> str:
    shown = "" if result.status is Status.PASSED else " open"
    lines = "".join(f"<li>{_text(line)}</li>" for line in result.evidence)
    remedy = f"<p><strong>What to do:</strong> {_text(result.remedy)}</p>" if result.remedy else ""
    controls = _text(", ".join(controls_of(result.id, assessment.controls)) or "no control")
    head = f"{_badge(result.status)} {_text(result.title)} <code>{_text(result.id)}</code>"
    return (
        f"<details{shown}><summary>{head}</summary><p>A pass proves: {_text(result.proves)}</p><ul>{lines}</ul>{remedy}"
        f"<p><small>For {controls}</small></p></details>"
    )
