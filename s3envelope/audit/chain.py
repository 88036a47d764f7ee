"""The chain: each record is hashed together with the hash of the record before it.

A line of a log is `{"hash":"...","record":{...}}`: canonical JSON. The hash is SHA-256 over the record as it stands
there, in which `chain` names the chain, `sequence` counts from 1, and `previous` is the hash of the record before, 64
zeros for the first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from s3envelope.audit.canonical import Record, canonical_json, parse_canonical
from s3envelope.errors import AuditError

MOST_LINE = 1 << 20
CHAIN_SIZE = 16
NO_HASH = "0" * 64
_START, _MIDDLE, _END = b'{"hash":"', b'","record":', b"}\n"
_HASH_END = len(_START) + len(NO_HASH)
_BODY_START = _HASH_END + len(_MIDDLE)
_CHAIN_NAME = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record of a chain; sequence 0 and `NO_HASH` if there is none yet."""

    chain: str
    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it stands in a log."""

    file: str
    line_number: int
    head: Head
    previous: str
    content: Record


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that no undisturbed log has.

    Args:
        kind: One of the constants of this module.
        sequence: Of the record that it was found at, if that can be told.
    """

    kind: str
    file: str
    line_number: int
    sequence: int | None
    message: str


CHANGED, MALFORMED, TORN = "changed", "malformed", "torn"
MISSING, OUT_OF_ORDER, UNLINKED, FOREIGN = "missing", "out of order", "unlinked", "foreign"


class LogSource(Protocol):
    """A file of a log, opened for reading bytes."""

    def readline(self, size: int = -1, /) -> bytes: ...


def chain_line(head: Head, record: Record) -> tuple[bytes, Head]:
    """Return the line of the next record of a chain, and the new head.

    Raises:
        AuditError: The record has no canonical form, or is too long.
    """
    sequence = head.sequence + 1
    body = canonical_json({**record, "chain": head.chain, "sequence": sequence, "previous": head.hash})
    if len(body) > MOST_LINE - _BODY_START - len(_END):
        raise AuditError(f"a record takes {len(body)} bytes; at most {MOST_LINE} are allowed for a line")
    digest = hashlib.sha256(body).hexdigest()
    line = b"".join((_START, digest.encode("ascii"), _MIDDLE, body, _END))
    return line, Head(head.chain, sequence, digest)


def parse_line(line: bytes, *, file: str = "", line_number: int = 0) -> Entry:
    """Return the record of a line, whose own hash is right.

    Raises:
        AuditError: It is not a line of a log, or was changed.
    """
    claimed, body = _split(line)
    if hashlib.sha256(body).hexdigest() != claimed:
        raise AuditError("the record is not the one that was hashed")
    return _entry(claimed, body, file, line_number)


def _split(line: bytes) -> tuple[str, bytes]:
    if not (line.startswith(_START) and line[_HASH_END:_BODY_START] == _MIDDLE and line.endswith(_END)):
        raise AuditError("it is not a line of a log")
    return line[len(_START) : _HASH_END].decode("ascii", "replace"), line[_BODY_START : -len(_END)]


def _entry(claimed: str, body: bytes, file: str, line_number: int) -> Entry:
    content = parse_canonical(body)
    chain, sequence, previous = content.get("chain"), content.get("sequence"), content.get("previous")
    if not (isinstance(chain, str) and _CHAIN_NAME.fullmatch(chain) and isinstance(previous, str)):
        raise AuditError("the record names no chain, or no record before it")
    if not isinstance(sequence, int) or sequence < 1:
        raise AuditError("the record has no number")
    return Entry(file, line_number, Head(chain, sequence, claimed), previous, content)


