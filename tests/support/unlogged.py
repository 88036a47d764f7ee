"""Calls of plain KMS clients whose answers must not get into the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_logged() -> Iterator[None]:
    """Keep botocore's parsers, on every thread, from logging answers at DEBUG in this block."""
    logger = logging.getLogger("botocore.parsers")
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
