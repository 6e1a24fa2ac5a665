"""Parsed values of the small files in a directory tree; only changed files are read again."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

Names = tuple[str, ...]
"""The path of a file, relative to the root of its tree."""


class Stamp(NamedTuple):
    """The metadata by which a replaced file is detected."""

    inode: int = 0
    changed: int = 0
    size: int = 0

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_ino, status.st_mtime_ns, status.st_size)


class CachedFile(NamedTuple, Generic[T]):
    """A file as last read; the value is None if it is invalid."""

    stamp: Stamp
    value: T | None


class FileTree(Generic[T]):
    """The files at one depth below a directory, which need not exist.

    depth: 1 for the files of the directory itself, 2 for those of its subdirectories
    parse: returns the value of a file with this path and content; logs a warning and returns None for invalid content

    Not thread-safe.
    """

    def __init__(self, root: Path, depth: int, parse: Callable[[str, bytes], T | None]) -> None:
        self.root = root
        self.depth = depth
        self._parse = parse
        self._entries: dict[Names, CachedFile[T]] = {}
        self._denied: set[str] = set()

    @property
    def values(self) -> dict[Names, T | None]:
        return {names: entry.value for names, entry in self._entries.items()}

    def read(self, *below: str) -> Mapping[Names, T | None]:
        """Read the changed files of the tree, or those below or at one path; return the values of the whole tree.

        Files without read permission have their last values, with one warning. Raises OSError for any other failure.
        """
        names = tuple(below)
        try:
            found = {each: entry for each, file in self._files(names) if (entry := self._read(each, file))}
        except PermissionError as error:
            self._deny(str(self.root), error)
            return self.values
        others = {each: entry for each, entry in self._entries.items() if each[: len(names)] != names}
        self._entries = {**others, **found}
        return self.values

    def update(self, paths: Iterable[Names]) -> set[Names]:
        """Read the changed files at or below some paths; return the paths of the files that differ.

        Its cost depends on these files, not on the size of the tree. Raises as `read` does.
        """
        differing = set()
        for names in paths:
            known = {each: self._entries[each] for each in self._list_known(names)}
            try:
                found = {each: entry for each, file in self._files(names) if (entry := self._read(each, file))}
            except PermissionError as error:
                self._deny(str(self.root), error)
                continue
            for each in known.keys() - found.keys():
                del self._entries[each]
            self._entries |= found
            differing |= {each for each in known.keys() | found.keys() if known.get(each) is not found.get(each)}
        return differing

    def get(self, names: Names) -> T | None:
        """Return the value of a file as it was last read; None if it does not exist or is invalid."""
        entry = self._entries.get(names)
        return None if entry is None else entry.value

    def _list_known(self, names: Names) -> list[Names]:
        if len(names) == self.depth:
            return [names] if names in self._entries else []
        return [each for each in self._entries if each[: len(names)] == names]

    def _files(self, names: Names) -> Iterator[tuple[Names, str]]:
        path = os.path.join(self.root, *names)
        if len(names) == self.depth:
            if _may_be_file(path):
                yield names, path
            return
        is_last = len(names) == self.depth - 1
        for entry in self._list(path):
            if not is_last:
                yield from self._files((*names, entry.name))
            elif entry.is_file():
                yield (*names, entry.name), entry.path

    def _list(self, path: str) -> list[os.DirEntry[str]]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
            return list(entries)
        return []

    def _read(self, names: Names, file: str) -> CachedFile[T] | None:
        """Return the current entry of a file; None if it does not exist."""
        known = self._entries.get(names)
        try:
            if known and known.stamp == Stamp.of(os.stat(file)):
                return known
            with open(file, "rb", buffering=0) as handle:
                return CachedFile(Stamp.of(os.fstat(handle.fileno())), self._parse(file, handle.read()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            self._deny(file, error)
            return known

    def _deny(self, path: str, error: PermissionError) -> None:
        if path not in self._denied:
            self._denied.add(path)
            log.warning("can't read %s, which is ignored: %s", path, error)


def _may_be_file(path: str) -> bool:
    """Return whether a path is a regular file, or can't be examined; opening anything else might block."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return True
