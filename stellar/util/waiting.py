"""Waiting that gives way: as usual in a plain thread, and cooperatively in a fiber of a run loop.

readable(socket, seconds)  writable(socket, seconds)      for a socket
new_event().wait(seconds)                                   for a call of set() from anywhere
Future().result()                                         for a value that will be set
wait_for(wanted, seconds)                                 for whichever of these a step of a computation wants
offload(function, *arguments)                             for a function that blocks: it gets a thread
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
    from stellar.util.scheduler import RunLoop, _Wait

T = TypeVar("T")


class Event(Protocol):
    """Lets one who waits be woken, once, from any thread."""

    def set(self) -> None:
        """End the wait; if it has not begun, it will not begin."""

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until woken, or for so many seconds; whether it was woken."""


def readable(source: socket.socket, seconds: float) -> bool:
    """Wait until something can be read, or the other side has ended; false if it takes longer.

    What is there already is seen even if no time is left.
    """
    hub = current_loop()
    return _polled(source, seconds, "in") if hub is None else hub.await_socket(source, selectors.EVENT_READ, seconds)


def writable(target: socket.socket, seconds: float) -> bool:
    """Wait until something can be written, or can't ever be; false if it takes longer."""
    hub = current_loop()
    return _polled(target, seconds, "out") if hub is None else hub.await_socket(target, selectors.EVENT_WRITE, seconds)


def is_ready(wanted: Wanted) -> bool:
    """True if a socket or a promise need not be waited for."""
    if isinstance(wanted, Future):
        return wanted.done
    one, event = wanted
    return _polled(one, 0, "in" if event == selectors.EVENT_READ else "out")


def sleep(seconds: float) -> None:
    """Wait for so many seconds."""
    new_event().wait(seconds)


def new_event() -> Event:
    """A way to be woken, for the thread or fiber that calls this."""
    hub = current_loop()
    return ThreadEvent() if hub is None else FiberEvent(hub)


class Future(Generic[T]):
    """A value that is there later, or an error; any number of threads and fibers may wait for it."""

    __slots__ = ("_error", "_kept", "_value", "_waiting")

    def __init__(self) -> None:
        self._kept = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiting: list[Event] = []

    def set_result(self, value: T) -> None:
        """Here it is."""
        self._value = value
        self._end()

    def set_exception(self, error: BaseException) -> None:
        """It will never be there, for this reason."""
        self._error = error
        self._end()

    @property
    def done(self) -> bool:
        """True once the value or the error is there."""
        return self._kept

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the value or the error is there, at most for so many seconds; return whether it is."""
        if not self._kept:
            ended = new_event()
            self._waiting.append(ended)
            try:
                if not self._kept:  # else it may have been kept before anybody knew of us
                    ended.wait(seconds)
            finally:
                with suppress(ValueError):  # it is being woken just now
                    self._waiting.remove(ended)
        return self._kept

    def when_done(self, wake: Event) -> None:
        """Call `wake.set()` once the value or the error is there, at once if it is."""
        self._waiting.append(wake)
        if self._kept:
            wake.set()

    def forget(self, wake: Event) -> None:
        """Undo `when_done`."""
        with suppress(ValueError):
            self._waiting.remove(wake)

    def result(self) -> T:
        """The value, waiting for it. Raises the error."""
        if not self._kept:
            self.wait()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def _end(self) -> None:
        self._kept = True
        for each in tuple(self._waiting):
            each.set()


# What a step of a computation waits for: a socket with selectors' EVENT_READ or EVENT_WRITE, or a promise
Wanted = tuple[socket.socket, int] | Future[Any]


def wait_for(wanted: Wanted, seconds: float) -> bool:
    """Wait for a socket or a promise; false if it takes longer than so many seconds."""
    if isinstance(wanted, Future):
        return wanted.wait(max(0.0, seconds))
    one, event = wanted
    return readable(one, seconds) if event == selectors.EVENT_READ else writable(one, seconds)


def offload(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What a function gives that may keep its thread waiting: from a fiber, it is called in another thread.

    Context variables have the same values there.
    """
    hub = current_loop()
    if hub is None:
        return function(*arguments, **options)
    ended = new_event()
    future = hub.pool().submit(copy_context().run, function, *arguments, **options)
    future.add_done_callback(lambda _: ended.set())
    ended.wait()
    return future.result()


class ThreadEvent:
    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()

    def set(self) -> None:
        with suppress(RuntimeError):  # it was woken already
            self._woken.release()

    def wait(self, seconds: float | None = None) -> bool:
        return self._woken.acquire(timeout=-1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX))


def _polled(one: socket.socket, seconds: float, way: str) -> bool:
    if not hasattr(select, "poll"):  # not on every system
        ready = select.select([one] * (way == "in"), [one] * (way == "out"), [one], max(0.0, seconds))
        return any(ready)
    poll = select.poll()
    poll.register(one, select.POLLIN if way == "in" else select.POLLOUT)
    return bool(poll.poll(math.ceil(max(0.0, seconds) * 1000)))


class _Here(threading.local):
    """The hub that the thread runs; None in any other thread, and in the child of a fork that a fiber made."""

    hub: RunLoop | None = None

    def after_fork(self) -> None:
        self.hub = None


_here = _Here()


reset_after_fork(_here)


def current_loop() -> RunLoop | None:
    """The hub in whose fiber this is called, if it is."""
    return _here.hub


class FiberEvent:
    def __init__(self, hub: RunLoop) -> None:
        self._hub = hub
        self._waiting: _Wait | None = None
        self._woken = False

    def set(self) -> None:
        self._woken = True
        if self._waiting is not None:
            self._hub.end_wait(self._waiting)

    def wait(self, seconds: float | None = None) -> bool:
        waiting = self._waiting = self._hub.new_wait()
        if self._woken:
            waiting.over = True
        else:
            self._hub.give_way(waiting, seconds)
        return self._woken
