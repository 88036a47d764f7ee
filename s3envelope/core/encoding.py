"""base64url without padding, in its one canonical spelling."""

from __future__ import annotations

import base64
import binascii
import re

from s3envelope.errors import MalformedEnvelopeError

_ALPHABET = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def encode_base64url(raw: bytes) -> str:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode_base64url(text: str, *, limit: int, what: str) -> bytes:
    """Return the bytes of canonical unpadded base64url.

    Args:
        text: From storage, not trusted.
        limit: The largest legal number of characters.
        what: The name of the field, for the message.

    Raises:
        MalformedEnvelopeError: Too long, empty, padded, another alphabet, or not the canonical spelling.
    """
    if len(text) > limit:
        raise MalformedEnvelopeError(f"{what} has {len(text)} characters; at most {limit} are legal")
    if not _ALPHABET.fullmatch(text):
        raise MalformedEnvelopeError(f"{what} is empty or has characters outside unpadded base64url")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise MalformedEnvelopeError(f"{what} has a length that base64url cannot have") from None
    # Whole groups of four characters have one spelling; only the last bits of a shorter group at the end have several.
    rest = len(text) % 4
    if rest and encode_base64url(raw[-(rest - 1) :]) != text[-rest:]:
        raise MalformedEnvelopeError(f"{what} is not in the canonical spelling of base64url")
    return raw
