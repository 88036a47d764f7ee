"""Work that is longer than an answer may take: it goes on in a thread, and pages show how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_State = TypeVar("_State")


@dataclass(slots=True)
class Job(Generic[_State]):
    """One piece of work.

    Args:
        state: What the thread has found so far. Only it writes; a page may be a moment behind.
        error: Why it ended early; "" if it did not.
    """

    state: _State
    is_running: bool = True
    error: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


class Jobs(Generic[_State]):
    """One job a subject, begun by the first who asks; a new one only when the last has ended."""

    def __init__(self, make_state: Callable[[], _State], describe: Callable[[Exception], str]) -> None:
        self._make_state, self._describe = make_state, describe
        self._jobs: dict[Hashable, Job[_State]] = {}
        self._lock = threading.Lock()
        self._is_closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        """Whether the work is to stop."""
        return self._is_closed.is_set()

    def get(self, subject: Hashable, work: Callable[[_State], None], *, again: bool = False) -> Job[_State]:
        """Return the job of a subject; `again` begins another unless one is going on."""
        with self._lock:
            job = self._jobs.get(subject)
            if job is None or (again and not job.is_running):
                job = self._jobs[subject] = Job(self._make_state())
                threading.Thread(target=self._run, args=(job, work), daemon=True).start()
            return job

    def close(self) -> None:
        """Tell the threads to stop, and wait for them."""
        self._is_closed.set()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.ended.wait()

    def _run(self, job: Job[_State], work: Callable[[_State], None]) -> None:
        try:
            work(job.state)
        except Exception as error:  # noqa: BLE001  # in a thread of its own: the page says what ended the work
            job.error = self._describe(error)
        finally:
            job.is_running = False
            job.ended.set()
