"""A process that has loaded the runner's code and forks a runner for each instance.

Loading the code takes a fifth of a second and 10 MB of memory for each runner. A fork takes some milliseconds, and
shares the memory that it does not change.

    service ──socket──▶ fork server ──fork──▶ runner (its own session)
                                    ──fork──▶ runner

A request is a JSON document, with the descriptors of the log and of the instance's lock beside it; the response is the
runner's process id, with a descriptor of the process, which becomes readable when it ends. The server has one thread,
and opens no files and no connections, so nothing is shared after a fork but memory. It ends with the service; the
runners go on.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import importlib
import json
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from maas_runtime.runner import runner

log = logging.getLogger(__name__)

PACKAGES = Path(__file__).parents[2]
MODULE = "maas_runtime.runner.runner"  # for the title of a process, as if it had been started by itself
TITLE_BYTES = 2048
START_SECONDS = 60.0
END_SECONDS = 5.0
MAX_DESCRIPTORS = 2
_LENGTH = struct.Struct("!I")
_PR_SET_NAME = 15


class Child(NamedTuple):
    """A started runner.

    pid: its process id
    exited: a descriptor, owned by the caller, that becomes readable when the runner has ended; None if the system has
        no such descriptors
    """

    pid: int
    exited: int | None


class ForkServer:
    """The service's side of a fork server, which is started by the first request, and again if it was killed.

    On a system without descriptors of processes, each runner is started as a program.

    preload: modules to load before the first fork

    Thread-safe.
    """

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._preload = preload
        self._requesting = threading.Lock()
        self._process: _Process | None = None

    def start_runner(self, arguments: Sequence[str], environment: Mapping[str, str], output: int, lock: int) -> Child:
        """Start a runner, in its own session.

        arguments: of `runner.main`
        environment: variables in addition to those of this process
        output: descriptor for its standard output and standard error
        lock: descriptor that the runner holds open until it ends

        Raises OSError if it cannot be started.
        """
        if not hasattr(os, "pidfd_open"):
            return _start_program(arguments, environment, output, lock)
        request = json.dumps({"arguments": [*arguments], "environment": dict(environment)}).encode()
        with self._requesting:
            if self._process is None or not self._process.is_running():
                self._end()
                self._process = _Process(self._preload)
            try:
                response, received = self._process.exchange(request, [output, lock])
            except OSError:
                self._end()  # the next request starts another one
                raise
        if "error" in response:
            raise OSError(response["error"])
        return Child(response["pid"], received[0])

    def close(self) -> None:
        """End the server. Its runners go on."""
        with self._requesting:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = None


class _Process:
    """A running fork server; it ends when this object is no longer used."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair()
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), ",".join(preload), "-" * TITLE_BYTES]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command, cwd=PACKAGES, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), start_new_session=True
                )
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(START_SECONDS)
        self.end = weakref.finalize(self, _end, self._process, self._socket)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def exchange(self, request: bytes, descriptors: Sequence[int]) -> tuple[dict[str, Any], list[int]]:
        """Send a request, and return the response. Raises OSError if the server does not respond."""
        _send(self._socket, request, descriptors)
        response, received = _receive(self._socket)
        if not response:
            raise OSError(f"the fork server ended with status {self._process.wait()}; see the log of the service")
        return json.loads(response), received


def _start_program(arguments: Sequence[str], environment: Mapping[str, str], output: int, lock: int) -> Child:
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, *arguments],
        cwd=PACKAGES,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(lock,),
        start_new_session=True,
    )
    # An unreaped child would stay in the process table
    threading.Thread(target=process.wait, name=f"runner {process.pid}", daemon=True).start()
    return Child(process.pid, None)


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _send(to: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    message = _LENGTH.pack(len(data)) + data
    sent = socket.send_fds(to, [message], descriptors)
    to.sendall(message[sent:])


def _receive(source: socket.socket) -> tuple[bytes, list[int]]:
    """Return a message with its descriptors; empty at the end."""
    message, descriptors, _, _ = socket.recv_fds(source, 1 << 16, MAX_DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    while len(message) < _LENGTH.size or len(message) < _LENGTH.size + _LENGTH.unpack_from(message)[0]:
        if not (more := source.recv(1 << 16)):
            return b"", descriptors
        message += more
    return message[_LENGTH.size :], descriptors


def serve(requests: socket.socket) -> None:
    """Fork a runner for each request until the service has closed the socket."""
    awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the wake-up descriptor is not written
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([requests.fileno(), awake], [], [])
        with suppress(BlockingIOError):
            os.read(awake, 4096)
        _reap()
        if requests.fileno() in ready:
            request, descriptors = _receive(requests)
            if not request:
                return
            try:
                _start_child(requests, json.loads(request), descriptors, (awake, wake))
            except OSError as error:
                _send(requests, json.dumps({"error": f"cannot start a runner: {error}"}).encode(), [])
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _start_child(
    requests: socket.socket, request: dict[str, Any], descriptors: list[int], inherited: Sequence[int]
) -> None:
    if len(descriptors) != MAX_DESCRIPTORS:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    output, _ = descriptors
    if (pid := os.fork()) == 0:
        _run_child(request, output, (requests.fileno(), *inherited))
    try:
        exited = os.pidfd_open(pid)  # the child was not reaped yet, so its id is not reused
    except OSError:
        os.kill(pid, signal.SIGKILL)
        raise
    try:
        _send(requests, json.dumps({"pid": pid}).encode(), [exited])
    finally:
        os.close(exited)


def _run_child(request: dict[str, Any], output: int, inherited: Sequence[int]) -> NoReturn:
    """Run an instance in the child of a fork, as a process of its own."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for descriptor in inherited:
            os.close(descriptor)
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        os.environ.update(request["environment"])
        set_title("maas-runner", [sys.executable, "-m", MODULE, *request["arguments"]])
        status = runner.main(request["arguments"])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        log.exception("the runner has failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # not the interpreter's own end, whose handlers belong to the parent


def set_title(name: str, command: Sequence[str]) -> None:
    """Make `ps` show a command instead of the one that this process was started with, and `top` a short name.

    The command is cut after the length of the original one.
    """
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    start, end = map(int, Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[45:47])
    if not start:
        return  # the system does not report where they are
    title = b"\0".join(map(os.fsencode, command))[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, title, len(title))


def main(descriptor: str, preload: str, *_: str) -> int:
    """Serve requests from an inherited socket."""
    set_title("maas-forks", [sys.executable, *sys.argv[:1]])
    for name in filter(None, preload.split(",")):
        importlib.import_module(name)
    "localhost".encode("idna")  # loads the codec, which each connection needs
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise copy all shared memory
    with socket.socket(fileno=int(descriptor)) as requests:
        serve(requests)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
