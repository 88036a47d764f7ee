"""Chromium without a window, and the pictures that it takes."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections import Counter
from pathlib import Path

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}


def find_chromium() -> str:
    """Return the program; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip("no Chromium: install Debian's package chromium to look at the page in a browser")


def _run(chromium: str, folder: Path, *arguments: str) -> str:
    command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def screenshot(chromium: str, page: Path, folder: Path) -> Path:
    """Return a picture of a page."""
    picture = folder / f"{page.stem}.png"
    _run(chromium, folder, "--window-size=1200,1900", f"--screenshot={picture}", page.as_uri())
    return picture


def rendered(chromium: str, page: Path, folder: Path) -> str:
    """Return the document as it is after loading."""
    return rendered_url(chromium, page.as_uri(), folder)


def rendered_url(chromium: str, url: str, folder: Path) -> str:
    """Return the document of a server as it is after loading, and after what it redirects to."""
    return _run(chromium, folder, "--dump-dom", url)


def colors(picture: Path) -> Counter[str]:
    """Count the pixels of a PNG picture by their colour, `#rrggbb`."""
    width, height, channels, rows = _read(picture.read_bytes())
    found: Counter[str] = Counter()
    stride = width * channels
    previous = bytes(stride)
    for number in range(height):
        start = number * (stride + 1)
        row = _unfiltered(rows[start], rows[start + 1 : start + 1 + stride], previous, channels)
        found.update(row[at : at + 3].hex() for at in range(0, stride, channels))
        previous = row
    return Counter({f"#{color}": count for color, count in found.items()})


def _read(content: bytes) -> tuple[int, int, int, bytes]:
    assert content.startswith(_SIGNATURE)
    at, packed, head = len(_SIGNATURE), b"", (0, 0, 8, 2)
    while at < len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        chunk = content[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            head = struct.unpack(">IIBB", chunk[:10])
        elif kind == b"IDAT":
            packed += chunk
        at += size + 12
    width, height, depth, kind_of_color = head
    assert depth == 8
    return width, height, _CHANNELS[kind_of_color], zlib.decompress(packed)


def _unfiltered(kind: int, row: bytes, above: bytes, channels: int) -> bytes:
    out = bytearray(row)
    for at in range(len(out)):
        left = out[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        guess = (0, left, above[at], (left + above[at]) // 2, _paeth(left, above[at], corner))[kind]
        out[at] = (out[at] + guess) & 0xFF
    return bytes(out)


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    return min((left, up, corner), key=lambda one: abs(estimate - one))
