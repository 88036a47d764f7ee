"""Between an event loop and the threads that do the blocking work of one client.

A call of an asynchronous client runs in one worker thread. Where it needs the network, the thread hands a coroutine to
the loop and waits; what the loop in turn wants done meanwhile (the event handlers of that request), the waiting thread
does. So one call takes one thread however deep it goes, and a bounded number of threads cannot wait for each other.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from s3envelope.errors import UnsupportedOperationError

T = TypeVar("T")

# How often a waiting thread looks whether its loop is still there; nothing is late because of it.
_LOOK_SECONDS = 1.0


class _Scope:
    """What one call of the client has under way on the loop; used on the loop's thread only.

    Cancelling it cancels these, and refuses new ones but for those that clean up.
    """

    def __init__(self) -> None:
        self.is_cancelled = False
        self.tasks: set[asyncio.Task[Any]] = set()

    def cancel(self) -> None:
        self.is_cancelled = True
        for task in list(self.tasks):
            task.cancel()


class _Station:
    """A thread that waits for the loop, and meanwhile works for it."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_open = True

    def offer(self, function: Callable[[], T]) -> Future[T] | None:
        """Have the thread call a function; `None` if it waits no more."""
        future: Future[T] = Future()
        with self._lock:
            if not self._is_open:
                return None
            self._jobs.put(functools.partial(_settle, future, function))
        return future

    def close(self) -> None:
        """Let the thread go on, when it has done what was offered before."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._jobs.put(None)

    def work(self, check: Callable[[], None]) -> None:
        """Do what is offered until this is closed; `check` is called now and then and may raise."""
        while True:
            try:
                job = self._jobs.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                check()
                continue
            if job is None:
                return
            job()


_SCOPE: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar("s3envelope_scope", default=None)
_STATION: contextvars.ContextVar[_Station | None] = contextvars.ContextVar("s3envelope_station", default=None)


def _settle(future: Future[T], function: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001  # it is raised again where the future is waited for
        future.set_exception(error)
    else:
        future.set_result(result)


class Bridge:
    """The loop of one client and its threads.

    Args:
        loop: Runs the client's requests.
        thread_count: Of calls at once, and as many reads of bodies. They are apart: a call may wait for a connection
            that only the reading of some body gives back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_count: int) -> None:
        self.loop = loop
        self._process_id = os.getpid()
        self._calls = ThreadPoolExecutor(thread_count, thread_name_prefix="s3envelope-call")
        self._reads = ThreadPoolExecutor(thread_count, thread_name_prefix="s3envelope-read")

    # ---- on the loop ----

    async def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function that blocks: in a thread that waits for this very task, or else in one of the pool.

        If the caller is cancelled, what the function has under way is cancelled as well, and its end is waited for:
        when this returns or raises, nothing of the call goes on.
        """
        bound = functools.partial(function, *args, **kwargs)
        station = _STATION.get()
        offered = None if station is None else station.offer(bound)
        if offered is not None:
            return await asyncio.wrap_future(offered)
        return await self._run(self._calls, bound)

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function that reads a body, in a thread; cancelling is as for `call`."""
        return await self._run(self._reads, functools.partial(function, *args))

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[[], T]) -> T:
        self._check()
        scope, context = _Scope(), contextvars.copy_context()
        context.run(_SCOPE.set, scope)
        context.run(_STATION.set, None)
        future = pool.submit(context.run, function)
        result = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            scope.cancel()
            if not future.cancel():
                await _until_done(result)
                _discard(future)
            raise

    # ---- in threads ----

    def wait_for(self, make: Callable[[], Coroutine[Any, Any, T]], *, cleans_up: bool = False) -> T:
        """Run a coroutine on the loop and return its result, from another thread.

        Args:
            cleans_up: It also runs if the call was cancelled.

        Raises:
            concurrent.futures.CancelledError: The call was cancelled, or the coroutine.
        """
        self._check()
        if _running_loop() is self.loop:
            raise UnsupportedOperationError(
                "a body was read, or a call made, on the event loop's own thread, which it would block for ever. "
                "Instead, await the method of the asynchronous client"
            )
        station, scope = _Station(), None if cleans_up else _SCOPE.get()
        context = contextvars.copy_context()
        context.run(_STATION.set, station)
        outcome: Future[T] = Future()
        self.loop.call_soon_threadsafe(self._begin, make, scope, station, outcome, context=context)
        station.work(self._check)
        return outcome.result()

    def _begin(
        self,
        make: Callable[[], Coroutine[Any, Any, T]],
        scope: _Scope | None,
        station: _Station,
        outcome: Future[T],
    ) -> None:
        if scope is not None and scope.is_cancelled:
            outcome.set_exception(CancelledError())
            station.close()
            return
        task = self.loop.create_task(make())
        if scope is not None:
            scope.tasks.add(task)
            task.add_done_callback(scope.tasks.discard)
        task.add_done_callback(functools.partial(_finished, station, outcome))

    def soon(self, function: Callable[[], object]) -> None:
        """Have the loop call a function, without waiting; nothing happens if there is no loop any more."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            # It was closed, and everything that it served with it.
            return

    def _check(self) -> None:
        if self.loop.is_closed():
            raise UnsupportedOperationError("the event loop of this client was closed; make another client")
        if os.getpid() != self._process_id:
            raise UnsupportedOperationError("this client was made before a fork; make another one in the child")


def _finished(station: _Station, outcome: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        outcome.set_exception(CancelledError())
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
    station.close()


async def _until_done(future: asyncio.Future[Any]) -> None:
    """Wait for the end of what was cancelled, even if the waiting is cancelled again."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue


def _discard(future: Future[Any]) -> None:
    """Close the body of an answer that came too late for anybody to take it."""
    if future.cancelled() or future.exception() is not None:
        return
    result = future.result()
    body = result.get("Body") if isinstance(result, dict) else None
    if body is not None:
        body.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
