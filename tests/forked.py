"""Functions that run in a child of a real fork."""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 60.0  # a child that takes longer hangs


class Child:
    """A forked process that runs `function(parent, *arguments)`; see `Parent`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, function, arguments))
        self._process.start()
        theirs.close()

    def go(self) -> None:
        """Let `parent.wait()` return in the child."""
        self._ours.send("go")

    def receive(self) -> Any:
        """Return the next value that the child sent by `parent.send`."""
        return self._receive()

    def result(self) -> Any:
        """Return the result of the function, after the child has exited."""
        result = self._receive()
        self._process.join(SECONDS)
        assert self._process.exitcode == 0, f"the child ended with {self._process.exitcode}"
        self._ours.close()
        return result

    def _receive(self) -> Any:
        if not self._ours.poll(SECONDS):
            self._process.kill()
            self._process.join()
            raise AssertionError("the child hangs")
        failed, result = self._ours.recv()
        assert not failed, result
        return result


class Parent:
    """The child's end of the pipe to its parent."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def wait(self) -> None:
        """Return when the parent calls `go`."""
        assert self._pipe.poll(SECONDS)
        self._pipe.recv()

    def send(self, result: Any) -> None:
        """Send a value to the parent, before the result."""
        self._pipe.send((False, result))


def _run(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((False, function(Parent(pipe), *arguments)))
    except BaseException as error:
        pipe.send((True, repr(error)))
        raise
    finally:
        pipe.close()


def call_in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `function(parent, *arguments)` in a child of a fork."""
    return Child(function, *arguments).result()


def run_in_child(function: Callable[[], Any]) -> Any:
    """Return the result of a function in a forked child, encoded as JSON; the child exits without clean-up.

    Raises AssertionError if the function raises.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _report(function, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            hung = not select.select([pipe], [], [], SECONDS)[0]
            if hung:
                os.kill(pid, signal.SIGKILL)
            output = pipe.read()
    finally:
        os.waitpid(pid, 0)
    assert not hung, "the child hung"
    value, error = json.loads(output)
    assert error is None, f"in the child: {error}"
    return value


def _report(function: Callable[[], Any], pipe: int) -> None:
    try:
        output = [function(), None]
    except BaseException:  # noqa: BLE001 (the parent reports it)
        output = [None, traceback.format_exc()]
    os.write(pipe, json.dumps(output).encode())
    os._exit(0)


@contextmanager
def hold_locks(*locks: Any) -> Iterator[None]:
    """Let another thread hold these locks during the block."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        taken.set()
        done.wait(SECONDS)
        for lock in reversed(locks):
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(SECONDS)
    try:
        yield
    finally:
        done.set()
        thread.join()


def call_in_thread(function: Callable[[], Any]) -> Any:
    """Return the result of a function in a thread of its own."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(SECONDS)
    return results[0]
