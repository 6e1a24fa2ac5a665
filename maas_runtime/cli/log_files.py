"""Log files of instances on this machine: earlier output, and new output as it is written.

    <folder>/stdout, stderr, runner.log      the latest output
    <folder>/stdout.1, stdout.2 …            rotated files, of which the highest number is the oldest

Lines have no time of their own. So earlier output is shown file by file, in the order in which the files were last
written, and new output in the order in which it arrives.

The writer rotates a file by renaming it, and the service moves the directory of a failed instance. An open file stays
the same meanwhile, so a follower compares it with the name only to find its successor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from maas_runtime.cli.containers import InstanceDirectory
from maas_runtime.deployers.local import FAILED

CHUNK_BYTES = 1 << 16  # also the longest line; a longer one is cut


@dataclass(frozen=True)
class LogLine:
    """A line of output.

    stream: name of the file without its number
    """

    instance: InstanceDirectory
    stream: str
    text: str


@dataclass
class LogStream:
    """A log of an instance: the file and its rotated predecessors."""

    instance: InstanceDirectory
    name: str
    _file: BinaryIO | None = field(default=None, init=False)
    _rest: bytes = field(default=b"", init=False)
    lost: bool = field(default=False, init=False)

    # --- earlier output

    def list_files(self) -> list[Path]:
        """Return the existing files, oldest first."""
        numbered = {
            int(number): file
            for file in self._folder.glob(f"{self.name}.*")
            if (number := file.name.removeprefix(f"{self.name}.")).isdigit()
        }
        latest = self._folder / self.name
        older = [numbered[number] for number in sorted(numbered, reverse=True)]
        return [*older, latest] if latest.exists() else older

    def open_history(self, tail: int | None) -> list[tuple[float, LogStream, BinaryIO]]:
        """Open the existing files; return each with the time at which it was last written.

        tail: skip all lines but so many; None for none

        The last one stays open, for `read_new`.
        """
        opened: list[tuple[float, LogStream, BinaryIO]] = []
        for path in reversed(self.list_files()):
            with suppress(FileNotFoundError):  # rotated meanwhile: it is among the others then
                file = path.open("rb", buffering=0)
                if any(os.path.samestat(os.fstat(file.fileno()), os.fstat(other.fileno())) for _, _, other in opened):
                    file.close()
                    continue
                if tail is not None:
                    tail -= seek_last_lines(file, tail)
                opened.append((os.fstat(file.fileno()).st_mtime, self, file))
                if not tail and tail is not None:
                    break
        if opened:
            self._file = opened[0][2]
        return opened

    def read(self, file: BinaryIO) -> Iterator[LogLine]:
        """Yield the lines of an open file from its position on, and close it unless it is the latest one."""
        while data := file.read(CHUNK_BYTES):
            yield from self._split(data)
        if file is not self._file:
            yield from self.end_line()
            file.close()

    def end_line(self) -> Iterator[LogLine]:
        """Yield the last line, if it has no line end."""
        if self._rest:
            yield self._make_line(self._rest)
            self._rest = b""

    # --- new output

    def read_new(self) -> Iterator[LogLine]:
        """Yield the lines that were written since the last call."""
        if self._file is None:
            self._file = self._open(self.list_files()[:1])
        while self._file is not None:
            yield from self.read(self._file)
            following = self._find_following()
            if not following:
                return
            yield from self.read(self._file)  # written before it was rotated
            self._file.close()
            self._file = self._open(following)

    def has_ended(self) -> bool:
        """Return whether nothing will be written any more."""
        return self.instance.failed or not self.instance.folder.is_dir()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def _folder(self) -> Path:
        """The instance's directory, which is moved when the instance has failed."""
        folder = self.instance.folder
        moved = folder.parent / FAILED / folder.name
        return moved if not folder.is_dir() and moved.is_dir() else folder

    def _open(self, files: Sequence[Path]) -> BinaryIO | None:
        for file in files:
            with suppress(FileNotFoundError):
                return file.open("rb", buffering=0)
        return None

    def _find_following(self) -> list[Path]:
        """Return the files after the open one, oldest first; empty if it is the latest one."""
        assert self._file is not None
        files, current = self.list_files(), os.fstat(self._file.fileno())
        for position, file in enumerate(files):
            with suppress(FileNotFoundError):
                if os.path.samestat(file.stat(), current):
                    return files[position + 1 :]
        self.lost |= bool(files)  # it was removed, perhaps with others after it
        return files

    def _split(self, data: bytes) -> Iterator[LogLine]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield self._make_line(line)
        if len(self._rest) > CHUNK_BYTES:
            yield from self.end_line()

    def _make_line(self, line: bytes) -> LogLine:
        return LogLine(self.instance, self.name, line.decode("utf-8", "replace").removesuffix("\r"))


def seek_last_lines(file: BinaryIO, count: int) -> int:
    """Set the position of a file to its last `count` lines. Return how many there are, at most `count`."""
    end = position = file.seek(0, os.SEEK_END)
    if not count or not end:
        return 0
    file.seek(end - 1)
    if file.read(1) == b"\n":  # ends the last line
        position -= 1
    missing = count
    while position:
        start = max(0, position - CHUNK_BYTES)
        file.seek(start)
        block = file.read(position - start)
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            missing -= 1
            if not missing:
                file.seek(start + position + 1)
                return count
        position = start
    file.seek(0)
    return count - missing + 1


def read_history(streams: Sequence[LogStream], tail: int | None = None) -> Iterator[LogLine]:
    """Yield the lines of all existing files, file by file, in the order in which they were last written.

    tail: only the last lines of each stream; None for all
    """
    opened = [entry for stream in streams for entry in stream.open_history(tail)]
    for _, stream, file in sorted(opened, key=lambda entry: entry[0]):
        yield from stream.read(file)


class Follower:
    """Follows the logs of instances, including those that are started later.

    find: returns the instances to follow now
    names: of the logs of each instance
    """

    def __init__(self, find: Callable[[], Sequence[InstanceDirectory]], names: Sequence[str]) -> None:
        self._find, self._names = find, names
        self._known: set[str] = set()
        self.streams: list[LogStream] = []
        self.find_new()

    def find_new(self) -> None:
        """Add the instances that were started since the last call."""
        found = [instance for instance in self._find() if instance.id not in self._known]
        self._known.update(instance.id for instance in found)
        self.streams += [LogStream(instance, name) for instance in found for name in self._names]

    def read_new(self) -> Iterator[LogLine]:
        """Yield the lines that were written since the last call."""
        self.find_new()
        for stream in list(self.streams):
            has_ended = stream.has_ended()  # before it is read for the last time
            yield from stream.read_new()
            if has_ended:
                yield from stream.end_line()
                stream.close()
                self.streams.remove(stream)

    def take_lost(self) -> Iterator[LogStream]:
        """Yield the streams of which a file was removed before it was read, each once."""
        for stream in self.streams:
            if stream.lost:
                stream.lost = False
                yield stream