def examine(sources: Iterable[tuple[str, LogSource]], *, partial: bool = False) -> Iterator[Entry | Finding]:
    """Yield every record of a log, and before each what is wrong with it, reading line by line.

    A record that was changed is a finding only. An end that was cut off can be told with anchors alone.

    Args:
        sources: Names and contents of the files of one log, oldest first.
        partial: Whether the log may begin in the middle of a chain.
    """
    walk = _Walk(partial)
    for file, source in sources:
        number = 0
        while line := source.readline(MOST_LINE + 1):
            number += 1
            if not line.endswith(b"\n"):
                yield from _unended(walk, source, file, number, line)
                continue
            yield from walk.take(file, number, line)


def _unended(walk: _Walk, source: LogSource, file: str, number: int, line: bytes) -> Iterator[Finding]:
    """Report a line that is too long, or cut short by the end of the file; read to its end."""
    kind, message = TORN, "the file ends within this line: its writer was interrupted, or it was cut"
    if len(line) > MOST_LINE:
        kind, message = MALFORMED, "the line is longer than any record"
        while not line.endswith(b"\n"):
            line = source.readline(MOST_LINE)
            if not line:
                break
    walk.damaged()
    yield Finding(kind, file, number, None, message)


class _Walk:
    """What the next record of a chain has to say."""

    def __init__(self, partial: bool) -> None:
        self._partial = partial
        self._chain: str | None = None
        self._sequence = 1
        # Hashes that the next record may name as the one before it; empty if that cannot be told.
        self._previous: tuple[str, ...] = () if partial else (NO_HASH,)
        self._damaged_count = 0

    def damaged(self, *hashes: str) -> None:
        """Take note that a line could not be read; one record may have stood there."""
        self._damaged_count += 1
        self._previous = hashes

    def take(self, file: str, number: int, line: bytes) -> Iterator[Entry | Finding]:
        """Yield what is wrong with the next line, then its record, if it is one."""
        try:
            claimed, body = _split(line)
            digest = hashlib.sha256(body).hexdigest()
            if digest != claimed:
                at = self._sequence + self._damaged_count
                self.damaged(claimed, digest)
                yield Finding(CHANGED, file, number, at, f"record {at}, or its hash, was changed")
                return
            entry = _entry(claimed, body, file, number)
        except AuditError as error:
            self.damaged()
            yield Finding(MALFORMED, file, number, None, str(error))
            return
        if self._fits(entry):
            self._advance(entry)
        else:
            yield from self._misfit(entry)
        yield entry

    def _fits(self, entry: Entry) -> bool:
        head = entry.head
        return (
            head.sequence == self._sequence
            and self._damaged_count == 0
            and head.chain == self._chain
            and entry.previous in self._previous
        )

    def _advance(self, entry: Entry) -> None:
        self._chain = entry.head.chain
        self._sequence = entry.head.sequence + 1
        self._previous = (entry.head.hash,)
        self._damaged_count = 0

    def _misfit(self, entry: Entry) -> Iterator[Finding]:
        """Yield why a record is not the next one of the chain; nothing if all is explained."""
        sequence = entry.head.sequence

        def found(kind: str, message: str) -> Finding:
            return Finding(kind, entry.file, entry.line_number, sequence, message)

        if self._chain is None and self._partial and self._damaged_count == 0:
            self._advance(entry)
            return
        if self._chain is not None and entry.head.chain != self._chain:
            yield found(FOREIGN, f"record {sequence} belongs to another chain, {entry.head.chain}")
            return
        if sequence < self._sequence:
            yield found(OUT_OF_ORDER, f"record {sequence} stands where {self._sequence} was due: moved, or inserted")
            return
        missing_count = sequence - self._sequence - self._damaged_count
        if missing_count > 0 and not (self._chain is None and self._partial):
            last = sequence - 1
            which = f"record {last} is" if missing_count == 1 else f"{missing_count} records up to {last} are"
            yield found(MISSING, f"{which} missing before record {sequence}")
        elif self._previous and entry.previous not in self._previous:
            yield found(UNLINKED, f"record {sequence} was made after another record than the one before it")
        self._advance(entry)
