"""Positions of a run in its input, stored with the lengths of its outputs, so that a restart continues there.

A restart reads from the stored positions, and cuts each output file at its stored length. So each document is written
exactly once, even if the process was killed between a write and the next time that the positions were stored.
"""

from __future__ import annotations

import fcntl
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stellar.pipeline.connectors.lines import LinePosition
from stellar.util.abbreviate import quote

_VERSION = 1


@dataclass(eq=False)
class FileRecord:
    """A file that was read, and the position in it.

    path: the name under which it was read
    device, inode: its identity; -1 if the file that was read has lost it, because it was truncated
    size, modified: its size in bytes, and the time of its last change in nanoseconds, when it was opened
    position: the position after the lines that were processed and stored
    is_done: true if it was read to its end, and processed
    """

    path: str
    device: int = -1
    inode: int = -1
    size: int = 0
    modified: int = 0
    position: LinePosition = field(default_factory=LinePosition)
    is_done: bool = False

    def __post_init__(self) -> None:
        # Bytes that were read, but perhaps not yet processed and stored
        self.ahead = self.position
        self.is_finished = self.is_done
        self.former_paths: set[str] = set()

    @property
    def identity(self) -> tuple[int, int]:
        return self.device, self.inode

    def identify(self, path: str, status: os.stat_result) -> None:
        """Set the identity of the file that is read from now on."""
        self.rename(path)
        self.device, self.inode = status.st_dev, status.st_ino
        self.note_change(status)
        self.is_done = self.is_finished = False

    def note_change(self, status: os.stat_result) -> None:
        """Set the size, and the time of the last change."""
        self.size, self.modified = status.st_size, status.st_mtime_ns

    def rename(self, path: str) -> None:
        """Set the name of the file."""
        if path != self.path:
            self.former_paths.add(self.path)
        self.path = path

    def forget_identity(self) -> None:
        """Note that the file that was read is no longer the one with this identity."""
        self.device = self.inode = -1

    def commit(self, position: LinePosition | None, is_last: bool) -> None:
        """Set the position after lines that were processed."""
        self.position = position or self.position
        self.is_done = is_last

    def is_unchanged(self, status: os.stat_result) -> bool:
        """Return True if the file is the same, and was not written since it was opened."""
        seen = (self.device, self.inode, self.size, self.modified)
        return seen == (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass
class RunState:
    """The state of a run between two lines.

    sensor: the name of the sensors, which a restart must have, too
    files: the files that were read
    counts: the counts of all runs so far
    lengths: the lengths of output files, by absolute path
    """

    sensor: str
    files: list[FileRecord] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the state as JSON on one line."""
        return json.dumps({"version": _VERSION, **asdict(self, dict_factory=_make_json)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> RunState:
        """Return a state. Raises ValueError for anything but the result of `to_json`."""
        try:
            value = json.loads(text)
            if value["version"] != _VERSION:
                raise ValueError(f"expected version {_VERSION}, got {quote(value['version'], 20)}")
            files = [_read_record(each) for each in value["files"]]
            return cls(str(value["sensor"]), files, _read_integers(value["counts"]), _read_integers(value["lengths"]))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"unexpected content: {error!r:.80}") from error


def _make_json(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: b64encode(value).decode() if isinstance(value, bytes) else value for name, value in items}


def _read_record(value: Mapping[str, Any]) -> FileRecord:
    position = value["position"]
    head, tail = (b64decode(position[name], validate=True) for name in ("head", "tail"))
    numbers = _read_integers({name: value[name] for name in ("device", "inode", "size", "modified")})
    at = LinePosition(int(position["offset"]), int(position["line"]), head, tail)
    return FileRecord(str(value["path"]), **numbers, position=at, is_done=bool(value["is_done"]))


def _read_integers(value: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(number) for name, number in value.items()}


class PositionStore(Protocol):
    """Stores the state of a run."""

    def load(self) -> RunState | None:
        """Return the stored state, otherwise None. Raises ValueError or OSError if it is unreadable."""

    def save(self, state: RunState) -> None:
        """Replace the stored state, completely or not at all. Raises OSError."""


class PositionFile:
    """A file with the state of a run. One process at a time can open it.

    Raises OSError if it cannot be written, or another process has it.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()
        self._file = self._open_locked()

    def load(self) -> RunState | None:
        text = self._path.read_text(encoding="utf-8", errors="replace")
        try:
            return RunState.from_json(text) if text else None
        except ValueError as error:
            raise ValueError(
                f"cannot read positions from {self._path}: {error}; "
                "restore the file, or remove it to read all input again"
            ) from error

    def save(self, state: RunState) -> None:
        temporary = self._path.with_name(f"{self._path.name}.new")
        try:
            file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before other processes find it under the final name
            _write_all(file, state.to_json().encode())
            os.fsync(file)
            temporary.replace(self._path)
        except OSError as error:
            raise OSError(error.errno, f"cannot store positions: {error.strerror}", str(self._path)) from error
        previous, self._file = self._file, file  # in this order, as a signal may interrupt it
        os.close(previous)

    def close(self) -> None:
        """Release the file for other processes."""
        os.close(self._file)

    def _open_locked(self) -> int:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(file)
                message = "in use by another run, which stores its positions there; stop it, or use another --position"
                raise OSError(error.errno, message, str(self._path)) from error
            if os.path.samestat(os.fstat(file), os.stat(self._path)):
                return file
            os.close(file)  # the other run has just replaced it


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
