"""Processes that work on batches of a load, in the order of the batches.

The processes are forked, so they have the extractor and the expressions of their parent. Messages are JSON, one at a
time to and from each process: a process that has returned the result of a batch waits for the next one, so neither side
waits for the other to read, and the memory is bounded by one batch for each process.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol, Self

_END = b""
_EXIT_SECONDS = 10.0


class WorkerEnded(OSError):
    """A process ended before it returned its result."""


class Work(Protocol):
    """The work of one process."""

    def do(self, message: bytes) -> bytes:
        """Return the result of a message."""

    def finish(self) -> bytes:
        """Return the last result, after all messages."""


class Workers:
    """Several processes, each with its own work. Must be created before other threads exist.

    make_work: is called in each process
    """

    def __init__(self, count: int, make_work: Callable[[], Work]) -> None:
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        context = multiprocessing.get_context("fork")
        for number in range(count):
            ours, theirs = context.Pipe()
            inherited = [*self._connections, ours]
            process = context.Process(
                target=_run, args=(theirs, inherited, make_work), name=f"loader {number}", daemon=True
            )
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    def map(self, messages: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the result of each message, in order. Raises WorkerEnded if a process ends."""
        busy: deque[int] = deque()
        idle = deque(range(len(self._connections)))
        for message in messages:
            result = None
            if not idle:
                result = self._receive(busy[0])
                idle.append(busy.popleft())
            self._send(idle[0], message)
            busy.append(idle.popleft())
            if result is not None:  # only now, so that the process works while the caller does
                yield result
        while busy:
            yield self._receive(busy.popleft())

    def finish(self) -> list[bytes]:
        """End the processes, and return the last result of each. Raises WorkerEnded if one has ended before."""
        for index in range(len(self._connections)):
            self._send(index, _END)
        return [self._receive(index) for index in range(len(self._connections))]

    def _send(self, index: int, message: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the process has ended, as its result will show
            self._connections[index].send_bytes(message)

    def _receive(self, index: int) -> bytes:
        try:
            return self._connections[index].recv_bytes()
        except (EOFError, ConnectionResetError) as error:
            process = self._processes[index]
            process.join(_EXIT_SECONDS)
            raise WorkerEnded(f"{process.name} (process {process.pid}) ended with status {process.exitcode}") from error

    def close(self) -> None:
        """End the processes, also during their work."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.terminate()
            process.join(_EXIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _run(connection: Connection, inherited: list[Connection], make_work: Callable[[], Work]) -> None:
    """Do the work of a process until its parent ends it, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which the parent receives, too
    for other in inherited:
        other.close()  # else this process would keep the connections of others open when the parent ends
    work = make_work()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has ended
        while (message := connection.recv_bytes()) != _END:
            connection.send_bytes(work.do(message))
        connection.send_bytes(work.finish())
