"""Keep plaintext bodies out of boto3's logs."""

from __future__ import annotations

import logging
from collections.abc import Mapping

_RESOURCE_LOGGER = "boto3.resources.action"


class _HideBodies(logging.Filter):
    """Shows the type of a body instead of its bytes, in the line that boto3 logs for every action of a resource."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_body(argument) for argument in record.args)
        return True


def _without_body(argument: object) -> object:
    if isinstance(argument, Mapping) and "Body" in argument:
        return {**argument, "Body": f"<{type(argument['Body']).__name__}>"}
    return argument


def hide_bodies_in_logs() -> None:
    """See to it that boto3's resources do not log bodies at DEBUG; harmless when repeated."""
    logger = logging.getLogger(_RESOURCE_LOGGER)
    if not any(isinstance(known, _HideBodies) for known in logger.filters):
        logger.addFilter(_HideBodies())
