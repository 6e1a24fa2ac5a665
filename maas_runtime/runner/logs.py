"""What a model prints, kept in files of limited size.

A thread reads it from pipes and writes it to files, beginning new ones as they fill up. The other ways are worse: a
file that the model writes itself can't be put aside, only copied and cut, which loses what comes meanwhile and takes
twice the room; and a pipe that is read only now and then makes the model wait. The price: who reads must live as long
as the model, as a runner does, and what comes faster than a disk takes it waits, as it would for the disk itself.
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

PIECE = 1 << 18
PIPE_BYTES = 1 << 20  # what a model may be ahead of us
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux has it


@dataclass(frozen=True)
class LogLimits:
    """How large a file may grow, in bytes, and how many full ones are kept beside it, as `.1`, `.2` …"""

    most_bytes: int = 20_000_000
    kept: int = 4


class RotatedFile:
    """A file that is put aside when it is full. The one of that name holds the latest."""

    def __init__(self, path: Path, limits: LogLimits) -> None:
        self._path = path.resolve()  # of a link, the files stand beside what it points to
        self._limits = limits
        self._file = self._opened()
        self._size = os.fstat(self._file.fileno()).st_size

    def write(self, data: bytes) -> None:
        """Add data; where there is a choice, a file ends with a line. Raises OSError."""
        rest = memoryview(data)
        while rest:
            room = self._limits.most_bytes - self._size
            length = len(rest)
            if length > room:
                length = bytes(rest[: max(0, room)]).rfind(b"\n") + 1 or (max(1, room) if not self._size else 0)
            self._file.write(rest[:length])
            self._size += length
            rest = rest[length:]
            if rest:
                self._begin_anew()

    def _begin_anew(self) -> None:
        self._file.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(self._limits.kept))]
        for older, newer in zip(reversed(names), list(reversed(names))[1:], strict=False):
            with suppress(FileNotFoundError):
                newer.replace(older)
        if not self._limits.kept:
            self._path.unlink(missing_ok=True)
        self._file, self._size = self._opened(), 0

    def _opened(self) -> BinaryIO:
        return self._path.open("ab", buffering=0)

    def close(self) -> None:
        self._file.close()


class _Stream:
    """What comes by one pipe, and the file that takes it."""

    def __init__(self, file: RotatedFile) -> None:
        self.file = file
        self.incoming, self.end = os.pipe()
        os.set_blocking(self.incoming, False)
        if _SET_PIPE_SIZE is not None:
            with suppress(OSError):  # the system has no room for that
                fcntl.fcntl(self.end, _SET_PIPE_SIZE, PIPE_BYTES)
        self._lost = 0

    def take(self) -> bool:
        """Take what has come; false if all ends are closed."""
        try:
            data = os.read(self.incoming, PIECE)
        except BlockingIOError:
            return True
        if not data:
            return False
        try:
            self.file.write(data)
        except OSError as error:  # the disk is full: the model goes on all the same
            if not self._lost:
                log.warning("what the model prints is lost: %s", error)
            self._lost += len(data)
        else:
            if self._lost:
                log.warning("%d bytes of what the model printed are lost", self._lost)
            self._lost = 0
        return True

    def waiting(self) -> int:
        """How many bytes have come and are not taken."""
        count = array.array("i", [0])
        fcntl.ioctl(self.incoming, termios.FIONREAD, count)
        return count[0]


class Logs:
    """Pipes for what a model prints, each read into a file.

    `ends` are for the model's processes to write to; once they have them, `handed_over` is to be called.
    """

    def __init__(self, files: Sequence[Path], limits: LogLimits) -> None:
        self._streams = [_Stream(RotatedFile(file, limits)) for file in files]
        self._awake, self._wake = os.pipe()
        self._taking = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="logs", daemon=True)
        self._thread.start()

    @property
    def ends(self) -> list[int]:
        return [stream.end for stream in self._streams]

    def handed_over(self) -> None:
        """Let go of our own copies of the ends."""
        for stream in self._streams:
            if stream.end >= 0:
                os.close(stream.end)
                stream.end = -1

    def settle(self, seconds: float = 1.0) -> None:
        """Wait until what was printed so far stands in the files."""
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            with self._taking:
                if not any(stream.waiting() for stream in self._streams):
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
                    with self._taking:
                        if not key.data.take():
                            selector.unregister(key.fd)

    def close(self) -> None:
        """Take what has come, and no more: a process that outlives its model gets an error when it prints."""
        self.handed_over()
        self.settle()
        os.write(self._wake, b".")
        self._thread.join()
        for stream in self._streams:
            os.close(stream.incoming)
            stream.file.close()
        for end in (self._awake, self._wake):
            os.close(end)
