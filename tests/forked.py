"""Running a function in a child of a real fork."""

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
    """A forked process that runs `function(wait, *arguments)`, where `wait()` returns when `go` is called here."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, function, arguments))
        self._process.start()
        theirs.close()

    def go(self) -> None:
        self._ours.send("go")

    def said(self) -> Any:
        """Return what the child sends next by `wait.say`."""
        return self._received()

    def result(self) -> Any:
        """Return what the function returned, after the child has ended."""
        result = self._received()
        self._process.join(SECONDS)
        assert self._process.exitcode == 0, f"the child ended with {self._process.exitcode}"
        self._ours.close()
        return result

    def _received(self) -> Any:
        if not self._ours.poll(SECONDS):
            self._process.kill()
            self._process.join()
            raise AssertionError("the child hangs")
        failed, result = self._ours.recv()
        assert not failed, result
        return result


class Parent:
    """What a child knows of its parent."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def wait(self) -> None:
        """Return when the parent calls `go`."""
        assert self._pipe.poll(SECONDS)
        self._pipe.recv()

    def say(self, result: Any) -> None:
        self._pipe.send((False, result))


def _run(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((False, function(Parent(pipe), *arguments)))
    except BaseException as error:
        pipe.send((True, repr(error)))
        raise
    finally:
        pipe.close()


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `function(parent, *arguments)` returns in a child of a fork."""
    return Child(function, *arguments).result()


def run_in_child(function: Callable[[], Any]) -> Any:
    """Return what a function returns in a forked child, by way of JSON; the child exits without any clean-up.

    Raises AssertionError if it raises there.
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
            said = pipe.read()
    finally:
        os.waitpid(pid, 0)
    assert not hung, "the child hung"
    value, error = json.loads(said)
    assert error is None, f"in the child: {error}"
    return value


def _report(function: Callable[[], Any], pipe: int) -> None:
    try:
        said = [function(), None]
    except BaseException:  # noqa: BLE001 (the parent reports it)
        said = [None, traceback.format_exc()]
    os.write(pipe, json.dumps(said).encode())
    os._exit(0)


@contextmanager
def held(*locks: Any) -> Iterator[None]:
    """Let another thread hold these locks."""
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


def in_thread(function: Callable[[], Any]) -> Any:
    """Return what a function returns in a thread of its own."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(SECONDS)
    return results[0]
