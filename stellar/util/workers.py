"""Processes that work on messages, whose results are in the order of the messages.

    messages ──► least busy process ──► its queue, at most 2 ──► work ──► results, put in order

The processes are forked, so they have what their parent has loaded and compiled, and start in milliseconds. Each reads
its messages in a thread, also while it works or sends a result; so a parent that sends never waits for one that reads.
The memory is bounded by the number of messages whose results were not yet returned.

A process that ends is found by the end of its connection. The results of the messages before are returned first.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

Item = TypeVar("Item")

_END = b""
_EXIT_SECONDS = 10.0
_QUEUED = 2  # messages of one process: it works on one while the other arrives
_PENDING = 4  # messages for each process whose results were not returned, as results wait for earlier ones
# The first byte of a message from a process
_RESULT, _FAILURE = b"+", b"-"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkerEnded(OSError):
    """A process ended before it returned its result."""


class WorkFailed(ValueError):
    """The work of a process raised an error; this has its message."""


class Work(Protocol):
    """The work of one process. OSError and ValueError are raised again in the parent, as WorkFailed."""

    def do(self, message: bytes) -> bytes:
        """Return the result of a message."""

    def finish(self) -> bytes:
        """Return the last result, after all messages."""


@dataclass(eq=False)
class _Task:
    """A message that was sent, or an item without one.

    result: the result, as soon as it is known; the exception if it failed
    """

    item: Any
    result: bytes | Exception | None = None


@dataclass(eq=False)
class _Worker:
    """A process, and the tasks whose messages it has."""

    process: BaseProcess
    connection: Connection
    tasks: deque[_Task] = field(default_factory=deque)

    def send(self, message: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the process has ended, as its result will show
            self.connection.send_bytes(message)

    def receive(self) -> bytes | Exception:
        """Return the next result, or the exception that prevents it."""
        try:
            received = self.connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            self.process.join(_EXIT_SECONDS)
            return WorkerEnded(self._describe_end())
        content = received[1:]
        return content if received[:1] == _RESULT else WorkFailed(content.decode("utf-8", "surrogatepass"))

    def receive_result(self) -> None:
        """Add the next result to its task; if the process has ended, to all of its tasks."""
        result = self.receive()
        if not isinstance(result, WorkerEnded):
            self.tasks.popleft().result = result
            return
        while self.tasks:
            self.tasks.popleft().result = result

    def check(self) -> None:
        """Raise WorkerEnded if the process has ended."""
        if not self.process.is_alive():
            raise WorkerEnded(self._describe_end())

    def _describe_end(self) -> str:
        status = self.process.exitcode
        name = f"{self.process.name} (process {self.process.pid})"
        if status is None or status >= 0:
            return f"{name} ended with status {status} before its work was done"
        cause = "; the system may have run out of memory" if -status == signal.SIGKILL else ""
        return f"{name} was ended by {_name_signal(-status)} before its work was done{cause}"


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class Workers:
    """Several processes, each with its own work. Must be created before other threads exist, and closed.

    make_work: is called in each process
    name: the name of the processes in errors, before their numbers
    begin: is called with its number in each process, before anything else
    """

    def __init__(
        self,
        count: int,
        make_work: Callable[[], Work],
        name: str = "worker",
        begin: Callable[[int], object] = lambda number: None,
    ) -> None:
        self._workers: list[_Worker] = []
        self._most_pending = _PENDING * count
        context = multiprocessing.get_context("fork")
        for number in range(1, count + 1):
            ours, theirs = context.Pipe()
            inherited = [*(each.connection for each in self._workers), ours]
            process = context.Process(
                target=_run,
                args=(theirs, inherited, make_work, partial(begin, number)),
                name=f"{name} {number}",
                daemon=True,
            )
            with _blocked_signals():
                process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def map(self, messages: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the result of each message, in order. Raises WorkerEnded or WorkFailed if there is none."""
        for _, result in self.process(messages, lambda message: message):
            if result is not None:
                yield result

    def process(
        self, items: Iterable[Item], encode: Callable[[Item], bytes | None]
    ) -> Iterator[tuple[Item, bytes | None]]:
        """Yield each item with the result of its message, in the order of the items.

        encode: returns the message of an item; None if it has none. Then all earlier results are yielded before the
            next item is read, because that may wait.

        Raises WorkerEnded if a process has ended, and WorkFailed if the work raised an error, after the results before.
        """
        pending: deque[_Task] = deque()
        for item in items:
            message = encode(item)
            if message is None:
                yield from self._drain(pending)
                self._check()
                yield item, None
                continue
            while (worker := self._find_free(pending)) is None:
                self._receive()
                yield from _pop_finished(pending)
            task = _Task(item)
            pending.append(task)
            worker.tasks.append(task)
            worker.send(message)
            self._receive(timeout=0)  # as the next item may take long
            yield from _pop_finished(pending)
        yield from self._drain(pending)

    def _find_free(self, pending: deque[_Task]) -> _Worker | None:
        """Return the least busy process; None if each has enough messages, or too many results are pending."""
        worker = min(self._workers, key=lambda each: len(each.tasks))
        return worker if len(worker.tasks) < _QUEUED and len(pending) < self._most_pending else None

    def _drain(self, pending: deque[_Task]) -> Iterator[tuple[Any, bytes]]:
        yield from _pop_finished(pending)
        while pending:
            self._receive()
            yield from _pop_finished(pending)

    def _receive(self, timeout: float | None = None) -> None:
        """Wait for results, and receive them."""
        busy = {each.connection: each for each in self._workers if each.tasks}
        for connection in wait(list(busy), timeout):
            busy[connection].receive_result()  # type: ignore[index]  # it is one of them

    def _check(self) -> None:
        for worker in self._workers:
            worker.check()

    def finish(self) -> list[bytes]:
        """End the processes, and return the last result of each. Raises WorkerEnded or WorkFailed if there is none."""
        for worker in self._workers:
            worker.send(_END)
        results = [_get_result(worker.receive()) for worker in self._workers]
        for worker in self._workers:
            worker.process.join(_EXIT_SECONDS)
        return results

    def close(self) -> None:
        """End the processes, also during their work."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.kill()
            worker.process.join(_EXIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _pop_finished(pending: deque[_Task]) -> Iterator[tuple[Any, bytes]]:
    while pending and pending[0].result is not None:
        task = pending.popleft()
        yield task.item, _get_result(task.result)


def _get_result(result: bytes | Exception | None) -> bytes:
    if isinstance(result, Exception):
        raise result
    return result or b""


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block the signals for which a process has no handlers before it has set them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- In the processes -------------------------------------------------------------------------------------------------


def _run(
    connection: Connection, inherited: list[Connection], make_work: Callable[[], Work], begin: Callable[[], object]
) -> None:
    """Do the work of a process until its parent ends it, or ends."""
    for number in _SIGNALS:  # of a terminal or a service manager, which the parent receives, too
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for other in inherited:
        other.close()  # else this process would keep the connections of others open when the parent ends
    begin()
    inbox: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_receive_messages, args=(connection, inbox), name="messages", daemon=True).start()
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent has ended
        _serve(connection, inbox, make_work)


def _receive_messages(connection: Connection, inbox: SimpleQueue[bytes]) -> None:
    """Receive messages also while the process works; end it if its parent has ended."""
    message = None
    try:
        while message != _END:
            message = connection.recv_bytes()
            inbox.put(message)
    except (EOFError, OSError):
        os._exit(1)


def _serve(connection: Connection, inbox: SimpleQueue[bytes], make_work: Callable[[], Work]) -> None:
    """Send the result of each message. If the work cannot be made, that is the result."""
    work: Work | None = None
    message = None
    while message != _END:
        message = inbox.get()
        try:
            work = work or make_work()
            result = _RESULT + (work.finish() if message == _END else work.do(message))
        except (OSError, ValueError) as error:
            result = _FAILURE + str(error).encode("utf-8", "surrogatepass")
        connection.send_bytes(result)
