"""Run loop: many waiting tasks in one thread, each in a fiber (greenlet) that yields where it would wait.

A thread per task would do the same, but a switch of threads costs as much as the rest of a short request.

The thread of a loop repeats one turn:

1. run the callbacks that other threads posted (cancellations, wake-ups), and start new tasks;
2. wake the thread that waits for the result of a task, if that task has finished;
3. wait in `select` for a ready socket, for the next timer, or for a byte on the wake-up socket, by which other threads
   interrupt the wait;
4. resume the fibers of ready sockets, then those of expired timers. In this order data that has arrived counts even if
   the loop is late.

A fiber that waits creates a `Wait`, registers it with a socket, a timer or a future, and switches to the loop's own
greenlet (`suspend`). The loop switches back with True, or with False after the time-out. A `Wait` ends once: it is
marked as over when it is resumed, so that a socket and a timer can't both resume it.

Fibers and registrations of sockets are reused, because creating them costs more than a short task. A fiber that has
ended its task runs the next one, in a new context of context variables: CPython maps new memory for the frames of each
new fiber. A socket stays registered with the poller between two waits (`_Watch`), until it is ready and no fiber waits
for it.

Waking the loop by a byte costs as much as a short task. After activity it therefore dozes: it wakes by itself every
millisecond, and new tasks need no byte until it has been idle for `STAYS_AWAKE_SECONDS`.

Cancelling a task raises `Cancelled` where its fiber waits, so its `finally` blocks run. The child of a fork has no
loops: their threads exist in the parent only (see stellar.util.forks).
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
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic

from stellar.util.forks import STARTED_BEFORE_FORK, reset_after_fork
from stellar.util.poller import new_poller
from stellar.util.waiting import Future, T, Waitable, current

if TYPE_CHECKING:
    from greenlet import greenlet


OFFLOAD_THREADS = 512

# See the module docstring: the longest wait while dozing, and how long the loop dozes after its last activity
DOZE_SECONDS = 0.001
STAYS_AWAKE_SECONDS = 0.05

# Fibers that wait for their next task
MAX_IDLE_FIBERS = 256


class Cancelled(BaseException):
    """The task was cancelled. Not an Exception, so that no handler of failures catches it."""


class Task(Generic[T]):
    """A callable that runs in a fiber, and its result."""

    __slots__ = ("_arguments", "_failure", "_loop", "_on_end", "_value", "_work", "cancelled", "ended", "fiber")

    def __init__(
        self,
        loop: RunLoop,
        work: Callable[..., T],
        arguments: tuple[Any, ...] = (),
        on_end: Callable[[Task[T]], object] | None = None,
    ) -> None:
        self._loop, self._work, self._arguments, self._on_end = loop, work, arguments, on_end
        self._value: Any = None
        self._failure: BaseException | None = None
        self.ended = self.cancelled = False
        self.fiber: greenlet | None = None

    def run(self) -> None:
        """Run the callable in the current fiber."""
        try:
            if self.cancelled:
                raise Cancelled
            self._value = self._work(*self._arguments)
        except BaseException as error:  # noqa: BLE001 (raised by `result`)
            self._failure = error
        self._loop.finish(self)
        if self._on_end is not None:
            self._on_end(self)

    def abandon(self, error: BaseException) -> None:
        """End the task with an error, because it will not be started or resumed."""
        if not self.ended:
            self._failure, self.ended = error, True
            if self._on_end is not None:
                self._on_end(self)

    def done(self) -> bool:
        """Return True if the task has ended."""
        return self.ended

    def cancel(self) -> None:
        """Raise Cancelled where the task waits, or when it starts. No effect on a task that has ended."""
        self._loop.cancel(self)

    @property
    def failure(self) -> BaseException | None:
        """The exception of an ended task; None if it returned."""
        return self._failure

    def result(self) -> T:
        """Wait for the result, in the one thread that reads results. Raises the exception of the task."""
        if not self.ended:
            self._loop.await_task(self)
        if self._failure is not None:
            raise self._failure
        value: T = self._value
        return value


class Wait:
    """One wait of one fiber.

    over: True once the fiber was resumed
    """

    __slots__ = ("fiber", "over")

    def __init__(self, fiber: greenlet) -> None:
        self.fiber, self.over = fiber, False


class _Watch:
    """A socket that is registered with the poller, and the wait that it ends; None while no fiber waits for it."""

    __slots__ = ("event", "socket", "wait")

    def __init__(self, one: socket.socket, event: int) -> None:
        self.socket, self.event = one, event
        self.wait: Wait | None = None


class RunLoop:
    """A thread that runs tasks in fibers, with the interface of an executor."""

    def __init__(self, name: str = "stellar") -> None:
        from greenlet import greenlet

        self._new_fiber = greenlet
        self._new: deque[Task[Any]] = deque()
        self._inbox: deque[Callable[[], object]] = deque()
        self._poller = new_poller()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._timers: list[tuple[float, int, Wait]] = []
        self._timer_numbers = itertools.count()
        self._selecting = self._asleep = self._closing = self._forked = False
        self._last_activity = monotonic()
        self._running: set[Task[Any]] = set()
        self._fiber: greenlet | None = None
        self._idle_fibers: list[greenlet] = []
        self._watches: dict[int, _Watch] = {}  # by file descriptor
        self._awaited: Task[Any] | None = None
        self._failure: BaseException | None = None
        self._reader_lock = threading.Lock()
        self._reader_lock.acquire()
        self._pool: ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        for end in (self._wake_receiver, self._wake_sender):
            end.setblocking(False)
        self._poller.register(self._wake_receiver.fileno(), selectors.EVENT_READ)
        self._thread.start()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Make every later use in the child an error, because the thread exists in the parent only."""
        self._forked = True
        self._failure = RuntimeError(STARTED_BEFORE_FORK)
        self._new, self._inbox, self._running, self._pool = deque(), deque(), set(), None
        self._reader_lock = threading.Lock()
        with suppress(OSError):  # only the copies of the child are closed
            self._poller.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    # --- for the threads that submit tasks

    def submit(self, work: Callable[..., T], *arguments: Any) -> Task[T]:
        """Start a callable in a fiber and return its task.

        Raises RuntimeError after `shutdown`, and in the child of a fork.
        """
        task = self._add(Task(self, work, arguments))
        if self._asleep:
            self._wake()
        return task

    def start(self, work: Callable[[], T], on_end: Callable[[Task[T]], object]) -> Task[T]:
        """Start a callable without delay; the loop calls `on_end` with its task. For any thread.

        Raises RuntimeError after `shutdown`, and in the child of a fork.
        """
        task = self._add(Task(self, work, (), on_end))
        self._wake()
        return task

    def _add(self, task: Task[T]) -> Task[T]:
        if self._failure is None:
            self._new.append(task)
        if self._failure is not None:  # also if the loop has just ended and may have missed the task
            raise self._failure
        return task

    def run(self, work: Callable[[], T]) -> T:
        """Run a callable in a fiber and return its result. For any thread but the loop's own.

        If the wait is interrupted, the task is cancelled, and has ended when the interrupt is raised.
        """
        ended: Future[None] = Future()
        task: Task[T] | None = None
        try:
            task = self.start(work, lambda _: ended.set_result(None))
            ended.result()
        except BaseException:  # an interrupt
            if task is not None:
                task.cancel()
                ended.wait()  # then the caller can close the resources of the task
            raise
        return task.result()

    def await_task(self, task: Task[Any]) -> None:
        """Wait until a task has ended; for `Task.result`."""
        while not task.ended:
            if self._failure is not None:
                raise self._failure
            self._awaited = task
            self._wake()
            if not task.ended and self._failure is None:  # else it ended before it was registered
                self._reader_lock.acquire()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the loop after its running tasks.

        wait: wait for the end
        cancel_futures: drop the tasks that have not started
        """
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
        """Suspend the fiber until a socket is ready; return False after a time-out in seconds."""
        assert self._fiber is not None, "only a fiber can be suspended"
        wait = Wait(self._fiber)
        watch = self._watches.get(one.fileno())
        if watch is None or watch.socket is not one or watch.event != event or watch.wait is not None:
            watch = self._watch(one, event)
        watch.wait = wait
        try:
            return self.suspend(wait, seconds)
        finally:
            watch.wait = None

    def await_any(self, waitables: Iterable[Waitable], seconds: float) -> bool:
        """Suspend the fiber until a socket or a future is ready; return False after a time-out in seconds."""
        wait = self.new_wait()
        event = _LoopEvent(self, wait)
        watches: list[_Watch] = []
        futures: list[Future[Any]] = []
        try:
            for each in waitables:
                if isinstance(each, Future):
                    futures.append(each)
                    each.when_done(event)
                else:
                    watches.append(self._watch(*each))
                    watches[-1].wait = wait
            return self.suspend(wait, seconds)
        finally:
            for watch in watches:
                watch.wait = None
            for future in futures:
                future.discard(event)

    def _watch(self, one: socket.socket, event: int) -> _Watch:
        """Return the registration of a socket for an event. Raises RuntimeError if a fiber waits for the socket."""
        number = one.fileno()
        watch = self._watches.get(number)
        if watch is not None and watch.wait is not None and watch.socket is one:
            raise RuntimeError("another fiber waits for this socket")
        if watch is None or watch.socket is not one or watch.event != event:
            if watch is not None:  # another event, or a closed socket that had the same number
                self._end_watch(number, watch)
            watch = _Watch(one, event)
            self._poller.register(number, event)
            self._watches[number] = watch
        return watch

    def _end_watch(self, number: int, watch: _Watch) -> None:
        if self._watches.get(number) is watch:  # else the number belongs to another socket already
            del self._watches[number]
            self._poller.unregister(number)

    def suspend(self, wait: Wait, seconds: float | None) -> bool:
        """Run other fibers until a wait ends; return False after a time-out in seconds."""
        if seconds is not None and seconds != inf:
            heapq.heappush(self._timers, (monotonic() + seconds, next(self._timer_numbers), wait))
        try:
            return bool(self._main.switch())
        finally:
            wait.over = True

    def new_wait(self) -> Wait:
        """Return a wait of the running fiber."""
        assert self._fiber is not None, "only a fiber can be suspended"
        return Wait(self._fiber)

    def pool(self) -> ThreadPoolExecutor:
        """Return the thread pool for functions that block."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(OFFLOAD_THREADS, thread_name_prefix=f"{self._thread.name} offload")
        return self._pool

    def finish(self, task: Task[Any]) -> None:
        """Record that a task has ended."""
        self._running.discard(task)
        task.ended = True

    # --- for any thread

    def cancel(self, task: Task[Any]) -> None:
        """Raise Cancelled where a task waits, or when it starts."""
        self.post(lambda: self._cancel(task))

    def _cancel(self, task: Task[Any]) -> None:
        task.cancelled = True
        if not task.ended and task.fiber is not None:
            self._fiber = task.fiber
            task.fiber.throw(Cancelled)
            self._fiber = None

    def post(self, callback: Callable[[], object]) -> None:
        """Call a function in the thread of the loop, without delay."""
        self._inbox.append(callback)
        self._wake()

    def _wake(self) -> None:
        if self._selecting and (self._inbox or self._new):
            self._selecting = self._asleep = False
            with suppress(OSError):  # its buffer is full, or it is closed
                self._wake_sender.send(b"!")

    def end_wait(self, wait: Wait) -> None:
        """Resume the fiber of a wait."""
        self.post(lambda: self._resume(wait, True))

    # --- the loop

    def _run(self) -> None:
        from greenlet import getcurrent

        current.loop = self
        self._main = getcurrent()
        try:
            while self._running or self._inbox or self._new or not self._closing:
                self._turn()
        except BaseException as error:  # noqa: BLE001 (raised by `Task.result`)
            self._failure = error
        finally:
            self._abandon_all(self._failure or RuntimeError("this run loop was shut down"))
            for fiber in self._idle_fibers:
                fiber.switch(None)  # ends it, as no other thread can
            self._poller.close()
            self._wake_receiver.close()
            self._wake_sender.close()
            if self._pool is not None:
                self._pool.shutdown()

    def _abandon_all(self, error: BaseException) -> None:
        """End all tasks with an error, so that no thread waits for them forever."""
        self._failure = error
        for task in (*self._running, *self._new):
            task.abandon(error)
        self._release_reader()

    def _turn(self) -> None:
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()
        self._start_new()
        self._notify_reader()
        # Read before any fiber runs, which may close a socket, and open another one with its number
        ready = [(number, self._watches.get(number)) for number, _ in self._select()]
        for number, watch in ready:
            if watch is None:
                self._handle_unwatched(number)
            elif (wait := watch.wait) is not None:
                if not wait.over:  # as in `_resume`
                    wait.over = True
                    self._fiber = wait.fiber
                    wait.fiber.switch(True)
            else:
                self._end_watch(number, watch)
        self._fiber = None
        self._expire()

    def _select(self) -> Iterable[tuple[int, int]]:
        """Wait for a ready socket, a wake-up or the next timer, and return the ready sockets."""
        seconds = self._until_next_timer()
        dozes = monotonic() < self._last_activity + STAYS_AWAKE_SECONDS
        if dozes:
            seconds = DOZE_SECONDS if seconds is None else min(seconds, DOZE_SECONDS)
        self._selecting, self._asleep = True, not dozes
        has_work = self._inbox or self._new or (self._closing and not self._running)
        ready = self._poller.poll(0 if has_work else seconds)
        self._selecting = self._asleep = False
        if ready or self._inbox or self._new:
            self._last_activity = monotonic()
        return ready

    def _notify_reader(self) -> None:
        """Wake the thread that waits for a task, if that has ended."""
        awaited = self._awaited
        if awaited is not None and awaited.ended:
            self._awaited = None
            self._release_reader()

    def _release_reader(self) -> None:
        if self._reader_lock.locked():  # else no thread waits
            self._reader_lock.release()

    def _handle_unwatched(self, number: int) -> None:
        if number == self._wake_receiver.fileno():
            self._drain()
        else:  # a closed socket that is still open in another process
            self._poller.unregister(number)

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while self._wake_receiver.recv(4096):
                pass

    def _until_next_timer(self) -> float | None:
        """Return the seconds until the next timer expires; None without timers."""
        while self._timers and self._timers[0][2].over:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - monotonic()) if self._timers else None

    def _expire(self) -> None:
        if len(self._timers) > 64 + 4 * len(self._running):  # most waits end long before their time-out
            self._timers = [timer for timer in self._timers if not timer[2].over]
            heapq.heapify(self._timers)
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._resume(heapq.heappop(self._timers)[2], False)

    def _start_new(self) -> None:
        for _ in range(len(self._new)):
            try:
                task = self._new.popleft()
            except IndexError:  # cleared by `shutdown`
                return
            self._running.add(task)
            if self._idle_fibers:
                task.fiber = fiber = self._idle_fibers.pop()
                fiber.gr_context = None  # the context variables of its last task are not inherited
            else:
                task.fiber = fiber = self._new_fiber(self._run_tasks, self._main)
            self._enter(fiber, task)

    def _run_tasks(self, task: Task[Any] | None) -> None:
        """Run a task, and then each one that the fiber is entered with; None ends the fiber."""
        while task is not None:
            fiber = task.fiber
            assert fiber is not None, "a task that runs has a fiber"
            task.run()
            task.fiber = None  # which belongs to the next task
            del task
            if len(self._idle_fibers) >= MAX_IDLE_FIBERS:
                return
            self._idle_fibers.append(fiber)
            task = self._main.switch()

    def _resume(self, wait: Wait, value: bool) -> None:
        if not wait.over:
            wait.over = True
            self._enter(wait.fiber, value)

    def _enter(self, fiber: greenlet, value: object) -> None:
        self._fiber = fiber
        fiber.switch(value)
        self._fiber = None


class _LoopEvent:
    """An event that ends one wait of one fiber, from any thread."""

    def __init__(self, loop: RunLoop, wait: Wait) -> None:
        self._loop, self._wait = loop, wait

    def set(self) -> None:
        self._loop.end_wait(self._wait)

    def wait(self, seconds: float | None = None) -> bool:
        return self._loop.suspend(self._wait, seconds)
