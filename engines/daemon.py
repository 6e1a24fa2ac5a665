"""Servers for tests and for the curious: their jars by Maven, their processes from start to end."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

CACHE = Path(__file__).parents[1] / "build" / "engines"
FETCH_SECONDS = 300
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Djava.awt.headless=true")
_PR_SET_PDEATHSIG = 1


class EngineError(Exception):
    """A server that can't be had; str() says why."""


def missing(*programs: str) -> str | None:
    """What is not installed of what the servers need, and how to get it; None if all is there."""
    absent = [program for program in programs or ("java", "mvn") if shutil.which(program) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} not found; scripts/engines installs what the servers of the tests need"


def jars(folder: Path) -> Path:
    """The directory of the jars that a folder's pom.xml names, fetched by Maven once for each state of that file.

    Raises EngineError if they can't be fetched.
    """
    pom = folder / "pom.xml"
    ready = CACHE / f"{folder.name}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{ready.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one fetches for all who ask at once
        if not ready.exists():
            draft = CACHE / f"{ready.name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            run(["mvn", "-B", "-q", "-ntp", "-f", str(pom), f"-Djars={draft}", "package"], FETCH_SECONDS)
            draft.rename(ready)
    return ready


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """The output of a command.

    environment: added to our own
    Raises EngineError if it fails or takes longer.
    """
    ours = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(command, env=ours, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(str(error)) from error
    if done.returncode:
        raise EngineError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Let what is started by hand stand until SIGINT or SIGTERM, and then be left in order."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    with suppress(KeyboardInterrupt):
        yield


class Daemon:
    """A server's process, which ends with this one, however this one ends.

    folder: where it runs; what it prints is in `log` there
    ready: whether it can be used; asked until it is true
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._folder, self.ready = command, folder, ready
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "log"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=_end_with_parent,
            )

    def await_ready(self, seconds: float = 60.0) -> None:
        """Wait until it is ready.

        Raises EngineError, with the end of its log, if it ends or takes longer.
        """
        deadline = time.monotonic() + seconds
        while not self.ready():
            if not self.runs or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-2000:]
                raise EngineError(f"{self._command[0]} {'is not ready' if self.runs else 'has ended'}:\n{end}")
            time.sleep(0.05)

    def pause(self) -> None:
        """Let it stand still until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self, seconds: float = 10.0) -> None:
        """Ask it to end; kill it if it does not."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            self._wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)
        self._wait(10)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _wait(self, seconds: float) -> None:
        if self._process is not None:
            self._process.wait(seconds)


_LIBC = ctypes.CDLL(None, use_errno=True)


def _end_with_parent() -> None:
    if hasattr(_LIBC, "prctl"):  # not everywhere there is Linux
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Engine(ABC):
    """One or more servers, from `with` to its end.

    folder: all that they write; it is taken away in the end
    """

    folder: Path

    @abstractmethod
    def start(self) -> None:
        """Start them, and wait until they are ready. Raises EngineError."""

    @abstractmethod
    def stop(self) -> None:
        """End them; those that do not run are no error."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
