"""Several processes of a worker: started, ended together, and started again if they die."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from stellar.language.errors import ConfigError
from stellar.pipeline.command_line import FAILED, INTERRUPTED, USAGE, OptionError, print_error
from stellar.pipeline.progress import print_line

if TYPE_CHECKING:
    from stellar.monitoring.address import ListenAddress
    from stellar.monitoring.processes import ProcessChannels

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_STABLE_SECONDS = 60.0
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)


Work = Callable[[socket.socket | None], int]


def supervise(processes: int, work: Work, metrics: ListenAddress | None = None, *, is_quiet: bool = False) -> int:
    """Run work in several processes until all have ended, and return the highest exit status.

    One that is killed is started again, after a second that doubles with each time. When one ends by itself, because it
    was stopped or has failed, the others are stopped, too.

    work: is passed a connection on which the parent requests the metrics of the process; None if it serves them itself
    metrics: the address at which the metrics of several processes are served
    is_quiet: do not print that address
    """
    if processes == 1:
        return work(None)
    if metrics is None:
        return _Supervisor(work).run(processes)
    from stellar.monitoring.processes import ProcessChannels  # most workers have no metrics
    from stellar.monitoring.server import MonitoringServer

    with (
        closing(ProcessChannels(processes)) as channels,
        MonitoringServer(metrics, channels.collect, channels.find_live_problem, channels.find_ready_problem) as server,
    ):
        if not is_quiet:
            print_line(f"stellar-pipeline: metrics at http://{server.address}/metrics")
        return _Supervisor(work, channels).run(processes)


class _Supervisor:
    """The parent of the processes. What it opens they close after the fork."""

    def __init__(self, work: Work, channels: ProcessChannels | None = None) -> None:
        self._work = work
        self._channels = channels
        self._started: dict[int, tuple[int, float]] = {}  # number and time of the start, by process id
        self._is_ending = False
        self._wait = _FIRST_WAIT

    def run(self, processes: int) -> int:
        before = {number: signal.signal(number, self._end) for number in _END_SIGNALS}
        try:
            for number in range(1, processes + 1):
                self._start(number)
            return self._watch()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self, number: int) -> None:
        connection = None if self._channels is None else self._channels.open(number)
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal between the fork and the reset of handlers would be forwarded to siblings
        signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._run_child(connection)
        self._started[pid] = number, time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)
        if connection is not None:
            connection.close()

    def _run_child(self, connection: socket.socket | None) -> None:
        status = 1
        try:
            for number in _END_SIGNALS:
                signal.signal(number, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)
            if self._channels is not None:
                self._channels.close()
            status = _run_reporting(partial(self._work, connection))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _end(self, *_: object) -> None:
        self._is_ending = True
        for pid in list(self._started):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _watch(self) -> int:
        highest = 0
        while self._started:
            pid, status = os.wait()
            if (known := self._started.pop(pid, None)) is None:
                continue
            number, began = known
            if os.WIFSIGNALED(status):
                highest = max(highest, self._restart(pid, number, os.WTERMSIG(status), began))
                continue
            highest = max(highest, os.WEXITSTATUS(status))
            if not self._is_ending:
                self._end()
        return highest

    def _restart(self, pid: int, number: int, cause: int, began: float) -> int:
        """Start a process again that was killed by a signal. Return 1 if all are ending, otherwise 0."""
        if self._is_ending:
            return 1
        if time.monotonic() - began > _STABLE_SECONDS:
            self._wait = _FIRST_WAIT
        print(f"stellar-pipeline: process {pid} was ended by signal {cause}; it is started again", file=sys.stderr)
        time.sleep(self._wait)
        self._wait = min(2 * self._wait, _LONGEST_WAIT)
        if not self._is_ending:
            self._start(number)
        return 0


def _run_reporting(work: Callable[[], int]) -> int:
    """Run work, print an expected error, and return the exit status."""
    try:
        return work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ConfigError, OSError, ValueError) as error:
        print_error("stellar-pipeline", error)
        return USAGE if isinstance(error, OptionError) else FAILED
