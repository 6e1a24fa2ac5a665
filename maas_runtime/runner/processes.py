"""The processes of a model: started and ended together, even if the runner is killed."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from time import monotonic, sleep
from types import FrameType, TracebackType
from typing import Self

from maas_runtime.runner.logs import LogLimits, Logs
from maas_runtime.runner.memory_limit import ControlGroup

# The leader of the process group, so that the group id is not reused. Its standard input is closed when the runner
# ends, even if it is killed; then it kills the group, itself included.
GUARDIAN = "trap '' TERM INT HUP; read _; kill -KILL 0"

PROC = Path("/proc")
STRAYS_SECONDS = 2.0

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Make this process the subreaper: orphaned descendants become its children. Return whether that is supported."""
    libc = ctypes.CDLL(None, use_errno=True)
    return hasattr(libc, "prctl") and libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def list_stop_signals() -> list[signal.Signals]:
    """Return the signals that request a stop. SIGHUP is one unless it was ignored at the start, as by `nohup`."""
    signals = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


class Signals:
    """Signal handlers that wake the runner on a stop request and when a child ends. For the main thread.

    An idle runner waits for these without a time-out, so hundreds of runners use no processor time.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._awake, self._wake = os.pipe()
        for end in (self._awake, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in list_stop_signals():
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the wake-up descriptor is not written

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def wait(self, seconds: float | None) -> None:
        """Wait for `seconds`, or without a limit, until a signal arrives or `wake` is called."""
        if select.select([self._awake], [], [], None if seconds is None else max(0.0, seconds))[0]:
            with suppress(BlockingIOError):
                os.read(self._awake, 4096)

    def wake(self) -> None:
        """End the current wait, or the next one. For any thread."""
        with suppress(BlockingIOError):  # full, so a wait ends anyway
            os.write(self._wake, b"\0")


class ModelProcesses:
    """A script and all processes that it starts, in one process group.

    script: executable file; one without a `#!` line is run by the shell
    folder: working directory
    environment: variables in addition to those of this process
    output, errors: log files, within `limits`
    memory: control group of the processes; None without one
    is_subreaper: this process has no other children and is the parent of orphaned descendants (see
        `become_subreaper`), so processes that left the group by a new session are found too

    Leaving the context kills all of them.
    """

    def __init__(
        self,
        script: Path,
        folder: Path,
        environment: Mapping[str, str],
        output: Path,
        errors: Path,
        limits: LogLimits,
        *,
        memory: ControlGroup | None = None,
        is_subreaper: bool = False,
    ) -> None:
        self._memory, self._is_subreaper = memory, is_subreaper
        self.logs = Logs((output, errors), limits)
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
        )
        self._known = {self._guardian.pid}  # children with their own wait call
        try:
            script.chmod(script.stat().st_mode | 0o100)
            with memory.enter() if memory else nullcontext():
                self._script = self._start([str(script)], folder, {**os.environ, **environment}, *self.logs.ends)
            self._known.add(self._script.pid)
        except BaseException:
            self._end_all()
            self._release()
            raise
        self.logs.close_ends()

    def _start(
        self, command: list[str], folder: Path, environment: Mapping[str, str], output: int, errors: int
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                process_group=self._guardian.pid,
            )
        except OSError as error:
            if error.errno != errno.ENOEXEC or len(command) > 1:
                raise
            return self._start(["/bin/sh", *command], folder, environment, output, errors)

    @property
    def status(self) -> int | None:
        """The exit status of the script, negative for a signal; None while it runs."""
        return self._script.poll()

    @property
    def is_memory_sampled(self) -> bool:
        """True without a control group that limits the memory: it must be measured again and again."""
        return self._memory is None or not self._memory.is_limited

    def list_pids(self) -> set[int]:
        """Return the ids of the running processes."""
        return self._list_running().keys() - {self._guardian.pid}

    def measure_memory(self) -> int:
        """Return the memory in use, in bytes; 0 if the system does not report it.

        Without a control group that limits it, memory shared by several processes is counted for each.
        """
        if self._memory and self._memory.is_limited:
            return self._memory.read_usage()
        return sum(self._list_running().values())

    def measure_unshared_memory(self) -> int:
        """Return the memory in use, in bytes, with shared memory counted once, which is slower to find out."""
        if self._memory and self._memory.is_limited:
            return self._memory.read_usage()
        return sum(_read_proportional_memory(pid, used) for pid, used in self._list_running().items())

    def measure_cpu(self) -> float | None:
        """Return the CPU time that the processes have used, in seconds; None if the system does not report it.

        Children that have ended are included, also those whose parent this process became.
        """
        if not PROC.is_dir():
            return None
        ticks = sum(_read_cpu_ticks(pid) for pid in self._list_running())
        reaped = os.times()
        return ticks / os.sysconf("SC_CLK_TCK") + reaped.children_user + reaped.children_system

    def was_killed_for_memory(self) -> bool:
        """Return whether the kernel killed the processes for exceeding the memory limit."""
        return self._memory is not None and self._memory.was_killed()

    def reap(self) -> None:
        """Reap orphaned descendants that ended; they would stay in the process table."""
        for pid in _list_children(os.getpid()) if self._is_subreaper else ():
            if pid not in self._known:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def end(self, seconds: float, signals: Signals) -> None:
        """Terminate all processes; kill those that still run after `seconds`."""
        deadline = monotonic() + seconds
        self._signal(signal.SIGTERM)
        while monotonic() < deadline and (self.status is None or self._list_unexpected()):
            signals.wait(min(0.05, deadline - monotonic()))
        self._end_all()

    def _list_running(self) -> dict[int, int]:
        """Return the running processes with the memory of each, in bytes."""
        if self._is_subreaper and (found := _measure_descendants(os.getpid())) is not None:
            return found
        return _measure_group(self._guardian.pid)

    def _list_unexpected(self) -> set[int]:
        return self._list_running().keys() - self._known

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guardian.pid, number)
        for pid in self._list_unexpected() if self._is_subreaper else ():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _end_all(self) -> None:
        if self._guardian.returncode is not None:  # the group id may have been reused
            return
        self._signal(signal.SIGKILL)
        if self._guardian.stdin:
            self._guardian.stdin.close()
        self._guardian.wait()
        if self._is_subreaper:
            self._end_strays()

    def _end_strays(self) -> None:
        """Kill processes that left the group, repeatedly, because they may start others meanwhile."""
        deadline = monotonic() + STRAYS_SECONDS
        while (strays := self._list_unexpected()) and monotonic() < deadline:
            for pid in strays:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            sleep(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_all()
        self._script.wait()
        self._release()

    def _release(self) -> None:
        self.logs.close()
        if self._memory:
            self._memory.end()


def _measure_group(group: int) -> dict[int, int]:
    """Return the processes of a group with the memory of each, in bytes; empty without /proc."""
    found = {}
    for pid in (int(entry.name) for entry in (PROC.iterdir() if PROC.is_dir() else ()) if entry.name.isdecimal()):
        with suppress(OSError):
            if os.getpgid(pid) == group and (used := _read_resident_memory(pid)) is not None:
                found[pid] = used
    return found


def _measure_descendants(ancestor: int) -> dict[int, int] | None:
    """Return the descendants of a process with the memory of each, in bytes; None if the system does not list them."""
    if not (PROC / f"{ancestor}/task/{ancestor}/children").is_file():
        return None
    found: dict[int, int] = {}
    below = [ancestor]
    while below:
        for pid in _list_children(below.pop()):
            if (used := _read_resident_memory(pid)) is not None:
                found[pid] = used
            below.append(pid)
    return found


def _list_children(pid: int) -> Iterator[int]:
    """Yield the children of a process."""
    with suppress(OSError):  # it has ended
        for task in (PROC / f"{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())


def _read_resident_memory(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None if it has ended."""
    with suppress(OSError):
        after_name = (PROC / f"{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if after_name[0] != b"Z":
            return int(after_name[21]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _read_cpu_ticks(pid: int) -> int:
    """Return the CPU time of a process and its ended children, in clock ticks; 0 if it has ended."""
    with suppress(OSError):
        after_name = (PROC / f"{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, after_name[11:15]))
    return 0


def _read_proportional_memory(pid: int, otherwise: int) -> int:
    """Return the proportional memory of a process in bytes, or `otherwise` if the system does not report it."""
    with suppress(OSError):
        for line in (PROC / f"{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return otherwise


def kill_marked(mark: str) -> None:
    """Kill all processes with `mark`, such as `NAME=value`, in their environment, and those that they start meanwhile.

    This finds orphaned processes of a model, unless they changed their environment.
    """
    deadline = monotonic() + STRAYS_SECONDS
    while (found := _find_marked(mark.encode())) and monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        sleep(0.01)


def _find_marked(mark: bytes) -> list[int]:
    found = []
    for pid in (int(entry.name) for entry in (PROC.iterdir() if PROC.is_dir() else ()) if entry.name.isdecimal()):
        with suppress(OSError):  # of another user, or ended
            if mark in (PROC / f"{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found
