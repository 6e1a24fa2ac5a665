"""A program in a terminal of tmux's: what is typed goes in, and what a person would see comes out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
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
        self._socket = folder / "tmux"
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
        command = ["tmux", "-S", str(self._socket), *arguments]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def type(self, text: str) -> None:
        """Type a text as it stands."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them: Enter, Tab, C-c."""
        self._tmux("send-keys", *keys)

    def shown(self, *, colours: bool = False) -> str:
        """What the terminal shows; with colours, these are escape sequences in it."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else [])).rstrip("\n")

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
