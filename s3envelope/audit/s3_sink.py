"""A log in S3: each process has a chain of its own, cut into objects."""

from __future__ import annotations

import threading

from s3envelope.audit.chain import CHAIN_SIZE, NO_HASH, Head, chain_line
from s3envelope.audit.event import AuditEvent
from s3envelope.audit.ports import machine_ports
from s3envelope.audit.s3_objects import LockedPlace
from s3envelope.core.ports import SystemPorts
from s3envelope.errors import AuditError, ConfigurationError

_MOST_WAITING = 10_000


class S3AuditSink:
    """Collect events and write them as objects `<prefix><chain>/<number of the first record>.jsonl`.

    `s3envelope audit verify` takes the objects of a chain as its files; of several versions, the oldest. An object that
    could not be written is tried again with the next that is due; at most 10,000 records wait behind it.

    Args:
        place: Where; Object Lock makes what is written last.
        batch_count: Records per object; with 1, each is in S3 when `write` returns.
        batch_seconds: The first record of an object waits no longer, if there is a later one. Call `close` at the end.
        ports: Randomness, clocks and process number.
    """

    def __init__(
        self,
        place: LockedPlace,
        *,
        batch_count: int = 500,
        batch_seconds: float = 60.0,
        ports: SystemPorts | None = None,
    ) -> None:
        if not 1 <= batch_count <= _MOST_WAITING:
            raise ConfigurationError(f"batch_count is {batch_count}; use 1 to {_MOST_WAITING}")
        self._place = place
        self._batch_count = batch_count
        self._batch_seconds = batch_seconds
        self._ports = ports or machine_ports()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._head = Head(self._ports.random(CHAIN_SIZE).hex(), 0, NO_HASH)
        self._waiting: list[bytes] = []
        self._tried: tuple[str, bytes] | None = None
        self._first_at = 0.0
        self._owner = self._ports.process_id()

    @property
    def is_buffered(self) -> bool:
        """Return whether an object takes more than one record."""
        return self._batch_count > 1

    def write(self, event: AuditEvent) -> None:
        """Chain an event to the one before, and write an object if it is time.

        Raises:
            AuditError: The object was not written, or too many events wait already.
        """
        self._check_process()
        with self._lock:
            if len(self._waiting) >= _MOST_WAITING:
                self._send()
            line, head = chain_line(self._head, event.to_record())
            if not self._waiting:
                self._first_at = self._ports.clock()
            self._waiting.append(line)
            self._head = head
            is_late = self._ports.clock() - self._first_at >= self._batch_seconds
            if is_late or len(self._waiting) >= self._batch_count:
                self._send()

    def close(self) -> None:
        """Write what waits.

        Raises:
            AuditError: The object was not written.
        """
        self._check_process()
        with self._lock:
            self._send()

    def _send(self) -> None:
        while self._tried is not None or self._waiting:
            if self._tried is None:
                first = self._head.sequence - len(self._waiting) + 1
                name = f"{self._head.chain}/{first:012d}.jsonl"
                self._tried, self._waiting = (name, b"".join(self._waiting)), []
            # INVARIANT: an object that S3 may have taken is sent again as it was: all versions of it are equal, so that
            # the oldest, which nobody can change, is the whole one.
            try:
                self._place.put(*self._tried, self._ports.wall_clock())
            except Exception as error:  # the client is handed in: whatever it raises, the records are not in S3
                raise AuditError(f"audit records could not be written to S3: {error}") from error
            self._tried = None

    def _check_process(self) -> None:
        if self._ports.process_id() != self._owner:
            # In a forked child: what waits is the parent's to write, and the chain the parent's to go on with.
            self._begin()
