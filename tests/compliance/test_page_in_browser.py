"""The page in a real browser: what it shows, and that nothing in it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3envelope.compliance.model import Status
from s3envelope.compliance.page import COLORS, as_page
from tests.support.browser import colors, find_chromium, rendered, screenshot
from tests.support.compliant_assessment import assessment, hostile_assessment

pytestmark = pytest.mark.slow


def test_page_when_looked_at_shows_every_status_in_its_colour(tmp_path: Path) -> None:
    chromium = find_chromium()
    good, mixed = tmp_path / "good.html", tmp_path / "mixed.html"
    good.write_text(as_page(assessment()), encoding="utf-8")
    mixed.write_text(as_page(assessment(kms_reencrypt=Status.NOT_ASSESSED, bucket_tls=Status.FAILED)), encoding="utf-8")

    without, found = (colors(screenshot(chromium, page, tmp_path)) for page in (good, mixed))

    # The legend alone has some pixels of every colour; bars and rings have thousands.
    assert without[COLORS[Status.PASSED]] > 30_000
    assert without[COLORS[Status.FAILED]] < 3_000
    assert without[COLORS[Status.NOT_ASSESSED]] < 3_500
    assert all(found[COLORS[status]] > 3_500 for status in Status)


def test_page_when_names_are_hostile_makes_no_element_of_them(tmp_path: Path) -> None:
    page = tmp_path / "hostile.html"
    page.write_text(as_page(hostile_assessment()), encoding="utf-8")

    document = rendered(find_chromium(), page, tmp_path)

    assert "<img" not in document
    assert "&lt;img src=x onerror=alert(1)&gt;" in document
    assert "bucket-objects" in document
