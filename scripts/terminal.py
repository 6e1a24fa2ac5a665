"""A program in a terminal of tmux: sends keys and captures the screen."""

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
    """A terminal with one program; when the program ends, its exit status is shown.

    folder: an empty directory, used as HOME
    command: the program and its arguments
    variables: additional environment variables
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
        self._name = f"stellar-{uuid.uuid4().hex}"  # name of a socket in /tmp: a path in `folder` can be too long
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
        """Type characters literally."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys, given by their names in tmux: Enter, Tab, C-c."""
        self._tmux("send-keys", *keys)

    def capture(self, *, colours: bool = False) -> str:
        """Return the lines on the screen, with `colours` including escape sequences.

        Wrapped lines are joined, as their length depends on paths.
        """
        screen = self._tmux("capture-pane", "-p", "-J", *(["-e"] if colours else []))
        return "\n".join(line.rstrip(" ") for line in screen.split("\n")).rstrip("\n")

    def interrupt(self) -> None:
        """Press Ctrl-C once the program no longer reads keys, so that the terminal sends a signal.

        Raise AssertionError if the program still reads keys after 30 seconds.
        """
        deadline = time.monotonic() + SECONDS
        with open(self._tmux("display-message", "-p", "#{pane_tty}").strip(), "rb", buffering=0) as tty:
            while not termios.tcgetattr(tty)[3] & termios.ISIG:
                if time.monotonic() > deadline:
                    raise AssertionError(f"the program still reads keys:\n{self.capture()}")
                time.sleep(0.01)
        self.press("C-c")

    def wait_for(self, pattern: str, *, colours: bool = False) -> str:
        """Wait until the screen matches a regular expression; return the screen.

        Raise AssertionError after 30 seconds.
        """
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, screen := self.capture(colours=colours), re.MULTILINE):
            if time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} did not appear:\n{screen}")
            time.sleep(0.05)
        return screen

    def close(self) -> None:
        """End the program and the terminal."""
        self._tmux("kill-server")
