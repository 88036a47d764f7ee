"""One negative vector: a positive one, an edit that is pure data, and what a reader must answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.vectors.opening import Reader, Stored
from tests.vectors.positive import Built, describe_key
from tests.vectors.sealing import KnownKey


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyEdit:
    """Changes of the stored bytes, applied in the order of the fields.

    Args:
        pieces: Half-open slices of the genuine body whose concatenation replaces it.
        cut: The number of bytes that stay.
        replace: An offset, and the bytes that stand there instead.
        flip: The offset of a byte whose lowest bit is inverted.
        append: Bytes behind the end.
    """

    pieces: Sequence[tuple[int, int]] | None = None
    cut: int | None = None
    replace: tuple[int, bytes] | None = None
    flip: int | None = None
    append: bytes = b""

    def apply(self, body: bytes) -> bytes:
        """Return the edited bytes."""
        if self.pieces is not None:
            body = b"".join(body[start:end] for start, end in self.pieces)
        if self.cut is not None:
            body = body[: self.cut]
        if self.replace is not None:
            offset, content = self.replace
            body = body[:offset] + content + body[offset + len(content) :]
        if self.flip is not None:
            body = body[: self.flip] + bytes([body[self.flip] ^ 1]) + body[self.flip + 1 :]
        return body + self.append

    def describe(self) -> dict[str, object]:
        """Return the edit as data."""
        described: dict[str, object] = {}
        if self.pieces is not None:
            described["pieces"] = [list(piece) for piece in self.pieces]
        if self.cut is not None:
            described["cut"] = self.cut
        if self.replace is not None:
            described["replace"] = [self.replace[0], self.replace[1].hex()]
        if self.flip is not None:
            described["flip"] = self.flip
        if self.append:
            described["append"] = self.append.hex()
        return described


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeVector:
    """An object that must be refused.

    Args:
        name, what: Unique; one sentence.
        base: The name of the positive vector that is edited.
        metadata: Values to set; `None` removes the name.
        key: Another name to read the object under.
        keys: Another list of encrypted data keys that the key service knows.
        body: Changes of the stored bytes.
        byte_range: The value of a `Range` header; `None` reads the whole object.
        require_bound, expected_context: The policy of the reader.
        error, stage, released: What must happen.
    """

    name: str
    base: str
    what: str
    error: str
    stage: str
    released: int = 0
    metadata: Mapping[str, str | None] = field(default_factory=dict)
    key: str | None = None
    keys: Sequence[KnownKey] | None = None
    body: BodyEdit | None = None
    byte_range: str | None = None
    require_bound: bool = False
    expected_context: Mapping[str, str] = field(default_factory=dict)

    def apply(self, built: Built, reader: Reader) -> tuple[Stored, Reader, tuple[int, int] | None]:
        """Return the edited object, the reader and the half-open interval to read."""
        metadata = dict(built.metadata)
        for name, value in self.metadata.items():
            if value is None:
                del metadata[name]
            else:
                metadata[name] = value
        body = self.body.apply(built.body) if self.body else built.body
        if self.body and body == built.body:
            raise AssertionError(f"{self.name} changes nothing")
        stored = Stored(built.case.key if self.key is None else self.key, metadata, body)
        known = reader.opens if self.keys is None else {key.blob: key.opens_to for key in self.keys}
        policy = Reader(reader.key_ids, known, self.require_bound, self.expected_context)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.byte_range or "")
        interval = (int(match[1]), int(match[2]) + 1) if match else None
        return stored, policy, interval

    def describe(self) -> dict[str, object]:
        """Return the vector as it is written down."""
        edit: dict[str, object] = {}
        if self.metadata:
            edit["metadata"] = dict(self.metadata)
        if self.key is not None:
            edit["key"] = self.key
        if self.keys is not None:
            edit["keys"] = [describe_key(key) for key in self.keys]
        if self.body:
            edit["body"] = self.body.describe()
        policy: dict[str, object] = {}
        if self.require_bound:
            policy["require_bound"] = True
        if self.expected_context:
            policy["expected_context"] = dict(self.expected_context)
        return {
            "name": self.name,
            "base": self.base,
            "what": self.what,
            "edit": edit,
            "policy": policy,
            "read": {"range": self.byte_range} if self.byte_range else None,
            "error": self.error,
            "stage": self.stage,
            "released": self.released,
        }


def cut(size: int, *, append: bytes = b"") -> BodyEdit:
    """Return the edit that keeps the first bytes only, and puts others behind them."""
    return BodyEdit(cut=size, append=append)


def flip(offset: int) -> BodyEdit:
    """Return the edit that inverts the lowest bit of one byte."""
    return BodyEdit(flip=offset)


def pieces(*slices: tuple[int, int]) -> BodyEdit:
    """Return the edit that keeps these slices, in this order."""
    return BodyEdit(pieces=slices)


def body_vectors(
    error: str, base: str, rows: Sequence[tuple[str, str, BodyEdit, int]], *, stage: str = "read"
) -> list[NegativeVector]:
    """Return the vectors of a table of (name, what, body edit, released bytes)."""
    return [
        NegativeVector(name=name, base=base, what=what, body=edit, error=error, stage=stage, released=released)
        for name, what, edit, released in rows
    ]
