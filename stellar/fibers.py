"""Many waits in one thread: work runs in fibers, each of which gives way where it would wait.

Whoever waits says so by the functions here, which wait as usual in a plain thread, and give way in a fiber:

    readable(socket, seconds)  writable(socket, seconds)      for a socket
    waker().wait(seconds)                                     for somebody who calls wake()
    Promise().get()                                           for a value that somebody will bring
    offload(function, *arguments)                             for what can't give way: it gets a thread

A thread for each wait would do the same. But a switch of threads costs as much as all the rest of a short request.
"""

from __future__ import annotations

import heapq
import itertools
import math
import select
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from greenlet import greenlet

T = TypeVar("T")

OFFLOAD_THREADS = 512

# To wake a thread costs as much as a short piece of work does. So new work may lie for this long until the hub looks,
# unless somebody waits for it; after having had nothing to do for some time, the hub sleeps until it is called.
DOZE_SECONDS = 0.001
STAYS_AWAKE_SECONDS = 0.05


class Waker(Protocol):
    """Lets one who waits be woken, once, from any thread."""

    def wake(self) -> None:
        """End the wait; if it has not begun, it will not begin."""

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until woken, or for so many seconds; whether it was woken."""


def readable(source: socket.socket, seconds: float) -> bool:
    """Wait until something can be read, or the other side has ended; false if it takes longer.

    What is there already is seen even if no time is left.
    """
    hub = _hub()
    return _polled(source, seconds, "in") if hub is None else hub.await_socket(source, selectors.EVENT_READ, seconds)


def writable(target: socket.socket, seconds: float) -> bool:
    """Wait until something can be written, or can't ever be; false if it takes longer."""
    hub = _hub()
    return _polled(target, seconds, "out") if hub is None else hub.await_socket(target, selectors.EVENT_WRITE, seconds)


def waker() -> Waker:
    """A way to be woken, for the thread or fiber that calls this."""
    hub = _hub()
    return _ThreadWaker() if hub is None else _FiberWaker(hub)


class Promise(Generic[T]):
    """A value that is there later, or an error; any number of threads and fibers may wait for it."""

    __slots__ = ("_error", "_kept", "_value", "_waiting")

    def __init__(self) -> None:
        self._kept = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiting: list[Waker] = []

    def keep(self, value: T) -> None:
        """Here it is."""
        self._value = value
        self._end()

    def fail(self, error: BaseException) -> None:
        """It will never be there, for this reason."""
        self._error = error
        self._end()

    def get(self) -> T:
        """The value, waiting for it. Raises the error."""
        if not self._kept:
            ended = waker()
            self._waiting.append(ended)
            if not self._kept:  # else it may have been kept before anybody knew of us
                ended.wait()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def _end(self) -> None:
        self._kept = True
        for each in self._waiting:
            each.wake()


