"""The pages in a real browser: they load, look as they should, and run nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.commands import Place
from tests.cli.ui.conftest import Serve
from tests.support.browser import colors, find_chromium, rendered_url, screenshot

pytestmark = pytest.mark.slow
# Of style.css: the line of a key, and that of objects without envelope, half transparent on white.
KEY_LINE, PLAIN_LINE = "#88a8d0", "#d9a27a"


def test_pages_when_opened_in_a_browser_show_the_bucket_and_the_picture(
    place: Place, serve: Serve, tmp_path: Path
) -> None:
    chromium = find_chromium()
    for number in range(5):
        place.put_sealed(f"2026/{number}", os.urandom(1000))
    place.put_plain("2025/plain", b"x")
    place.put_plain("2026/<img src=x onerror=document.title='ran'>", b"x")
    visitor = serve(prefix="2026/")

    first = rendered_url(chromium, visitor.address, tmp_path)
    # A browser that is started anew has forgotten the cookie: it is shown the page as a file, with its style beside it.
    page = tmp_path / "keys.html"
    content = visitor.settled("/keys", bucket=place.bucket).page
    (tmp_path / "style.css").write_text(visitor.get("/static/style.css").page, encoding="utf-8")
    page.write_text(content.replace("/static/style.css", "style.css"), encoding="utf-8")
    found = colors(screenshot(chromium, page, tmp_path))

    assert "1,000 bytes" in first
    assert "&lt;img src=x onerror=document.title='ran'&gt;" in first
    assert "<title>ran</title>" not in first
    assert _near(found, KEY_LINE) > 500
    assert _near(found, PLAIN_LINE) > 300


def _near(found: dict[str, int], color: str) -> int:
    """Count the pixels that are nearly of a colour: browsers round differently."""
    wanted = bytes.fromhex(color[1:])
    return sum(
        count
        for name, count in found.items()
        if all(abs(one - other) <= 12 for one, other in zip(bytes.fromhex(name[1:]), wanted, strict=True))
    )
