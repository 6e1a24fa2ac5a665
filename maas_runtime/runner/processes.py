"""A model's processes: started together, ended together, whatever happens to who started them."""

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

# The first of the group, which keeps its number from being used again. Its input ends when the runner does, however
# that ends; then it ends the group, itself included.
GUARDIAN = "trap '' TERM INT HUP; read _; kill -KILL 0"

PROC = Path("/proc")
STRAYS_SECONDS = 2.0

_PR_SET_CHILD_SUBREAPER = 36


def adopt() -> bool:
    """Become the parent of descendants that lose theirs, so that none gets out of sight; whether that can be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    return hasattr(libc, "prctl") and libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


class Signals:
    """Wakes the runner when it is to stop, and when a child ended. For the main thread."""

    def __init__(self) -> None:
        self.stopping = False
        self._awake, wake = os.pipe()
        for end in (self._awake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler it would wake nobody

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal comes."""
        if select.select([self._awake], [], [], max(0.0, seconds))[0]:
            with suppress(BlockingIOError):
                os.read(self._awake, 4096)


class ModelProcesses:
    """A script and all that it starts, in a process group of their own.

    script: an executable file; one without a first line that names its interpreter is read by the shell
    folder: where it runs
    environment: added to that of this process
    output, errors: files that take what it prints, within `limits`
    memory: the control group that they all belong to, if there is one
    adopts: whether this process has no other children, and gets those that lose their parents; see `adopt`. Then what
        has left the group, by a session of its own, is known too

    Leaving the context kills all of it.
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
        adopts: bool = False,
    ) -> None:
        self._memory, self._adopts = memory, adopts
        self.logs = Logs((output, errors), limits)
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
        )
        self._known = {self._guardian.pid}  # what is waited for by name
        try:
            script.chmod(script.stat().st_mode | 0o100)
            with memory.entered() if memory else nullcontext():
                self._script = self._start([str(script)], folder, {**os.environ, **environment}, *self.logs.ends)
            self._known.add(self._script.pid)
        except BaseException:
            self._end_all()
            self._let_go()
            raise
        self.logs.handed_over()

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
        """How the script ended, negative for a signal's number; None while it runs."""
        return self._script.poll()

    def memory(self) -> int:
        """Bytes of memory that they use; 0 where the system does not tell.

        Without a control group, what several of them share is counted for each.
        """
        return self._memory.used() if self._memory else sum(self._living().values())

    def memory_shared_once(self) -> int:
        """The same, with what they share counted once, which takes the system a while to find out."""
        if self._memory:
            return self._memory.used()
        return sum(_proportional(pid, used) for pid, used in self._living().items())

    def ended_for_memory(self) -> bool:
        """Whether the system has ended them for using too much."""
        return self._memory is not None and self._memory.was_ended()

    def reap(self) -> None:
        """Take note of the end of those that were adopted, or they stay in the process table."""
        for pid in _children(os.getpid()) if self._adopts else ():
            if pid not in self._known:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def end(self, seconds: float, signals: Signals) -> None:
        """Ask all to end, and kill after so many seconds what still runs."""
        deadline = monotonic() + seconds
        self._signal(signal.SIGTERM)
        while monotonic() < deadline and (self.status is None or self._others()):
            signals.wait(min(0.05, deadline - monotonic()))
        self._end_all()

    def _living(self) -> dict[int, int]:
        """The processes that run, with the bytes of memory that each uses."""
        if self._adopts and (found := _descendants(os.getpid())) is not None:
            return found
        return _group_memory(self._guardian.pid)

    def _others(self) -> set[int]:
        return self._living().keys() - self._known

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guardian.pid, number)
        for pid in self._others() if self._adopts else ():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _end_all(self) -> None:
        if self._guardian.returncode is not None:  # the group's number may be another's by now
            return
        self._signal(signal.SIGKILL)
        if self._guardian.stdin:
            self._guardian.stdin.close()
        self._guardian.wait()
        if self._adopts:
            self._end_strays()

    def _end_strays(self) -> None:
        """Kill what has left the group; in several rounds, for it may start others meanwhile."""
        deadline = monotonic() + STRAYS_SECONDS
        while (strays := self._others()) and monotonic() < deadline:
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
        self._let_go()

    def _let_go(self) -> None:
        self.logs.close()
        if self._memory:
            self._memory.end()


def _group_memory(group: int) -> dict[int, int]:
    """The processes of a group, with the bytes of memory each uses; nothing where there is no /proc."""
    found = {}
    for pid in (int(entry.name) for entry in (PROC.iterdir() if PROC.is_dir() else ()) if entry.name.isdecimal()):
        with suppress(OSError):
            if os.getpgid(pid) == group and (used := _resident(pid)) is not None:
                found[pid] = used
    return found


def _descendants(ancestor: int) -> dict[int, int] | None:
    """The processes below one, with the bytes of memory each uses; None where the system does not tell them."""
    if not (PROC / f"{ancestor}/task/{ancestor}/children").is_file():
        return None
    found: dict[int, int] = {}
    below = [ancestor]
    while below:
        for pid in _children(below.pop()):
            if (used := _resident(pid)) is not None:
                found[pid] = used
            below.append(pid)
    return found


def _children(pid: int) -> Iterator[int]:
    """The processes that the threads of one have started, or adopted."""
    with suppress(OSError):  # it has ended
        for task in (PROC / f"{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())


def _resident(pid: int) -> int | None:
    """Bytes of memory; None for what has ended."""
    with suppress(OSError):
        after_name = (PROC / f"{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if after_name[0] != b"Z":
            return int(after_name[21]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _proportional(pid: int, otherwise: int) -> int:
    """Bytes of memory, with its share of what it shares with others."""
    with suppress(OSError):
        for line in (PROC / f"{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return otherwise


def kill_marked(mark: str) -> None:
    """Kill all that has this in its environment, such as `NAME=value`, and what they start meanwhile.

    So is found what a model has left without a parent, if it has not changed its environment.
    """
    deadline = monotonic() + STRAYS_SECONDS
    while (found := _marked(mark.encode())) and monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        sleep(0.01)


def _marked(mark: bytes) -> list[int]:
    found = []
    for pid in (int(entry.name) for entry in (PROC.iterdir() if PROC.is_dir() else ()) if entry.name.isdecimal()):
        with suppress(OSError):  # somebody else's, or it has ended; one that has ended has no environment any more
            if mark in (PROC / f"{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found
