"""What makes a site of the documents: pages from elsewhere in the repository, and links that work in both places."""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
SPEC = "s3envelope/spec"
# Path in the repository -> page of the site.
ELSEWHERE = {
    "README.md": "index.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "benchmarks/README.md": "BENCHMARKS.md",
    "tests/interop/README.md": "INTEROP.md",
    "tests/vectors/README.md": "VECTORS.md",
}
_SOURCE_OF = {page: source for source, page in ELSEWHERE.items()}
# A link is [text](target#anchor). What looks like one inside of code is found as code first.
_CODE_OR_LINK = re.compile(
    r"```.*?^```|`[^`\n]+`|\[(?P<text>[^\]\n]+)\]\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL
)
_log = logging.getLogger("mkdocs.hooks.site")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that do not lie among the documents."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Rewrite links to files of the repository: to their page, or to their name where they have none."""
    name = page.file.src_uri
    source = _SOURCE_OF.get(name, f"{SPEC}/{name}")

    def rewritten(found: re.Match[str]) -> str:
        target, text = found["target"], found["text"]
        if target is None or target.startswith(("#", "https:", "http:", "mailto:")):
            return found[0]
        path, _, anchor = target.partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (ROOT / wanted).exists():
            _log.warning("%s links to %s, which does not exist", source, target)
            return found[0]
        to = _page_of(wanted)
        if to is None:
            return text if text.startswith("`") else f"`{wanted}`"
        link = posixpath.relpath(to, posixpath.dirname(name) or ".")
        return f"[{text}]({link}{'#' + anchor if anchor else ''})"

    return _CODE_OR_LINK.sub(rewritten, markdown)


def _page_of(path: str) -> str | None:
    """Return the page of a file of the repository; a folder's is that of its README."""
    if (ROOT / path).is_dir():
        path += "/README.md"
    if path in ELSEWHERE:
        return ELSEWHERE[path]
    return path[len(SPEC) + 1 :] if path.startswith(f"{SPEC}/") and path.endswith(".md") else None
