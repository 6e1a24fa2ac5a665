"""A terminal for demonstrations: runs commands, prints their output, records checks, and cleans up."""

from __future__ import annotations

import argparse
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from string import Template
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import urlopen

SQUID = Path(__file__).resolve().parent
TIMEOUT = 20  # seconds

Record = dict[str, Any]


class CommandFailed(Exception):
    """A command failed; the message names it."""


def run_walkthrough(
    description: str, walk: Callable[[Terminal], None], start: Callable[[ExitStack], Mapping[str, str]] | None = None
) -> int:
    """Run a walkthrough as a command, and return its exit status: 0 if all checks passed.

    walk: runs the commands; all processes that it starts are stopped when it returns or raises
    start: starts servers before, and returns variables with their addresses
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this new folder, and do not remove it")
    options = parser.parse_args()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            variables = None if start is None else start(stack)
            terminal = Terminal(stack.enter_context(create_folder(options.keep)), variables)
            walk(terminal)
            terminal.comment("Cleaning up")
        terminal.check_clean_up(is_kept=options.keep is not None)
    except KeyboardInterrupt:
        print("\ninterrupted; all started processes are stopped", file=sys.stderr)
        return 130
    except CommandFailed as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    print(f"\nthe walkthrough took {time.monotonic() - started:.1f} s")
    return terminal.exit_status()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class Terminal:
    """Runs commands in a folder, prints them with their output, and records the results of checks.

    variables: of the environment; commands can refer to them
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.variables = {"SQUID": str(SQUID), "PYTHON": sys.executable, **(variables or {})}
        self._failed: list[str] = []
        self._logs: list[Path] = []
        self._urls: set[str] = set()
        self._other_processes = list_processes()
        print(f"$ cd {folder}", *(f"$ export {name}={value}" for name, value in self.variables.items()), sep="\n")

    def comment(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def print_command(self, command: str) -> None:
        print(f"$ {command}", flush=True)

    def check(self, claim: str, passed: bool) -> None:
        print(f"{'  [ok]' if passed else '  [FAILED]'} {claim}", flush=True)
        if not passed:
            self._failed.append(claim)

    def exit_status(self) -> int:
        """Return the exit status: 0 if all checks passed."""
        for claim in self._failed:
            print(f"demo: check failed: {claim}", file=sys.stderr)
        return 1 if self._failed else 0

    def type(self, command: str) -> str:
        """Run a command, and return its output."""
        self.print_command(command)
        output = self._run(command)
        print(output, end="", flush=True)
        self._urls.update(re.findall(r"http://\S+", output))
        return output

    def type_until(self, command: str, expected: str, seconds: float = TIMEOUT) -> None:
        """Repeat a command until its output contains a string; print it once."""
        self.print_command(command)
        deadline = time.monotonic() + seconds
        while expected not in (output := self._run(command, may_fail=True)):
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"{command} has not printed {expected!r} within {seconds:g} seconds; last output:\n{output}"
                )
        print(output, end="", flush=True)

    def _run(self, command: str, *, may_fail: bool = False) -> str:
        words = self._words(command)
        errors = subprocess.DEVNULL if may_fail else None
        done = subprocess.run(
            words, cwd=self.folder, env=self._environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        )
        if done.returncode and not may_fail:
            raise CommandFailed(f"{command} ended with status {done.returncode}{self._describe_logs()}")
        return done.stdout

    @contextmanager
    def feed(self, command: str) -> Iterator[IO[bytes]]:
        """Run a command with access.log as input; yield its standard input."""
        self.print_command(f"{command} < access.log")
        process = subprocess.Popen(
            self._words(command), cwd=self.folder, env=self._environment(), stdin=subprocess.PIPE
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it may exit early, which its status shows
                yield process.stdin
                process.stdin.close()
            process.wait()
        finally:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
        if process.returncode:
            raise CommandFailed(f"{command} ended with status {process.returncode}")

    @contextmanager
    def run_in_background(self, command: str, log_name: str = "service.log") -> Iterator[None]:
        """Run a command in the background; send SIGTERM at the end, and wait for it."""
        self.print_command(f"{command} > {log_name} 2>&1 &")
        self._logs.append(self.folder / log_name)
        with self._logs[-1].open("wb") as log:
            process = subprocess.Popen(
                self._words(command), cwd=self.folder, env=self._environment(), stdout=log, stderr=log
            )
        try:
            yield
        finally:
            with ignore_interrupts():
                process.terminate()
                process.wait(TIMEOUT)
        if process.returncode:
            raise CommandFailed(f"{command} ended with status {process.returncode}{self._describe_logs()}")

    def read_page(self, log_name: str, path: str = "") -> str:
        """Return a page of the server in the background that writes its address to a log."""
        deadline = time.monotonic() + TIMEOUT
        while (found := re.search(r"http://\S+/$", (self.folder / log_name).read_text(), re.MULTILINE)) is None:
            if time.monotonic() > deadline:
                raise CommandFailed(f"no address within {TIMEOUT} seconds{self._describe_logs()}")
            time.sleep(0.05)
        url = f"{found[0]}{path}"
        self.print_command(f"curl {url}")
        with urlopen(url, timeout=TIMEOUT) as response:
            content: bytes = response.read()
        return content.decode()

    def kill_instance(self) -> None:
        """Kill the runner of an instance by SIGKILL, without a graceful shutdown."""
        lock = next(self.folder.glob("registry/containers/*/lock"))
        runner = int(lock.read_text())
        self.print_command(f"kill -9 {runner}   # $(cat {lock.relative_to(self.folder)})")
        os.killpg(runner, signal.SIGKILL)  # the runner leads a process group

    def read_records(self, name: str) -> list[Record]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def check_clean_up(self, is_kept: bool) -> None:
        """Check that no process and no open port remains, nor the folder unless it was to remain."""
        self.check(f"the {len(self._urls)} ports of the models are closed", not any(map(is_listening, self._urls)))
        remaining = [
            found
            for process in list_processes() - self._other_processes
            if (found := describe_process_in(self.folder, process))
        ]
        self.check(f"no process remains{': ' + ', '.join(remaining) if remaining else ''}", not remaining)
        if not is_kept:
            self.check(f"{self.folder} is removed", not self.folder.exists())

    def _words(self, command: str) -> list[str]:
        program, *words = (Template(word).substitute(self.variables) for word in shlex.split(command))
        return [sys.executable if program == "python" else console_script(program), *words]

    def _environment(self) -> dict[str, str]:
        """Return the environment, in which PYTHON is this interpreter: models need the packages installed for it."""
        return {**os.environ, **self.variables}

    def _describe_logs(self) -> str:
        """Return the ends of the logs of what runs in the background."""
        return "".join(f"\n{log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in self._logs)


def console_script(name: str) -> str:
    """Return the path of a command that is installed for this interpreter."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        raise CommandFailed(
            f"{name} is not installed for {sys.executable}; in the project's folder: pip install '.[demo]'"
        )
    return found


@contextmanager
def create_folder(path: Path | None) -> Iterator[Path]:
    """Create a folder: the given one, or a temporary one that is removed at the end."""
    if path is not None:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise CommandFailed(f"{path} exists already; choose a new folder") from None
        yield path.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="squid-demo-")).resolve()
    try:
        yield temporary
    finally:
        with ignore_interrupts():
            shutil.rmtree(temporary)


@contextmanager
def ignore_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM during the clean-up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_listening(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 80)) == 0


def list_processes() -> set[Path]:
    """Return all processes; empty on systems without /proc."""
    return set(Path("/proc").glob("[0-9]*"))


def describe_process_in(directory: Path, process: Path) -> str:
    """Return id and command of a process that runs in a directory or has it as an argument; otherwise empty."""
    with suppress(OSError):  # the process has ended
        where, command = os.readlink(process / "cwd"), (process / "cmdline").read_bytes()
        if Path(where.removesuffix(" (deleted)")).is_relative_to(directory) or os.fsencode(directory) in command:
            return f"{process.name} {os.fsdecode(command.replace(bytes(1), b' '))}".strip()
    return ""
