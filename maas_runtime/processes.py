"""A model's processes: started together, ended together, whatever happens to who started them."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import FrameType, TracebackType
from typing import Self

from maas_runtime.logs import LogLimits, Logs

# The first of the group, which keeps its number from being used again. Its input ends when the runner does, however
# that ends; then it ends the group, itself included.
GUARDIAN = "trap '' TERM INT HUP; read _; kill -KILL 0"

PROC = Path("/proc")


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

    Leaving the context kills the whole group.
    """

    def __init__(
        self,
        script: Path,
        folder: Path,
        environment: Mapping[str, str],
        output: Path,
        errors: Path,
        limits: LogLimits,
    ) -> None:
        self.logs = Logs((output, errors), limits)
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
        )
        try:
            script.chmod(script.stat().st_mode | 0o100)
            self._script = self._start([str(script)], folder, {**os.environ, **environment}, *self.logs.ends)
        except BaseException:
            self._end_group()
            self.logs.close()
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
        """Bytes of memory that the group uses; 0 where the system does not tell."""
        return sum(_group_memory(self._guardian.pid).values())

    def end(self, seconds: float, signals: Signals) -> None:
        """Ask the group to end, and kill after so many seconds what still runs."""
        deadline = monotonic() + seconds
        self._signal_group(signal.SIGTERM)
        while monotonic() < deadline and (self.status is None or self._others()):
            signals.wait(min(0.05, deadline - monotonic()))
        self._end_group()

    def _others(self) -> bool:
        return bool(_group_memory(self._guardian.pid).keys() - {self._guardian.pid, self._script.pid})

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guardian.pid, number)

    def _end_group(self) -> None:
        if self._guardian.returncode is not None:  # the group's number may be another's by now
            return
        self._signal_group(signal.SIGKILL)
        if self._guardian.stdin:
            self._guardian.stdin.close()
        self._guardian.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_group()
        self._script.wait()
        self.logs.close()


def _group_memory(group: int) -> dict[int, int]:
    """The processes of a group, with the bytes of memory each uses; nothing where there is no /proc."""
    found = {}
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if entry.name.isdecimal():
            with suppress(OSError):
                after_name = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if int(after_name[2]) == group and after_name[0] != b"Z":
                    found[int(entry.name)] = int(after_name[21]) * os.sysconf("SC_PAGE_SIZE")
    return found
