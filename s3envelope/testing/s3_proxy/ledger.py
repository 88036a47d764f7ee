"""What all connections of a proxy share: the log, the forbidden bytes, the rules in force."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from s3envelope.testing.s3_proxy.canaries import Needle, needles_of
from s3envelope.testing.s3_proxy.edits import AnswerEditor, EditRule, RequestEditor
from s3envelope.testing.s3_proxy.faults import ErrorAnswer, Fault, Latency
from s3envelope.testing.s3_proxy.records import Leak, RecordedRequest
from s3envelope.testing.s3_proxy.wire import Head, WireError


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to one request and its answer."""

    faults: tuple[Fault, ...] = ()
    request_editors: tuple[RequestEditor, ...] = ()
    answer_editors: tuple[AnswerEditor, ...] = ()
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    @property
    def error_answer(self) -> ErrorAnswer | None:
        """Return the error to answer with, if one is planned."""
        return next((fault for fault in self.faults if isinstance(fault, ErrorAnswer)), None)

    @property
    def delay_seconds(self) -> float:
        """Return how long to wait before the request is passed on."""
        return sum(fault.delay_seconds for fault in self.faults if isinstance(fault, Latency))


def _chosen(faults: list[tuple[EditRule, Fault]], request: RecordedRequest) -> Iterator[Fault]:
    """Yield every delay that matches, and of the other faults the first: those wait for their turn."""
    has_fault = False
    for rule, fault in faults:
        if isinstance(fault, Latency):
            if rule.takes(request):
                yield fault
        elif not has_fault and rule.takes(request):
            has_fault = True
            yield fault


_WRITING = frozenset({"PUT", "POST", "DELETE"})


class Ledger:
    """Thread-safe memory of a proxy."""

    def __init__(self, *, keep_bodies: bool) -> None:
        self.keep_bodies = keep_bodies
        self.writes_take_turns = False
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._request_count = 0
        self._requests: list[RecordedRequest] = []
        self._leaks: list[Leak] = []
        self._needles: tuple[Needle, ...] = ()
        self._faults: list[tuple[EditRule, Fault]] = []
        self._request_edits: list[tuple[EditRule, RequestEditor]] = []
        self._answer_edits: list[tuple[EditRule, AnswerEditor]] = []

    @property
    def requests(self) -> list[RecordedRequest]:
        """Return a copy of the log, in the order of the answers."""
        with self._lock:
            return list(self._requests)

    @property
    def leaks(self) -> list[Leak]:
        """Return a copy of the findings."""
        with self._lock:
            return list(self._leaks)

    @property
    def needles(self) -> tuple[Needle, ...]:
        """Return what is searched for."""
        with self._lock:
            return self._needles

    def forbid(self, canary: bytes) -> None:
        """Search every request from now on for the canary."""
        needles = needles_of(canary)
        with self._lock:
            self._needles += needles

    def add(
        self,
        rule: EditRule,
        *,
        fault: Fault | None = None,
        on_request: RequestEditor | None = None,
        on_answer: AnswerEditor | None = None,
    ) -> None:
        """Put a rule into force."""
        with self._lock:
            if fault is not None:
                self._faults.append((rule, fault))
            if on_request is not None:
                self._request_edits.append((rule, on_request))
            if on_answer is not None:
                self._answer_edits.append((rule, on_answer))

    def begin(self, head: Head) -> tuple[RecordedRequest, Plan]:
        """Number a request and decide what will happen to it.

        Raises:
            WireError: The first line is not a request line.
        """
        words = head.first_line.split(" ")
        if len(words) != 3:
            raise WireError("not a request line")
        method, target, _ = words
        with self._lock:
            self._request_count += 1
            number = self._request_count
            faults, requests, answers = self._faults[:], self._request_edits[:], self._answer_edits[:]
        request = RecordedRequest(number=number, method=method, target=target, headers=head.headers)
        plan = Plan(
            faults=tuple(_chosen(faults, request)),
            request_editors=tuple(editor for rule, editor in requests if rule.takes(request)),
            answer_editors=tuple(editor for rule, editor in answers if rule.takes(request)),
            turn=self._turn if self.writes_take_turns and method in _WRITING else nullcontext(),
        )
        return request, plan

    def log(self, request: RecordedRequest, *, status: int | None) -> None:
        """Put a finished request into the log."""
        with self._lock:
            self._requests.append(replace(request, status=status))

    def report(self, leak: Leak) -> None:
        """Keep a finding."""
        with self._lock:
            self._leaks.append(leak)

    def take(self) -> list[RecordedRequest]:
        """Return the log, and forget it."""
        with self._lock:
            taken, self._requests = self._requests, []
        return taken

    def clear(self) -> None:
        """Forget log and findings."""
        with self._lock:
            self._requests.clear()
            self._leaks.clear()

    def clear_rules(self) -> None:
        """Forget edits and faults."""
        with self._lock:
            self._faults.clear()
            self._request_edits.clear()
            self._answer_edits.clear()
