"""The encryption context: clear, authenticated name-value pairs that say what an object is.

Source: FORMAT.md, section "Encryption context".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from s3envelope.errors import ConfigurationError, MalformedEnvelopeError

MAX_CONTEXT_SIZE = 1536
RESERVED_PREFIX = "s3envelope"

# INVARIANT: this entry is always in the context that a key service sees and never in the stored one, so that an
# encrypted data key of another protocol under the same key cannot be passed off as ours.
PROTOCOL_ENTRY = {"s3envelope": "SE1"}

_PRINTABLE_ASCII = re.compile(r"[ -~]*")


# `json.dumps` would make one for every call.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _canonical(entries: Mapping[str, str]) -> bytes:
    return _ENCODER.encode(dict(entries)).encode("ascii")


def _fault(entries: object) -> str | None:
    """Say what is wrong with would-be entries but for their size, without quoting a value."""
    if not isinstance(entries, Mapping):
        return f"the encryption context is a {type(entries).__name__}; use a mapping of str to str"
    for name, value in entries.items():
        if not isinstance(name, str) or not isinstance(value, str):
            return (
                f"the encryption context maps {type(name).__name__} to {type(value).__name__}; "
                "use str for names and values"
            )
        if not _PRINTABLE_ASCII.fullmatch(name) or not _PRINTABLE_ASCII.fullmatch(value):
            where = "a value" if _PRINTABLE_ASCII.fullmatch(name) else "a name"
            return f"{where} of the encryption context has a character outside 0x20-0x7E; use printable ASCII"
        if name.startswith(RESERVED_PREFIX):
            return (
                f"the encryption context has the name {name!r}; names that start with "
                f"{RESERVED_PREFIX!r} are reserved, use another"
            )
    return None


class EncryptionContext(Mapping[str, str]):
    """An immutable, validated encryption context.

    Raises:
        ConfigurationError: A name or value is not a string of printable ASCII, a name is reserved, or the canonical
            form is longer than 1536 bytes.
    """

    __slots__ = ("_canonical", "_entries")

    def __init__(self, entries: Mapping[str, str] | None = None) -> None:
        if isinstance(entries, EncryptionContext):
            self._entries: dict[str, str] = entries._entries
            self._canonical: bytes = entries._canonical
            return
        fault = None if entries is None else _fault(entries)
        if fault:
            raise ConfigurationError(fault)
        self._entries = dict(entries or {})
        self._canonical = _canonical(self._entries) if self._entries else b""
        size = len(self._canonical)
        if size > MAX_CONTEXT_SIZE:
            raise ConfigurationError(
                f"the encryption context takes {size} bytes as JSON; at most {MAX_CONTEXT_SIZE} are allowed"
            )

    @classmethod
    def parse(cls, stored: bytes) -> EncryptionContext:
        """Read the canonical JSON that an envelope stores; a stored context is never empty.

        Raises:
            MalformedEnvelopeError: The bytes are not the one canonical spelling of a legal, non-empty context.
        """
        if not 0 < len(stored) <= MAX_CONTEXT_SIZE:
            raise MalformedEnvelopeError(
                f"the stored encryption context has {len(stored)} bytes; 1 to {MAX_CONTEXT_SIZE} are legal"
            )
        try:
            entries = json.loads(stored.decode("ascii"))
        except (ValueError, RecursionError):
            raise MalformedEnvelopeError("the stored encryption context is not JSON in ASCII") from None
        if not isinstance(entries, dict) or not entries or _fault(entries):
            raise MalformedEnvelopeError("the stored encryption context is not a legal object of strings")
        # INVARIANT: equality with the re-serialised form is what rejects duplicate names, spaces and other spellings.
        if _canonical(entries) != stored:
            raise MalformedEnvelopeError("the stored encryption context is not in its canonical form")
        # What was checked just now is not checked again.
        parsed = cls()
        parsed._entries, parsed._canonical = entries, stored
        return parsed

    @property
    def canonical(self) -> bytes:
        """The canonical JSON; empty bytes for an empty context."""
        return self._canonical

    def for_key_service(self) -> dict[str, str]:
        """Return the context as key services see it: with the entry that names the protocol."""
        return {**self._entries, **PROTOCOL_ENTRY}

    def canonical_for_key_service(self) -> bytes:
        """Return the canonical JSON of `for_key_service()`."""
        return _canonical(self.for_key_service())

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(self._canonical)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, EncryptionContext):
            return self._canonical == other._canonical
        return self._entries == other

    def __repr__(self) -> str:
        return f"<EncryptionContext with the names {sorted(self._entries)}>"
