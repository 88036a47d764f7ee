"""The site of the documents: built strictly, and looked at in a browser.

It needs the extra [docs]:

    python3 -m venv .venv-docs && .venv-docs/bin/pip install -e '.[test,docs]'
    .venv-docs/bin/pytest -m slow tests/docs/test_site.py

A site that was built before is looked at instead, if `SITE_DIR` names its folder: `.ci/run` so tests what it leaves.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.browser import colors, find_chromium
from tests.support.devtools import Tab, opened_tab
from tests.support.documents import ROOT, SPEC

pytest.importorskip("material", reason="the site needs mkdocs-material: pip install -e '.[docs]'")
pytestmark = pytest.mark.slow

_FOUND = "document.querySelectorAll('.md-search-result__item').length"
# The worker that searches answers when it has read the index.
_WAIT_FOR_RESULTS = f"""new Promise((resolve, reject) => {{
  const began = Date.now()
  const look = () => {_FOUND} ? resolve({_FOUND}) : Date.now() - began > 30000 ? resolve(0) : setTimeout(look, 50)
  look()
}})"""


def build(target: Path, configuration: Path = ROOT / ".ci" / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    """Build the site into a folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(configuration), "-d", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and does not talk of it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site."""
    if "SITE_DIR" in os.environ:
        return Path(os.environ["SITE_DIR"])
    target = tmp_path_factory.mktemp("site")
    done = build(target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Yield the URL of the site on a loopback port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """Yield a tab of a browser."""
    with opened_tab(find_chromium(), tmp_path_factory.mktemp("browser")) as made:
        yield made


def pages_in_navigation(site: Path) -> list[str]:
    """Return the pages that the navigation of the front page leads to."""
    front = (site / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^":#]+\.html|\.)" class="md-(?:nav|tabs)__link', front)
    return sorted({link.replace("./", "") for link in links})


def test_navigation_when_followed_leads_to_every_page(site: Path) -> None:
    built = {page.relative_to(site).as_posix() for page in site.rglob("*.html")} - {"404.html"}
    documents = {page.relative_to(SPEC).with_suffix(".html").as_posix() for page in SPEC.rglob("*.md")}
    documents = {name.replace("README.html", "index.html") for name in documents}

    assert set(pages_in_navigation(site)) == built
    assert documents <= built


def test_pages_when_opened_ask_nobody_else_and_complain_of_nothing(site: Path, address: str, tab: Tab) -> None:
    for page in pages_in_navigation(site):
        tab.requested.clear()
        tab.complaints.clear()

        tab.open(address + page)

        assert tab.evaluate("document.querySelector('h1').innerText.length") > 0, page
        assert tab.complaints == [], page
        assert [url for url in tab.requested if not url.startswith((address, "data:", "blob:"))] == [], page


def test_front_page_when_opened_is_the_readme_and_shows_code_in_colour(address: str, tab: Tab, tmp_path: Path) -> None:
    tab.open(address)
    picture = tmp_path / "front.png"
    tab.screenshot(picture)

    assert tab.evaluate("document.querySelector('h1').innerText").startswith("s3envelope")
    assert tab.evaluate("document.querySelectorAll('.highlight .k, .highlight .kn').length") > 10
    # A page without its style sheet is black on white.
    assert len(colors(picture)) > 50


@pytest.mark.parametrize("word", ["rotation", "NotEncryptedError", "instruction file"])
def test_search_when_asked_finds_pages(word: str, address: str, tab: Tab) -> None:
    tab.open(address)
    tab.click(".md-search__input")
    tab.call("Input.insertText", text=word)

    assert tab.evaluate(_WAIT_FOR_RESULTS) > 0
    assert (
        word.split()[0].lower() in tab.evaluate("document.querySelector('.md-search-result__item').innerText").lower()
    )


def test_build_when_a_link_leads_nowhere_fails(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    shutil.copytree(SPEC, folder / "s3envelope" / "spec")
    for source in (
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "LICENSE",
        "benchmarks",
        "tests/interop",
        "tests/vectors",
    ):
        there, here = ROOT / source, folder / source
        here.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if there.is_dir() else shutil.copy)(there, here)
    page = folder / "s3envelope" / "spec" / "FAQ.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[gone](GONE.md)\n", encoding="utf-8")

    done = build(tmp_path / "site", folder / ".ci" / "mkdocs.yml")

    assert done.returncode != 0
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("WARNING")]
    assert complaints
    # The link is all that is wrong.
    assert [line for line in complaints if "GONE.md" not in line] == []
