"""Waiting that works in threads and in fibers: it blocks a plain thread, and yields in a fiber of a run loop.

wait_readable(socket, seconds)  wait_writable(socket, seconds)   for a socket
new_event().wait(seconds)                                        for a call of set() by any thread or fiber
Future().result()                                                for a value that is set later
wait_for(waitable, seconds)                                      for a socket or a future
offload(function, *arguments)                                    for a function that blocks: it runs in another thread
"""

from __future__ import annotations

import math
import select
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from stellar.util.forks import reset_after_fork

if TYPE_CHECKING:
    from stellar.util.scheduler import RunLoop, Wait

T = TypeVar("T")


class Event(Protocol):
    """An event that ends one wait of one thread or fiber."""

    def set(self) -> None:
        """End the wait, or make a later one return at once. For any thread."""

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for `set`; return False after a time-out in seconds."""


def wait_readable(source: socket.socket, seconds: float) -> bool:
    """Wait until a socket has data or its peer has closed; return False after a time-out in seconds.

    Data that has already arrived is reported even if the time-out is zero or negative.
    """
    loop = current_loop()
    return _poll(source, seconds, "in") if loop is None else loop.await_socket(source, selectors.EVENT_READ, seconds)


def wait_writable(target: socket.socket, seconds: float) -> bool:
    """Wait until a socket accepts data or has failed; return False after a time-out in seconds."""
    loop = current_loop()
    return _poll(target, seconds, "out") if loop is None else loop.await_socket(target, selectors.EVENT_WRITE, seconds)


def is_ready(waitable: Waitable) -> bool:
    """Return True if waiting for a socket or a future would return at once."""
    if isinstance(waitable, Future):
        return waitable.done
    one, event = waitable
    return _poll(one, 0, "in" if event == selectors.EVENT_READ else "out")


def sleep(seconds: float) -> None:
    """Wait for a number of seconds."""
    new_event().wait(seconds)


def new_event() -> Event:
    """Return an event for one wait of the calling thread or fiber."""
    loop = current_loop()
    return ThreadEvent() if loop is None else FiberEvent(loop)


class Future(Generic[T]):
    """A value or an error that is set later; any number of threads and fibers may wait for it."""

    __slots__ = ("_done", "_error", "_value", "_waiting")

    def __init__(self) -> None:
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiting: list[Event] = []

    def set_result(self, value: T) -> None:
        """Set the value and wake all waiting threads and fibers."""
        self._value = value
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        """Set the error and wake all waiting threads and fibers."""
        self._error = error
        self._finish()

    @property
    def done(self) -> bool:
        """True if the value or the error is set."""
        return self._done

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the value or the error is set; return False after a time-out in seconds."""
        if not self._done:
            ended = new_event()
            self._waiting.append(ended)
            try:
                if not self._done:  # else it may have been set before the event was added
                    ended.wait(seconds)
            finally:
                with suppress(ValueError):  # removed while it was set
                    self._waiting.remove(ended)
        return self._done

    def when_done(self, event: Event) -> None:
        """Set an event when the value or the error is set, or at once if it is."""
        self._waiting.append(event)
        if self._done:
            event.set()

    def discard(self, event: Event) -> None:
        """Do not set an event that was passed to `when_done`."""
        with suppress(ValueError):
            self._waiting.remove(event)

    def result(self) -> T:
        """Wait for the value and return it. Raises the error."""
        if not self._done:
            self.wait()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def _finish(self) -> None:
        self._done = True
        if self._waiting:
            for each in tuple(self._waiting):
                each.set()


# A socket with EVENT_READ or EVENT_WRITE of selectors, or a future
Waitable = tuple[socket.socket, int] | Future[Any]


def wait_for(waitable: Waitable, seconds: float) -> bool:
    """Wait for a socket or a future; return False after a time-out in seconds."""
    if isinstance(waitable, Future):
        return waitable.wait(max(0.0, seconds))
    one, event = waitable
    if (loop := current.loop) is not None:  # the common case of model calls, without further calls
        return loop.await_socket(one, event, seconds)
    return _poll(one, seconds, "in" if event == selectors.EVENT_READ else "out")


def offload(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call a function that may block: directly in a plain thread, in a thread of a pool from a fiber.

    Context variables have the same values there.
    """
    loop = current_loop()
    if loop is None:
        return function(*arguments, **options)
    ended = new_event()
    future = loop.pool().submit(copy_context().run, function, *arguments, **options)
    future.add_done_callback(lambda _: ended.set())
    ended.wait()
    return future.result()


class ThreadEvent:
    """An event for a plain thread."""

    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()

    def set(self) -> None:
        with suppress(RuntimeError):  # it is set already
            self._woken.release()

    def wait(self, seconds: float | None = None) -> bool:
        return self._woken.acquire(timeout=-1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX))


def _poll(one: socket.socket, seconds: float, direction: str) -> bool:
    if not hasattr(select, "poll"):  # not available on every system
        ready = select.select([one] * (direction == "in"), [one] * (direction == "out"), [one], max(0.0, seconds))
        return any(ready)
    poll = select.poll()
    poll.register(one, select.POLLIN if direction == "in" else select.POLLOUT)
    return bool(poll.poll(math.ceil(max(0.0, seconds) * 1000)))


class _Current(threading.local):
    """The run loop of a thread; None in other threads, and in a child that was forked by a fiber."""

    loop: RunLoop | None = None

    def after_fork(self) -> None:
        self.loop = None


current = _Current()
reset_after_fork(current)


def current_loop() -> RunLoop | None:
    """Return the run loop of the calling fiber; None in a plain thread."""
    return current.loop


class FiberEvent:
    """An event for a fiber."""

    def __init__(self, loop: RunLoop) -> None:
        self._loop = loop
        self._wait: Wait | None = None
        self._woken = False

    def set(self) -> None:
        self._woken = True
        if self._wait is not None:
            self._loop.end_wait(self._wait)

    def wait(self, seconds: float | None = None) -> bool:
        wait = self._wait = self._loop.new_wait()
        if self._woken:
            wait.over = True
        else:
            self._loop.suspend(wait, seconds)
        return self._woken
