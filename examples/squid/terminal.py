"""A terminal that types commands, shows what they print, keeps account of what is claimed, and tidies up."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from string import Template
from typing import IO, Any
from urllib.parse import urlsplit

SQUID = Path(__file__).resolve().parent
PATIENCE = 20  # seconds

Record = dict[str, Any]


class Failed(Exception):
    """A command that did not do what it was to do; str() says which."""


class Terminal:
    """Types commands in a folder, prints them with what they say, and keeps account of what is claimed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._failed: list[str] = []
        self._urls: set[str] = set()
        self._others = processes()
        print(f"$ cd {folder}\n$ SQUID={SQUID}\n$ export PYTHON={sys.executable}", flush=True)

    def say(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def show_typed(self, command: str) -> None:
        print(f"$ {command}", flush=True)

    def check(self, claim: str, holds: bool) -> None:
        print(f"{'  [ok]' if holds else '  [FAILED]'} {claim}", flush=True)
        if not holds:
            self._failed.append(claim)

    def verdict(self) -> int:
        """The exit status: 0 if every claim held."""
        for claim in self._failed:
            print(f"demo: this did not come out: {claim}", file=sys.stderr)
        return 1 if self._failed else 0

    def type(self, command: str) -> str:
        """Run a command to its end; returns what it printed."""
        self.show_typed(command)
        said = self._run(command)
        print(said, end="", flush=True)
        self._urls.update(re.findall(r"http://\S+", said))
        return said

    def type_until(self, command: str, wanted: str) -> None:
        """Run a command again and again, until it prints what is wanted; show it once."""
        self.show_typed(command)
        deadline = time.monotonic() + PATIENCE
        while wanted not in (said := self._run(command)):
            if time.monotonic() > deadline:
                raise Failed(f"{command} does not say {wanted!r} within {PATIENCE} seconds, but:\n{said}")
        print(said, end="", flush=True)

    def _run(self, command: str) -> str:
        words = self._words(command)
        done = subprocess.run(words, cwd=self.folder, env=self._environment(), stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed(f"{command} ended with status {done.returncode}{self._last_log()}")
        return done.stdout

    @contextmanager
    def feeding(self, command: str) -> Iterator[IO[bytes]]:
        """Run a command; yields its standard input."""
        self.show_typed(f"{command} < access.log")
        process = subprocess.Popen(
            self._words(command), cwd=self.folder, env=self._environment(), stdin=subprocess.PIPE
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it may end early; then its status says so
                yield process.stdin
                process.stdin.close()
            process.wait()
        finally:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
        if process.returncode:
            raise Failed(f"{command} ended with status {process.returncode}")

    @contextmanager
    def background(self, command: str) -> Iterator[None]:
        """Run a command meanwhile; it is asked to end, and then waited for."""
        self.show_typed(f"{command} 2> service.log &")
        with (self.folder / "service.log").open("wb") as log:
            process = subprocess.Popen(self._words(command), cwd=self.folder, env=self._environment(), stderr=log)
        try:
            yield
        finally:
            with uninterrupted():
                process.terminate()
                process.wait(PATIENCE)
        if process.returncode:
            raise Failed(f"{command} ended with status {process.returncode}{self._last_log()}")

    def kill_an_instance(self) -> None:
        """Kill the runner of one of the instances, with no time to say goodbye."""
        lock = next(self.folder.glob("registry/containers/*/lock"))
        runner = int(lock.read_text())
        self.show_typed(f"kill -9 {runner}   # $(cat {lock.relative_to(self.folder)})")
        os.killpg(runner, signal.SIGKILL)  # it leads a process group of its own

    def records(self, name: str) -> list[Record]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def check_nothing_is_left(self, kept: bool) -> None:
        """Check that neither a process nor a port is left, nor the folder if it was not to be kept."""
        self.check(
            f"nothing listens at the {len(self._urls)} addresses that models had", not any(map(listens, self._urls))
        )
        left = [found for process in processes() - self._others if (found := concerned_with(self.folder, process))]
        self.check(f"no process is left{': ' + ', '.join(left) if left else ''}", not left)
        if not kept:
            self.check(f"{self.folder} is gone", not self.folder.exists())

    def _words(self, command: str) -> list[str]:
        program, *words = (Template(word).substitute(SQUID=SQUID) for word in shlex.split(command))
        return [sys.executable if program == "python" else console_script(program), *words]

    def _environment(self) -> dict[str, str]:
        """Models are run by this Python, for which all is installed."""
        return {**os.environ, "PYTHON": sys.executable}

    def _last_log(self) -> str:
        with suppress(OSError):
            return "\n" + (self.folder / "service.log").read_text(errors="replace")[-2000:]
        return ""


def console_script(name: str) -> str:
    """Where one of our commands is, beside this Python."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        raise Failed(f"{name} is not installed for {sys.executable}; in the project's folder: pip install '.[demo]'")
    return found


@contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    """A new folder: one that stays, or one that is gone afterwards."""
    if kept is not None:
        try:
            kept.mkdir(parents=True)
        except FileExistsError:
            raise Failed(f"{kept} is there already; name a new folder") from None
        yield kept.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="squid-demo-")).resolve()
    try:
        yield made
    finally:
        with uninterrupted():
            shutil.rmtree(made)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """No second Ctrl-C while we tidy up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 80)) == 0


def processes() -> set[Path]:
    """All processes; none where there is no /proc to tell."""
    return set(Path("/proc").glob("[0-9]*"))


def concerned_with(place: Path, process: Path) -> str:
    """A process's number and command, if it runs in a folder or was given it; else nothing."""
    with suppress(OSError):  # it has just ended
        where, command = os.readlink(process / "cwd"), (process / "cmdline").read_bytes()
        if Path(where.removesuffix(" (deleted)")).is_relative_to(place) or os.fsencode(place) in command:
            return f"{process.name} {os.fsdecode(command.replace(bytes(1), b' '))}".strip()
    return ""
