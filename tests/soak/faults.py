"""Which faults a soak injects, how often, and into what."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from s3envelope.testing.s3_proxy import (
    EditRule,
    ErrorAnswer,
    Fault,
    Latency,
    Matcher,
    RecordedRequest,
    ResetRequest,
    ResetResponse,
    S3Proxy,
    TruncatedResponse,
)

_STORM_INTERVAL_SECONDS = 12
_STORM_SECONDS = 1.5
_STORM_FACTOR = 8
_IN_THE_BODY = 1000


def any_request(_: RecordedRequest) -> bool:
    """Match every request."""
    return True


def with_body(request: RecordedRequest) -> bool:
    """Match requests whose body is surely not sent when the connection is reset inside it."""
    return int(request.header("content-length", "0")) > 2 * _IN_THE_BODY


def reading(request: RecordedRequest) -> bool:
    """Match requests whose answers have bodies that matter."""
    return request.method == "GET"


@dataclass(frozen=True, slots=True)
class Share:
    """One fault, and of which requests it takes which share."""

    name: str
    fault: Fault
    rate: float
    suits: Matcher = any_request


SHARES = [
    Share("latency 20 ms", Latency(0.02), 0.05),
    Share("latency 300 ms", Latency(0.3), 0.01),
    Share("500 InternalError", ErrorAnswer(500, "InternalError"), 0.01),
    Share("503 SlowDown", ErrorAnswer(503, "SlowDown"), 0.01),
    Share("reset before the request's body", ResetRequest(0), 0.005),
    Share("reset in the request's body", ResetRequest(_IN_THE_BODY), 0.01, with_body),
    Share("reset before the answer", ResetResponse(None), 0.006),
    Share("closed before the answer", TruncatedResponse(None), 0.006),
    Share("reset in the answer's body", ResetResponse(40_000), 0.01, reading),
    Share("answer's body cut off early", TruncatedResponse(50), 0.005, reading),
    Share("answer's body cut off late", TruncatedResponse(70_000), 0.01, reading),
]


class FaultyWeather:
    """Injects all of `SHARES` at random, eight times as often in short storms.

    Args:
        clock: Seconds, for the storms.
    """

    def __init__(self, proxy: S3Proxy, seed: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._random = random.Random(seed)
        self._clock = clock
        self._rules: dict[str, EditRule] = {}
        self.is_quiet = True
        for share in SHARES:
            self._rules[share.name] = proxy.inject(share.fault, self._matcher(share), times=None)

    def _matcher(self, share: Share) -> Matcher:
        def matches(request: RecordedRequest) -> bool:
            if self.is_quiet or not share.suits(request):
                return False
            is_storm = self._clock() % _STORM_INTERVAL_SECONDS < _STORM_SECONDS
            return self._random.random() < share.rate * (_STORM_FACTOR if is_storm else 1)

        return matches

    @property
    def counts(self) -> dict[str, int]:
        """Return how many requests suffered each fault."""
        return {name: rule.hit_count for name, rule in self._rules.items()}