def offload(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What a function gives that may keep its thread waiting: from a fiber, it is called in another thread.

    Context variables have the same values there.
    """
    hub = _hub()
    if hub is None:
        return function(*arguments, **options)
    ended = waker()
    future = hub.pool().submit(copy_context().run, function, *arguments, **options)
    future.add_done_callback(lambda _: ended.wake())
    ended.wait()
    return future.result()


# --- in a thread


class _ThreadWaker:
    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()

    def wake(self) -> None:
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


# --- in fibers

_here = threading.local()


def _hub() -> Hub | None:
    """The hub in whose fiber this is called, if it is."""
    return getattr(_here, "hub", None)


class Task(Generic[T]):
    """A piece of work for a fiber."""

    __slots__ = ("_failure", "_hub", "_value", "_work", "ended")

    def __init__(self, hub: Hub, work: Callable[[], T]) -> None:
        self._hub, self._work = hub, work
        self._value: Any = None
        self._failure: BaseException | None = None
        self.ended = False

    def run(self) -> None:
        """Do it, in a fiber."""
        try:
            self._value = self._work()
        except BaseException as error:  # noqa: BLE001 (it is raised where the result is asked for)
            self._failure = error
        self._hub.ended(self)

    def done(self) -> bool:
        return self.ended

    def result(self) -> T:
        """What came of it, waiting for that; for the one thread that reads results. Raises what the work raised."""
        if not self.ended:
            self._hub.await_task(self)
        if self._failure is not None:
            raise self._failure
        value: T = self._value
        return value


class _Wait:
    """One wait of one fiber."""

    __slots__ = ("fiber", "over")

    def __init__(self, fiber: greenlet) -> None:
        self.fiber, self.over = fiber, False


class Hub:
    """A thread that runs fibers; used as an executor is, by one thread.

    It looks at sockets before it looks at the time: what has come counts, however late anybody could see to it.
    """

    def __init__(self, name: str = "stellar") -> None:
        from greenlet import greenlet

        self._new_fiber = greenlet
        self._new: deque[Task[Any]] = deque()
        self._inbox: deque[Callable[[], object]] = deque()
        self._selector = selectors.DefaultSelector()
        self._hear, self._call = socket.socketpair()
        self._timers: list[tuple[float, int, _Wait]] = []
        self._numbers = itertools.count()
        self._rests = self._sleeps = self._closing = False
        self._busy = monotonic()
        self._living: set[Task[Any]] = set()
        self._fiber: greenlet | None = None
        self._wanted: Task[Any] | None = None
        self._failure: BaseException | None = None
        self._answered = threading.Lock()
        self._answered.acquire()
        self._pool: ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        for end in (self._hear, self._call):
            end.setblocking(False)
        self._selector.register(self._hear, selectors.EVENT_READ)
        self._thread.start()

    # --- for the thread that hands over work

    def submit(self, work: Callable[..., T], *arguments: Any) -> Task[T]:
        """Begin a piece of work in a fiber of its own."""
        task = Task(self, partial(work, *arguments))
        self._new.append(task)
        if self._sleeps:
            self._rouse()
        return task

    def await_task(self, task: Task[Any]) -> None:
        """Wait until a task has ended; for `Task.result`."""
        while not task.ended:
            if self._failure is not None:
                raise self._failure
            self._wanted = task
            self._rouse()
            if not task.ended and self._failure is None:  # or it has ended just before that could be known
                self._answered.acquire()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what is under way; what has not begun is left if it is to be cancelled."""
        if cancel_futures:
            self._new.clear()
        self._closing = True
        self.post(lambda: None)
        if wait:
            self._thread.join()

    # --- for the fibers

    def await_socket(self, one: socket.socket, event: int, seconds: float) -> bool:
        """Give way until a socket is ready; false if it is not in so many seconds."""
        waiting = self.new_wait()
        self._selector.register(one, event, waiting)
        try:
            return self.give_way(waiting, seconds)
        finally:
            self._selector.unregister(one)

    def give_way(self, waiting: _Wait, seconds: float | None) -> bool:
        """Let others run until this wait is ended; false if that takes longer than so many seconds."""
        if seconds is not None:
            heapq.heappush(self._timers, (monotonic() + seconds, next(self._numbers), waiting))
        try:
            return bool(self._main.switch())
        finally:
            waiting.over = True

    def new_wait(self) -> _Wait:
        """A wait of the fiber that runs now."""
        assert self._fiber is not None, "only a fiber can give way"
        return _Wait(self._fiber)

    def pool(self) -> ThreadPoolExecutor:
        """Threads for what can't give way."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(OFFLOAD_THREADS, thread_name_prefix=f"{self._thread.name} offload")
        return self._pool

    def ended(self, task: Task[Any]) -> None:
        """A task has come to its end."""
        self._living.discard(task)
        task.ended = True

    # --- for any thread

    def post(self, act: Callable[[], object]) -> None:
        """Have something done by the hub, at once."""
        self._inbox.append(act)
        self._rouse()

    def _rouse(self) -> None:
        if self._rests and (self._inbox or self._new):
            self._rests = self._sleeps = False
            with suppress(OSError):  # it has been called often enough, or is gone
                self._call.send(b"!")

    def wake(self, waiting: _Wait) -> None:
        """End a fiber's wait."""
        self.post(lambda: self._resume(waiting, True))

    # --- the loop

    def _run(self) -> None:
        from greenlet import getcurrent

        _here.hub = self
        self._main = getcurrent()
        try:
            while self._living or self._inbox or self._new or not self._closing:
                self._turn()
        except BaseException as error:  # noqa: BLE001 (it is raised where a result is asked for)
            self._failure = error
            self._let_go()
        finally:
            self._selector.close()
            self._hear.close()
            self._call.close()
            if self._pool is not None:
                self._pool.shutdown()

    def _turn(self) -> None:
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()
        self._begin_new()
        self._tell()
        for key, _ in self._rest():
            if key.data is None:
                self._drain()
            else:
                self._resume(key.data, True)
        self._expire()

    def _rest(self) -> list[tuple[selectors.SelectorKey, int]]:
        """The sockets that are ready, after waiting for one, for a call, or for the time."""
        seconds = self._patience()
        dozes = monotonic() < self._busy + STAYS_AWAKE_SECONDS
        if dozes:
            seconds = DOZE_SECONDS if seconds is None else min(seconds, DOZE_SECONDS)
        self._rests, self._sleeps = True, not dozes
        at_once = self._inbox or self._new or (self._closing and not self._living)
        ready = self._selector.select(0 if at_once else seconds)
        self._rests = self._sleeps = False
        if ready or self._inbox or self._new:
            self._busy = monotonic()
        return ready

    def _tell(self) -> None:
        """Wake the one who waits for a task, if that has ended."""
        wanted = self._wanted
        if wanted is not None and wanted.ended:
            self._wanted = None
            self._let_go()

    def _let_go(self) -> None:
        if self._answered.locked():  # else nobody waits
            self._answered.release()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while self._hear.recv(4096):
                pass

    def _patience(self) -> float | None:
        """For how long nothing is to be done but to wait."""
        while self._timers and self._timers[0][2].over:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - monotonic()) if self._timers else None

    def _expire(self) -> None:
        if len(self._timers) > 64 + 4 * len(self._living):  # most waits end long before their time
            self._timers = [timer for timer in self._timers if not timer[2].over]
            heapq.heapify(self._timers)
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._resume(heapq.heappop(self._timers)[2], False)

    def _begin_new(self) -> None:
        for _ in range(len(self._new)):
            try:
                task = self._new.popleft()
            except IndexError:  # it was cancelled just now
                return
            self._living.add(task)
            self._enter(self._new_fiber(task.run, self._main))

    def _resume(self, waiting: _Wait, value: bool) -> None:
        if not waiting.over:
            waiting.over = True
            self._enter(waiting.fiber, value)

    def _enter(self, fiber: greenlet, *value: bool) -> None:
        self._fiber = fiber
        fiber.switch(*value)
        self._fiber = None


class _FiberWaker:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: _Wait | None = None
        self._woken = False

    def wake(self) -> None:
        self._woken = True
        if self._waiting is not None:
            self._hub.wake(self._waiting)

    def wait(self, seconds: float | None = None) -> bool:
        waiting = self._waiting = self._hub.new_wait()
        if self._woken:
            waiting.over = True
        else:
            self._hub.give_way(waiting, seconds)
        return self._woken
