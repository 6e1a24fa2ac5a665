"""Messages and log records as lines of JSON, for programs that collect logs.

    {"time": 1571163620306, "level": "WARNING", "message": "…"}

time: milliseconds since the epoch
level: INFO, WARNING or ERROR
traceback: of an exception, if there is one
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from typing import TextIO

from stellar.util.forks import reset_after_fork


def format_message(level: str, message: str, now: float | None = None) -> str:
    """Return a message as a line of JSON, without its end.

    now: its time in seconds since the epoch; None for the current time
    """
    seconds = time.time() if now is None else now
    return json.dumps({"time": int(seconds * 1000), "level": level, "message": message})


class JsonFormatter(logging.Formatter):
    """Formats a log record as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": int(record.created * 1000), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def log_to_stderr(*, as_json: bool) -> None:
    """Write log records of level INFO and above to standard error, as lines of text or of JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if as_json:
        logging.getLogger().handlers[0].setFormatter(JsonFormatter())


class JsonMessages(io.TextIOBase):
    """A stream that writes each line as the message of a JSON object. Thread-safe.

    target: receives the lines
    program: the name of the program, which is removed where a line begins with it
    """

    def __init__(self, target: TextIO, program: str) -> None:
        self.target, self._prefix = target, f"{program}: "
        self._rest = ""
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write text; a line without its end is held back until it is complete."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._write_line("INFO", line)
        return len(text)

    def write_message(self, level: str, message: str) -> None:
        """Write a message of one or more lines as one object."""
        with self._lock:
            self._write_line(level, message)

    def _write_line(self, level: str, message: str) -> None:
        if message:
            self.target.write(f"{format_message(level, message.removeprefix(self._prefix))}\n")

    def flush(self) -> None:
        """Flush the target."""
        self.target.flush()

    def finish(self) -> None:
        """Write a last line without an end."""
        self.write("\n")
        self.flush()

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the target."""
        return self.target.fileno()
