"""Lists that come in pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from s3envelope.testing.local_kms.errors import KmsServiceError
from s3envelope.testing.local_kms.request import Answer, Request

_DEFAULT_LIMIT = 100


def _encode(start: int) -> str:
    return base64.urlsafe_b64encode(f"LocalKms/{start}".encode()).decode("ascii")


def _decode(marker: str) -> int:
    try:
        text = base64.urlsafe_b64decode(marker.encode("ascii")).decode("ascii")
        return int(text.removeprefix("LocalKms/"))
    except (ValueError, binascii.Error):
        raise KmsServiceError("InvalidMarkerException", "Could not deserialize marker") from None


def page(request: Request, name: str, items: Sequence[object]) -> Answer:
    """Return the page of a list that the request's Limit and Marker ask for."""
    start = _decode(request.text("Marker")) if request.text("Marker") else 0
    end = start + (request.integer("Limit") or _DEFAULT_LIMIT)
    answer: Answer = {name: list(items[start:end]), "Truncated": end < len(items)}
    if end < len(items):
        answer["NextMarker"] = _encode(end)
    return answer
