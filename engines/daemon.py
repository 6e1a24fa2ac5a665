"""Servers for tests and manual use: jars fetched by Maven, and the life cycle of their processes."""

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
    """A server cannot be started; str() gives the reason."""


def missing(*programs: str) -> str | None:
    """Return a message with the missing programs and how to install them; None if all are installed."""
    absent = [program for program in programs or ("java", "mvn") if shutil.which(program) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} not found; run scripts/engines to install the test servers' dependencies"


def jars(folder: Path) -> Path:
    """Return the directory of the jars in a folder's pom.xml, fetched by Maven once per version of that file.

    Raises EngineError if they cannot be fetched.
    """
    pom = folder / "pom.xml"
    ready = CACHE / f"{folder.name}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{ready.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # concurrent callers share one fetch
        if not ready.exists():
            draft = CACHE / f"{ready.name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            run(["mvn", "-B", "-q", "-ntp", "-f", str(pom), f"-Djars={draft}", "package"], FETCH_SECONDS)
            draft.rename(ready)
    return ready


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return its output.

    environment: variables in addition to those of this process
    Raises EngineError if it fails or times out.
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
    """Return different free ports of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def run_until_interrupted() -> Iterator[None]:
    """Run the body until SIGINT or SIGTERM, then leave the context normally."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    with suppress(KeyboardInterrupt):
        yield


class Daemon:
    """A server's process, which ends with this process, even if this one is killed.

    folder: working directory; its output is in `log` there
    ready: returns whether the server is ready; polled until it is
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
    def is_running(self) -> bool:
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

        Raises EngineError, with the end of its log, if it ends or times out.
        """
        deadline = time.monotonic() + seconds
        while not self.ready():
            if not self.is_running or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-2000:]
                raise EngineError(f"{self._command[0]} {'is not ready' if self.is_running else 'has ended'}:\n{end}")
            time.sleep(0.05)

    def pause(self) -> None:
        """Suspend it until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self, seconds: float = 10.0) -> None:
        """Terminate it; kill it if it does not end in time."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            self._wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it, as in a power failure."""
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
    if hasattr(_LIBC, "prctl"):  # Linux only
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Engine(ABC):
    """One or more servers, as a context manager.

    folder: directory of all their files; removed at the end
    """

    folder: Path

    @abstractmethod
    def start(self) -> None:
        """Start them, and wait until they are ready. Raises EngineError."""

    @abstractmethod
    def stop(self) -> None:
        """Stop them; servers that do not run are ignored."""

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
