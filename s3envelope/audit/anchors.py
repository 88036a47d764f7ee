"""Signed checkpoints of a chain, kept elsewhere: they show that its end was cut off, or that it was written anew."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from s3envelope.audit.canonical import Record, canonical_json, parse_canonical
from s3envelope.audit.chain import Head, LogSource
from s3envelope.audit.event import time_text
from s3envelope.audit.ports import machine_ports
from s3envelope.core.ports import SystemPorts
from s3envelope.errors import AuditError, ConfigurationError

_PURPOSE = b"s3envelope audit anchor\n"
_SCHEMA = 1
_LINE_START = b'{"anchor":'
MOST_ANCHOR = 16 << 10


class AnchorSigner(Protocol):
    """Signs with a key that whoever can write to the log cannot reach."""

    @property
    def key_id(self) -> str:
        """A public name of the key: it is written beside the signature."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of at most 4096 bytes. What it raises ends up as an `AuditError`."""
        ...


class AnchorVerifier(Protocol):
    """Verifies what an `AnchorSigner` signed."""

    def verify(self, message: bytes, signature: bytes) -> None:
        """Must raise `AuditError` unless the signature is one of this key for this message."""
        ...


class AnchorStore(Protocol):
    """A place for anchors, out of reach for whoever can write to the log."""

    def put(self, head: Head, anchor: bytes) -> None:
        """Keep an anchor, a line of JSON with its newline. What it raises ends up as an `AuditError`."""
        ...


@dataclass(frozen=True, slots=True)
class Anchor:
    """What an anchor says: the chain stood at this head.

    Args:
        time: As text, in UTC.
        key_id: Of the key that signed it.
    """

    head: Head
    time: str
    key_id: str

    def message(self) -> bytes:
        """Return the bytes that are signed."""
        return _PURPOSE + canonical_json(self.to_record())

    def to_record(self) -> Record:
        """Return what is written, without the signature."""
        head = self.head
        return {
            "schema": _SCHEMA,
            "chain": head.chain,
            "sequence": head.sequence,
            "hash": head.hash,
            "time": self.time,
            "key_id": self.key_id,
        }


class Anchoring:
    """Writes an anchor every so many records and seconds, and one at the end.

    Of several processes with one log, the one that writes the record with a round number writes its anchor; each of
    them keeps to the seconds.

    Args:
        signer: See `AnchorSigner`.
        store: See `AnchorStore`.
        every_records: `None` counts none.
        every_seconds: Since this process wrote its last one; looked at when a record is written.
        ports: Clocks.
    """

    def __init__(
        self,
        signer: AnchorSigner,
        store: AnchorStore,
        *,
        every_records: int | None = 1000,
        every_seconds: float | None = 60.0,
        ports: SystemPorts | None = None,
    ) -> None:
        if every_records is not None and every_records < 1:
            raise ConfigurationError(f"every_records is {every_records}; use a positive number, or None")
        self._signer = signer
        self._store = store
        self._every_records = every_records
        self._every_seconds = every_seconds
        self._ports = ports or machine_ports()
        self._lock = threading.Lock()
        self._owner = self._ports.process_id()
        self._taken_at = self._ports.clock()
        self._newest: Head | None = None
        self._taken: Head | None = None
        self._is_overdue = False

    def see(self, head: Head) -> None:
        """Take note of a new record, and write an anchor if it is time.

        Raises:
            AuditError: The anchor was not written; the next record tries again.
        """
        self._check_process()
        with self._lock:
            if self._newest is None or self._newest.chain != head.chain or self._newest.sequence < head.sequence:
                self._newest = head
            if self._is_overdue or self._is_time(head):
                self._take(head)

    def finish(self) -> None:
        """Write an anchor for the newest record of this process, unless it has one.

        Raises:
            AuditError: It was not written.
        """
        self._check_process()
        with self._lock:
            if self._newest is not None and self._newest != self._taken:
                self._take(self._newest)

    def _is_time(self, head: Head) -> bool:
        if self._every_records is not None and head.sequence % self._every_records == 0:
            return True
        return self._every_seconds is not None and self._ports.clock() - self._taken_at >= self._every_seconds

    def _take(self, head: Head) -> None:
        self._is_overdue = True
        anchor = Anchor(head, time_text(self._ports.wall_clock()), self._signer.key_id)
        try:
            self._store.put(head, seal_anchor(anchor, self._signer))
        except Exception as error:  # signers and stores are anybody's: whatever they raise, the anchor is missing
            raise AuditError(f"the anchor of audit record {head.sequence} was not written: {error}") from error
        self._is_overdue = False
        self._taken, self._taken_at = head, self._ports.clock()

    def _check_process(self) -> None:
        if self._ports.process_id() != self._owner:
            # In a forked child: another thread of the parent may have held the lock. What the parent wrote, it anchors.
            self._lock = threading.Lock()
            self._newest, self._is_overdue = None, False
            self._owner = self._ports.process_id()


def seal_anchor(anchor: Anchor, signer: AnchorSigner) -> bytes:
    """Return an anchor with its signature as a line of JSON. Raises what the signer raises."""
    signature = base64.b64encode(signer.sign(anchor.message())).decode("ascii")
    return canonical_json({"anchor": anchor.to_record(), "signature": signature}) + b"\n"


def open_anchor(line: bytes, verifier: AnchorVerifier) -> Anchor:
    """Return the anchor of a line.

    Raises:
        AuditError: It is no anchor, or this key did not sign it.
    """
    sealed = parse_canonical(line.rstrip(b"\n"))
    content, signature = sealed.get("anchor"), sealed.get("signature")
    if not isinstance(content, dict) or not isinstance(signature, str) or content.get("schema") != _SCHEMA:
        raise AuditError("it is not an anchor")
    chain, number, digest = content.get("chain"), content.get("sequence"), content.get("hash")
    time, key_id = content.get("time"), content.get("key_id")
    if not (isinstance(chain, str) and isinstance(number, int) and isinstance(digest, str)):
        raise AuditError("the anchor names no record")
    if not (isinstance(time, str) and isinstance(key_id, str)):
        raise AuditError("the anchor names no time, or no key")
    anchor = Anchor(Head(chain, number, digest), time, key_id)
    try:
        raw_signature = base64.b64decode(signature, validate=True)
    except ValueError:
        raise AuditError("the signature of the anchor is not base64") from None
    verifier.verify(anchor.message(), raw_signature)
    return anchor


def anchor_lines(stream: LogSource) -> Iterator[bytes]:
    """Yield the anchors among the lines of a stream: what else was printed there is passed over."""
    is_start = True
    while line := stream.readline(MOST_ANCHOR):
        if is_start and line.startswith(_LINE_START):
            yield line
        is_start = line.endswith(b"\n")
