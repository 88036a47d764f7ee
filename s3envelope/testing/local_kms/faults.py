"""Failures on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from s3envelope.testing.local_kms.errors import KmsServiceError

ANY = "*"


@dataclass(slots=True)
class _Fault:
    """One order. Exactly one of the three effects is set."""

    operation: str
    remaining: int | None
    error: KmsServiceError | None = None
    latency_seconds: float = 0.0
    reset: bool = False

    def matches(self, operation: str) -> bool:
        return self.operation in (ANY, operation) and self.remaining != 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What is to happen to one call: first the delay, then the reset or the error."""

    latency_seconds: float = 0.0
    reset: bool = False
    error: KmsServiceError | None = None


class KmsFaults:
    """Orders for the next calls of a `LocalKms`. Safe to use from several threads.

    `operation` is a name like "Decrypt", or "*" for every operation. `count` is how many matching calls are hit; None
    means all until `clear()`. Orders are served first come, first served; a delay goes with whatever follows it.
    """

    def __init__(self, refuse: Callable[[], bool], listen: Callable[[], None]) -> None:
        self._refuse = refuse
        self._listen = listen
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []

    def throttle(self, operation: str = ANY, count: int | None = 1) -> None:
        """Answer ThrottlingException."""
        self.fail(operation, "ThrottlingException", count, message="Rate exceeded")

    def fail(
        self,
        operation: str = ANY,
        code: str = "KMSInternalException",
        count: int | None = 1,
        status: int | None = None,
        message: str = "This error was ordered by a test.",
    ) -> None:
        """Answer any error.

        Args:
            status: The HTTP status; by default what AWS sends with this code.
        """
        self._order(_Fault(operation, count, error=KmsServiceError(code, message, status)))

    def latency(self, seconds: float, operation: str = ANY, count: int | None = None) -> None:
        """Wait before every answer. Several orders add up."""
        self._order(_Fault(operation, count, latency_seconds=seconds))

    def reset(self, operation: str = ANY, count: int | None = 1) -> None:
        """Reset the connection (TCP RST) instead of answering; the operation is not carried out."""
        self._order(_Fault(operation, count, reset=True))

    @contextmanager
    def refuse_connections(self) -> Iterator[None]:
        """Be unreachable: close all connections and refuse new ones, with the port kept, until the block ends."""
        was_listening = self._refuse()
        try:
            yield
        finally:
            if was_listening:
                self._listen()

    def clear(self) -> None:
        """Forget all orders, except a `refuse_connections` that still runs."""
        with self._lock:
            self._faults.clear()

    @property
    def pending_count(self) -> int:
        """The number of orders that are not used up; zero when everything that was ordered has happened."""
        with self._lock:
            return len(self._faults)

    def take(self, operation: str) -> Effect:
        """Return the effect on one call, and count it. For the server."""
        if not self._faults:
            return Effect()
        with self._lock:
            matching = [fault for fault in self._faults if fault.matches(operation)]
            delays = [fault for fault in matching if fault.error is None and not fault.reset]
            failure = next((fault for fault in matching if fault not in delays), None)
            for fault in [*delays, *([failure] if failure else [])]:
                if fault.remaining is not None:
                    fault.remaining -= 1
            self._faults = [fault for fault in self._faults if fault.remaining != 0]
        return Effect(
            latency_seconds=sum(fault.latency_seconds for fault in delays),
            reset=failure is not None and failure.reset,
            error=failure.error if failure else None,
        )

    def _order(self, fault: _Fault) -> None:
        if fault.remaining is not None and fault.remaining < 1:
            raise ValueError(f"count is {fault.remaining}; use 1 or more, or None for every call")
        with self._lock:
            self._faults.append(fault)
