"""Calls of plain clients whose requests or answers must not get into the log."""

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


@contextmanager
def nothing_logged() -> Iterator[None]:
    """Keep everybody, on every thread, from logging anything at DEBUG in this block: a plain client logs plaintext."""
    before = logging.root.manager.disable
    logging.disable(logging.DEBUG)
    try:
        yield
    finally:
        logging.disable(before)
