"""Many waits in one thread: work runs in fibers, each of which gives way where it would wait.

A thread for each wait would do the same. But a switch of threads costs as much as all the rest of a short request.

A task can be cancelled: `Cancelled` is raised where its fiber waits, so its `finally` blocks run. After a fork the
child has none of the parent's hubs: their threads did not come along (see stellar.util.forks).
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic

from stellar.util.forks import reset_after_fork
from stellar.util.waiting import Future, T, Wanted, _here

if TYPE_CHECKING:
    from greenlet import greenlet


OFFLOAD_THREADS = 512

# To wake a thread costs as much as a short piece of work does. So new work may lie for this long until the hub looks,
# unless somebody waits for it; after having had nothing to do for some time, the hub sleeps until it is called.
DOZE_SECONDS = 0.001
STAYS_AWAKE_SECONDS = 0.05


class Cancelled(BaseException):
    """The task was cancelled; no Exception, so that nothing takes it for a failure to handle."""


# --- in a thread


# --- in fibers


class Task(Generic[T]):
    """A piece of work for a fiber."""

    __slots__ = ("_ended", "_failure", "_hub", "_value", "_work", "cancelled", "ended", "fiber")

    def __init__(self, hub: RunLoop, work: Callable[[], T], ended: Callable[[Task[T]], object] | None = None) -> None:
        self._hub, self._work, self._ended = hub, work, ended
        self._value: Any = None
        self._failure: BaseException | None = None
        self.ended = self.cancelled = False
        self.fiber: greenlet | None = None

    def run(self) -> None:
        """Do it, in a fiber."""
        try:
            if self.cancelled:
                raise Cancelled
            self._value = self._work()
        except BaseException as error:  # noqa: BLE001 (it is raised where the result is asked for)
            self._failure = error
        self._hub.ended(self)
        if self._ended is not None:
            self._ended(self)

    def abandon(self, error: BaseException) -> None:
        """End it with an error, for it will never be run or gone on with."""
        if not self.ended:
            self._failure, self.ended = error, True
            if self._ended is not None:
                self._ended(self)

    def done(self) -> bool:
        return self.ended

    def cancel(self) -> None:
        """Raise Cancelled where the task waits, or as soon as it begins. One that has ended is left as it is."""
        self._hub.cancel(self)

    @property
    def failure(self) -> BaseException | None:
        """The exception of an ended task; None if it returned."""
        return self._failure

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


class RunLoop:
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
        self._rests = self._sleeps = self._closing = self._forked = False
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
        reset_after_fork(self)

    def after_fork(self) -> None:
        """The thread is the parent's. Whoever goes on with this hub in the child is told so."""
        self._forked = True
        self._failure = RuntimeError("this stream of records was begun before a fork and goes on in the parent only")
        self._new, self._inbox, self._living, self._pool = deque(), deque(), set(), None
        self._answered = threading.Lock()
        with suppress(OSError):  # closes the child's copies
            self._selector.close()
        self._hear.close()
        self._call.close()

    # --- for the thread that hands over work

    def submit(self, work: Callable[..., T], *arguments: Any) -> Task[T]:
        """Begin a piece of work in a fiber of its own.

        Raises RuntimeError after `shutdown`, and in the child of a fork.
        """
        task = self._add(Task(self, partial(work, *arguments)))
        if self._sleeps:
            self._rouse()
        return task

    def start(self, work: Callable[[], T], ended: Callable[[Task[T]], object]) -> Task[T]:
        """Begin a piece of work at once; `ended` is called with its task, by the hub. For any thread.

        Raises RuntimeError after `shutdown`, and in the child of a fork.
        """
        task = self._add(Task(self, work, ended))
        self._rouse()
        return task

    def _add(self, task: Task[T]) -> Task[T]:
        if self._failure is None:
            self._new.append(task)
        if self._failure is not None:  # also if the hub has just ended, and perhaps did not see the task
            raise self._failure
        return task

    def run(self, work: Callable[[], T]) -> T:
        """Run a piece of work in a fiber, and return its result. For any thread but the hub's, which waits.

        If the wait is interrupted, the work is cancelled, and has ended when the interrupt is raised.
        """
        over: Future[None] = Future()
        task: Task[T] | None = None
        try:
            task = self.start(work, lambda _: over.set_result(None))
            over.result()
        except BaseException:  # an interrupt
            if task is not None:
                task.cancel()
                over.wait()  # what it used can be closed then
            raise
        return task.result()

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
        if self._forked:
            return
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

    def await_any(self, wanted: Iterable[Wanted], seconds: float) -> bool:
        """Give way until one of several sockets and promises is ready; false if none is in so many seconds."""
        waiting = self.new_wait()
        wake = _LoopEvent(self, waiting)
        sockets: list[socket.socket] = []
        promises: list[Future[Any]] = []
        try:
            for each in wanted:
                if isinstance(each, Future):
                    promises.append(each)
                    each.when_done(wake)
                else:
                    self._selector.register(each[0], each[1], waiting)
                    sockets.append(each[0])
            return self.give_way(waiting, seconds)
        finally:
            for one in sockets:
                self._selector.unregister(one)
            for promise in promises:
                promise.forget(wake)

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

    def cancel(self, task: Task[Any]) -> None:
        """Raise Cancelled where a task waits."""
        self.post(lambda: self._cancel(task))

    def _cancel(self, task: Task[Any]) -> None:
        task.cancelled = True
        if not task.ended and task.fiber is not None:
            self._fiber = task.fiber
            task.fiber.throw(Cancelled)
            self._fiber = None

    def post(self, act: Callable[[], object]) -> None:
        """Have something done by the hub, at once."""
        self._inbox.append(act)
        self._rouse()

    def _rouse(self) -> None:
        if self._rests and (self._inbox or self._new):
            self._rests = self._sleeps = False
            with suppress(OSError):  # it has been called often enough, or is gone
                self._call.send(b"!")

    def end_wait(self, waiting: _Wait) -> None:
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
        finally:
            self._abandon_all(self._failure or RuntimeError("this run loop was shut down"))
            self._selector.close()
            self._hear.close()
            self._call.close()
            if self._pool is not None:
                self._pool.shutdown()

    def _abandon_all(self, error: BaseException) -> None:
        """Nothing is run any more: end what nobody would wait for in vain."""
        self._failure = error
        for task in (*self._living, *self._new):
            task.abandon(error)
        self._let_go()

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
            task.fiber = self._new_fiber(task.run, self._main)
            self._enter(task.fiber)

    def _resume(self, waiting: _Wait, value: bool) -> None:
        if not waiting.over:
            waiting.over = True
            self._enter(waiting.fiber, value)

    def _enter(self, fiber: greenlet, *value: bool) -> None:
        self._fiber = fiber
        fiber.switch(*value)
        self._fiber = None


class _LoopEvent:
    """Ends one wait of one fiber, from any thread."""

    def __init__(self, hub: RunLoop, waiting: _Wait) -> None:
        self._hub, self._waiting = hub, waiting

    def set(self) -> None:
        self._hub.end_wait(self._waiting)

    def wait(self, seconds: float | None = None) -> bool:
        return self._hub.give_way(self._waiting, seconds)
