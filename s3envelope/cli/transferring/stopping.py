"""How a command waits for what runs in other threads, and ends it when Ctrl-C comes.

Python delivers Ctrl-C to the main thread, and only between two of its instructions: one that arrives just before the
thread goes to sleep is noticed when it wakes up. So the main thread never sleeps for long, and everything that takes
time is done by others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

_LOOK_SECONDS = 0.2

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class StoppedError(Exception):
    """Ends the work of a thread after Ctrl-C; nobody sees it."""


class Stop:
    """Tells all threads of a command to end, and cancels what they wait for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._cancels: dict[int, Callable[[], object]] = {}
        self._lock = threading.Lock()
        self._number = 0

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Tell them, and cancel everything that runs."""
        self._event.set()
        with self._lock:
            cancels = list(self._cancels.values())
        for cancel in cancels:
            cancel()

    def check(self) -> None:
        """Raise `StoppedError` if the command is to end."""
        if self._event.is_set():
            raise StoppedError

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Have `cancel` called, from another thread, if the command is to end while the block runs."""
        with self._lock:
            self._number += 1
            number = self._number
            self._cancels[number] = cancel
        try:
            # Told after `set` took its list: then nobody else would call it.
            if self._event.is_set():
                cancel()
            yield
        finally:
            with self._lock:
                self._cancels.pop(number, None)


def work_through(
    jobs: Iterable[_Job],
    work: Callable[[_Job], _Result],
    report: Callable[[_Result], None],
    *,
    workers: int,
    stop: Stop,
) -> None:
    """Do every job in one of some threads, and report each result from this one.

    Jobs are taken as they are needed. If this thread is interrupted, or cannot go on, all others are told to stop; it
    goes on only when they have, and what they still reached is reported.

    Args:
        work: Must not raise but for an error that ends the command.

    Raises:
        BaseException: What interrupted this thread, what `jobs` raised, or `work`.
    """
    executor = ThreadPoolExecutor(workers, thread_name_prefix="transfer")
    waiting: set[Future[_Result]] = set()
    left = iter(jobs)
    is_exhausted = False
    try:
        while waiting or not is_exhausted:
            while not is_exhausted and len(waiting) < 2 * workers:
                try:
                    job = next(left)
                except StopIteration:
                    is_exhausted = True
                else:
                    waiting.add(executor.submit(work, job))
            done, _ = wait(waiting, _LOOK_SECONDS, FIRST_COMPLETED)
            for future in done:
                waiting.remove(future)
                report(future.result())
    except BaseException:
        stop.set()
        _end(executor)
        for future in waiting:
            if future.done() and not future.cancelled() and future.exception() is None:
                report(future.result())
        raise
    _end(executor)


def _end(executor: ThreadPoolExecutor) -> None:
    while True:
        try:
            executor.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            # Whoever presses it twice gets the same: an end at which nothing is left half done.
            continue
        return
