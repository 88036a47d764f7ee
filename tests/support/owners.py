"""Files that belong to somebody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_NOBODY = 65_534


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file or folder belong to another user.

    Only root can give it one; for others this process takes itself for another user until the test is over.
    """
    if os.geteuid() == 0:
        os.chown(path, _NOBODY, _NOBODY)
        return
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
