"""Ciphertext that must be kept for a while: in memory while it is small, in an unnamed temporary file beyond that."""

from __future__ import annotations

import tempfile
from typing import cast

from s3envelope.core.ports import SpillFile

IN_MEMORY_SIZE = 16 << 20


def temporary_spill() -> SpillFile:
    """Return a new place for ciphertext; it vanishes when it is closed or forgotten."""
    return cast(SpillFile, tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_SIZE))  # closed by its user


def temporary_file() -> SpillFile:
    """Return an unnamed file for what is sealed already and too large for memory, readable by this user only."""
    return cast(SpillFile, tempfile.TemporaryFile())  # closed by its user
