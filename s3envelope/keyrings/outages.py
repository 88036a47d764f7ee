"""Which of several key services did not answer a moment ago, so that not every read waits for them again."""

from __future__ import annotations

import threading

from s3envelope.core.ports import Clock

OUTAGE_SECONDS = 30.0


class Outages:
    """Remembers for 30 seconds who could not be reached. Nobody is left out, only asked last.

    When the time is up one caller asks in the usual order again; for the others the time begins anew until that one
    is back, so that a service that hangs holds up one thread and not all.

    Args:
        count: How many there are; they are called 0 to count - 1, in the usual order.
        clock: Monotonic.
    """

    def __init__(self, count: int, clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._until: dict[int, float] = {}
        self._lock = threading.Lock()

    def order(self) -> list[int]:
        """Return who is to be asked, in this order."""
        usual = list(range(self._count))
        # Without the lock: this is on the way of every read, and there is nothing to be torn.
        if not self._until:
            return usual
        with self._lock:
            now = self._clock()
            away = {one for one, until in self._until.items() if now < until}
            for one in self._until.keys() - away:
                self._until[one] = now + OUTAGE_SECONDS
        return sorted(usual, key=lambda one: one in away)

    def failed(self, one: int) -> None:
        """Take note that one could not be reached."""
        with self._lock:
            self._until[one] = self._clock() + OUTAGE_SECONDS

    def answered(self, one: int) -> None:
        """Take note that one has answered, whatever it said."""
        if one in self._until:
            with self._lock:
                self._until.pop(one, None)
