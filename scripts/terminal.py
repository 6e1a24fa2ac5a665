"""A program in a terminal of tmux's: what is typed goes in, and what a person would see comes out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import termios
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 30


class Terminal:
    """A terminal with one program in it; when that has ended, the terminal says with what status.

    folder: an empty directory, which is the program's home
    command: the program and its arguments
    variables: of its environment, besides those that each program has
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        variables: Mapping[str, str] | None = None,
        *,
        columns: int = 100,
        lines: int = 30,
    ) -> None:
        self._name = f"stellar-{uuid.uuid4().hex}"  # of a socket in /tmp: the path of one in `folder` may be too long
        environment = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "tmux-256color",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            **(variables or {}),
        }
        program = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command])
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines)),
            f"{program}; echo ended with $?; sleep 60",
        )

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._name, *arguments]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMUX_TMPDIR": "/tmp"}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def type(self, text: str) -> None:
        """Type a text as it stands."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them: Enter, Tab, C-c."""
        self._tmux("send-keys", *keys)

    def shown(self, *, colours: bool = False) -> str:
        """Return what the terminal shows; with colours, these are escape sequences in it.

        A line that the terminal wraps is one line: what fits in one depends on the length of the paths in it.
        """
        shown = self._tmux("capture-pane", "-p", "-J", *(["-e"] if colours else []))
        return "\n".join(line.rstrip(" ") for line in shown.split("\n")).rstrip("\n")

    def interrupt(self) -> None:
        """Press Ctrl-C as soon as the program has ended to read keys: the terminal makes a signal of it then.

        Raises AssertionError if the program reads keys for 30 seconds.
        """
        deadline = time.monotonic() + SECONDS
        with open(self._tmux("display-message", "-p", "#{pane_tty}").strip(), "rb", buffering=0) as tty:
            while not termios.tcgetattr(tty)[3] & termios.ISIG:
                if time.monotonic() > deadline:
                    raise AssertionError(f"the program reads keys:\n{self.shown()}")
                time.sleep(0.01)
        self.press("C-c")

    def wait_for(self, pattern: str, *, colours: bool = False) -> str:
        """Wait until that is shown, a regular expression; returns all that is shown then.

        Raises AssertionError if it is not shown within 30 seconds.
        """
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, shown := self.shown(colours=colours), re.MULTILINE):
            if time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} was not shown:\n{shown}")
            time.sleep(0.05)
        return shown

    def close(self) -> None:
        """End the program, and the terminal with it."""
        self._tmux("kill-server")
