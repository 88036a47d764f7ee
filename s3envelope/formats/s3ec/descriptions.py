"""Flat JSON objects of strings: material descriptions, encryption contexts, instruction files."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from s3envelope.errors import MalformedEnvelopeError

MAX_TEXT_SIZE = 64 << 10
MAX_ENTRY_COUNT = 1024
_WORD = re.compile(r"=\?(utf-8|us-ascii|iso-8859-1)\?([bq])\?([!->@-~]*)\?=", re.ASCII | re.IGNORECASE)
_WORDS = re.compile(rf"{_WORD.pattern}(?:[ \t]+{_WORD.pattern})*", re.ASCII | re.IGNORECASE)
_QUOTED = re.compile(r"(?:[^=]|=[0-9A-Fa-f]{2})*", re.ASCII)
_HIGH_LATIN_1 = re.compile("[\u0080-\u00ff]+")


def write_description(entries: Mapping[str, str]) -> str:
    """Return a description as compact JSON in ASCII, which no storage encodes a second time."""
    return json.dumps(dict(entries), separators=(",", ":"), ensure_ascii=True)


def parse_description(text: str, what: str) -> Mapping[str, str]:
    """Return the entries of a description; an empty or missing one is `{}`.

    Args:
        text: From the metadata, not trusted. Where S3 encoded it, because it is not ASCII, it is decoded first.
        what: The name of the field, for the message.

    Raises:
        MalformedEnvelopeError: It is too long, not JSON, not a flat object of strings, or names an entry twice.
    """
    if len(text) > MAX_TEXT_SIZE:
        raise MalformedEnvelopeError(f"{what} has {len(text)} characters; at most {MAX_TEXT_SIZE} are legal")
    if not text:
        return MappingProxyType({})
    return MappingProxyType(parse_flat_object(_decode_transport(text, what), what))


def parse_flat_object(text: str, what: str, *, numbers: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the entries of a JSON object of strings.

    Args:
        text: Not trusted, and bounded by the caller.
        what: What it is, for the message.
        numbers: The names whose value may be a whole number too.

    Raises:
        MalformedEnvelopeError: It is not JSON, not a flat object of strings, or names an entry twice.
    """
    try:
        # INVARIANT: pairs and not a dictionary, for a dictionary would hide that a name was there twice.
        pairs = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        raise MalformedEnvelopeError(f"{what} is not JSON") from None
    if not isinstance(pairs, tuple) or len(pairs) > MAX_ENTRY_COUNT:
        raise MalformedEnvelopeError(f"{what} is not a JSON object of at most {MAX_ENTRY_COUNT} entries")
    entries: dict[str, str] = {}
    for name, value in pairs:
        if name in entries:
            raise MalformedEnvelopeError(f"{what} names an entry twice")
        text_value = str(value) if name in numbers and type(value) is int else value
        if not _is_text(name) or not _is_text(text_value):
            raise MalformedEnvelopeError(f"{what} has an entry that is not text")
        entries[name] = text_value
    return entries


def _is_text(value: object) -> bool:
    """Tell whether a value is a string that has a form in UTF-8; JSON can also spell halves of characters."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _decode_transport(text: str, what: str) -> str:
    """Undo what S3 does to values that are not ASCII: RFC 2047 around them, and UTF-8 taken for Latin-1 inside.

    A description begins with a brace, so that what begins with an encoded word was encoded by the storage.
    """
    decoded = _decode_words(text, what) if text.startswith("=?") else text
    return _HIGH_LATIN_1.sub(_as_utf8, decoded)


def _decode_words(text: str, what: str) -> str:
    """Return the text of RFC 2047 encoded words."""
    if not _WORDS.fullmatch(text):
        raise MalformedEnvelopeError(f"{what} is not encoded as RFC 2047 says")
    words = _WORD.findall(text)
    charsets = {charset.lower() for charset, _, _ in words}
    try:
        # Joined before they are decoded, for some writers cut between the bytes of one character.
        raw = b"".join(_decode_word(encoding, payload) for _, encoding, payload in words)
        if len(charsets) == 1:
            return raw.decode(charsets.pop())
    except ValueError:
        pass
    raise MalformedEnvelopeError(f"{what} is not encoded as RFC 2047 says")


def _decode_word(encoding: str, payload: str) -> bytes:
    if encoding.lower() == "b":
        return base64.b64decode(payload, validate=True)
    if not _QUOTED.fullmatch(payload):
        raise ValueError("an escape is not one")
    return binascii.a2b_qp(payload, header=True)


def _as_utf8(match: re.Match[str]) -> str:
    """Return a run of Latin-1 read as UTF-8, if it can be."""
    try:
        return match.group().encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return match.group()
