"""Whether it is worth asking a key service that did not answer a moment ago."""

from __future__ import annotations

import threading

from s3envelope.core.ports import Clock, Random

_FIRST_SECONDS = 5.0
_MOST_SECONDS = 60.0
_JITTER = 0.25


class Circuit:
    """Opens when a call found the key service unreachable; lets one caller try again after a while.

    Only those ask it who have another way out. A call has the retries of its client behind it when it fails, so one is
    enough.

    Args:
        clock: Monotonic.
        random: So that many processes do not come back at the same moment.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._failure_count = 0
        self._retry_at = 0.0

    def is_open(self) -> bool:
        """Tell whether to go without the key service now.

        When the time is up it says no to one caller only; it stays open for the others until that one is back.
        """
        with self._lock:
            if not self._failure_count:
                return False
            now = self._clock()
            if now < self._retry_at:
                return True
            self._retry_at = now + self._pause()
            return False

    def failed(self) -> None:
        """Take note that the key service could not be reached."""
        with self._lock:
            self._failure_count += 1
            self._retry_at = self._clock() + self._pause()

    def succeeded(self) -> None:
        """Take note of an answer of the key service."""
        # Without the lock: this is on the way of every call, and there is nothing to be torn.
        if self._failure_count:
            with self._lock:
                self._failure_count = 0

    def _pause(self) -> float:
        doubled = _FIRST_SECONDS * 2.0 ** min(self._failure_count - 1, 10)
        return float(min(_MOST_SECONDS, doubled)) * (1 + _JITTER * self._random(1)[0] / 255)
