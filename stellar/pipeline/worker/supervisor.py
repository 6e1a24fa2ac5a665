"""Several processes of a worker: started, ended together, and started again if they die."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from stellar.language.errors import ConfigError
from stellar.pipeline.command_line import FAILED, INTERRUPTED, USAGE, OptionError, print_error

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_STABLE_SECONDS = 60.0
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def supervise(processes: int, work: Callable[[], int]) -> int:
    """Run work in several processes until all have ended, and return the highest exit status.

    One that is killed is started again, after a second that doubles with each time. When one ends by itself, because it
    was stopped or has failed, the others are stopped, too.
    """
    return work() if processes == 1 else _Supervisor(work).run(processes)


class _Supervisor:
    """The parent of the processes. It opens nothing that they would inherit."""

    def __init__(self, work: Callable[[], int]) -> None:
        self._work = work
        self._started: dict[int, float] = {}  # by process id
        self._is_ending = False
        self._wait = _FIRST_WAIT

    def run(self, processes: int) -> int:
        before = {number: signal.signal(number, self._end) for number in _END_SIGNALS}
        try:
            for _ in range(processes):
                self._start()
            return self._watch()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal between the fork and the reset of handlers would be forwarded to siblings
        signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._run_child()
        self._started[pid] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)

    def _run_child(self) -> None:
        status = 1
        try:
            for number in _END_SIGNALS:
                signal.signal(number, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)
            status = _run_reporting(self._work)
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
            began = self._started.pop(pid, 0.0)
            if os.WIFSIGNALED(status):
                highest = max(highest, self._restart(pid, os.WTERMSIG(status), began))
                continue
            highest = max(highest, os.WEXITSTATUS(status))
            if not self._is_ending:
                self._end()
        return highest

    def _restart(self, pid: int, number: int, began: float) -> int:
        """Start a process again that was killed. Return 1 if all are ending, otherwise 0."""
        if self._is_ending:
            return 1
        if time.monotonic() - began > _STABLE_SECONDS:
            self._wait = _FIRST_WAIT
        print(f"stellar-pipeline: process {pid} was ended by signal {number}; it is started again", file=sys.stderr)
        time.sleep(self._wait)
        self._wait = min(2 * self._wait, _LONGEST_WAIT)
        if not self._is_ending:
            self._start()
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
