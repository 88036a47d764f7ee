"""The names of the files of an evidence bundle."""

from __future__ import annotations

RESULTS = "results.json"
OSCAL = "assessment-results.json"
PAGE = "report.html"
MARKDOWN = "report.md"
MANIFEST = "manifest.json"
ARTIFACTS = (RESULTS, OSCAL, PAGE, MARKDOWN)
