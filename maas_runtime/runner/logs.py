"""Rotated log files for the output of a model.

A thread reads pipes and writes files, which it rotates when they are full. A file that the model writes itself could
only be copied and truncated, which loses output and needs twice the space; a pipe that is read rarely blocks the model.
The reader must live as long as the model, as the runner does. Output faster than the disk blocks the model, as writing
to the disk would.
"""

from __future__ import annotations

import array
import fcntl
import logging
import os
import selectors
import termios
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 18
PIPE_BYTES = 1 << 20  # buffered output of a model
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux only


@dataclass(frozen=True)
class LogLimits:
    """The maximum size of a log file in bytes, and the number of rotated files, `.1`, `.2` …"""

    max_bytes: int = 20_000_000
    backups: int = 4


class RotatedFile:
    """A log file that is rotated when it is full. The file without a number has the latest output."""

    def __init__(self, path: Path, limits: LogLimits) -> None:
        self._path = path.resolve()  # rotated files are next to the target of a link
        self._limits = limits
        self._file = self._open()
        self._size = os.fstat(self._file.fileno()).st_size

    def write(self, data: bytes) -> None:
        """Append data; a file ends at the end of a line, if possible. Raises OSError."""
        rest = memoryview(data)
        while rest:
            room = self._limits.max_bytes - self._size
            length = len(rest)
            if length > room:
                length = bytes(rest[: max(0, room)]).rfind(b"\n") + 1 or (max(1, room) if not self._size else 0)
            self._file.write(rest[:length])
            self._size += length
            rest = rest[length:]
            if rest:
                self._rotate()

    def _rotate(self) -> None:
        self._file.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(self._limits.backups))]
        for older, newer in zip(reversed(names), list(reversed(names))[1:], strict=False):
            with suppress(FileNotFoundError):
                newer.replace(older)
        if not self._limits.backups:
            self._path.unlink(missing_ok=True)
        self._file, self._size = self._open(), 0

    def _open(self) -> BinaryIO:
        return self._path.open("ab", buffering=0)

    def close(self) -> None:
        self._file.close()


class _LogStream:
    """A pipe and the log file for its data."""

    def __init__(self, file: RotatedFile) -> None:
        self.file = file
        self.incoming, self.end = os.pipe()
        os.set_blocking(self.incoming, False)
        if _SET_PIPE_SIZE is not None:
            with suppress(OSError):  # above the limit of the user
                fcntl.fcntl(self.end, _SET_PIPE_SIZE, PIPE_BYTES)
        self._lost = 0

    def transfer(self) -> bool:
        """Copy pending data to the file. Return False if all write ends are closed."""
        try:
            data = os.read(self.incoming, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        try:
            self.file.write(data)
        except OSError as error:  # the disk is full; the model goes on
            if not self._lost:
                log.warning("output of the model is lost: %s", error)
            self._lost += len(data)
        else:
            if self._lost:
                log.warning("%d bytes of output of the model were lost", self._lost)
            self._lost = 0
        return True

    def count_pending(self) -> int:
        """Return the number of bytes in the pipe."""
        count = array.array("i", [0])
        fcntl.ioctl(self.incoming, termios.FIONREAD, count)
        return count[0]


class Logs:
    """Pipes for the output of a model, each copied to a log file.

    `ends` are the write ends for the model's processes; call `close_ends` once the processes have inherited them.
    """

    def __init__(self, files: Sequence[Path], limits: LogLimits) -> None:
        self._streams = [_LogStream(RotatedFile(file, limits)) for file in files]
        self._awake, self._wake = os.pipe()
        self._transferring = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="logs", daemon=True)
        self._thread.start()

    @property
    def ends(self) -> list[int]:
        """The write ends, as file descriptors."""
        return [stream.end for stream in self._streams]

    def close_ends(self) -> None:
        """Close this process's copies of the write ends."""
        for stream in self._streams:
            if stream.end >= 0:
                os.close(stream.end)
                stream.end = -1

    def settle(self, seconds: float = 1.0) -> None:
        """Wait until the output so far is in the files, at most `seconds`."""
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            with self._transferring:
                if not any(stream.count_pending() for stream in self._streams):
                    return
            sleep(0.005)

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._awake, selectors.EVENT_READ)
            for stream in self._streams:
                selector.register(stream.incoming, selectors.EVENT_READ, stream)
            while len(selector.get_map()) > 1:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    with self._transferring:
                        if not key.data.transfer():
                            selector.unregister(key.fd)

    def close(self) -> None:
        """Copy pending output and stop; a process that outlives the model gets an error when it writes."""
        self.close_ends()
        self.settle()
        os.write(self._wake, b".")
        self._thread.join()
        for stream in self._streams:
            os.close(stream.incoming)
            stream.file.close()
        for end in (self._awake, self._wake):
            os.close(end)
