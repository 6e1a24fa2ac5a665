"""Which files of a registry directory changed, without reading it again and again.

The kernel reports changes of the entries of watched directories (stellar.util.inotify). All directories that belong to
a tree, and those that lead to one, are watched:

    <base>/  maas/  maas/service/  maas/service/<model>/        for the tree maas/service of depth 2

1. A directory that is created is watched, and then marked as changed as a whole, because files may have been created in
   it before it was watched.
2. A file that its owner holds open, and locked, is reported as written when the owner closes it, or dies. The kernel
   reports it just before it releases the lock, so the reader must check these files again after a moment.
3. If changes were lost, everything is marked as changed. If the base itself is moved or removed, the watch has ended.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stellar.maas.registries.file_tree import Names
from stellar.util.inotify import (
    CREATED,
    DELETED,
    DIRECTORY,
    IGNORED,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOWED,
    SELF_DELETED,
    SELF_MOVED,
    WRITTEN,
    Inotify,
)


class WatchEnded(OSError):
    """The watched directory itself was moved or removed."""


Paths = dict[Path, set[Names]]
"""Paths by the roots of their trees; the empty path is a whole tree."""


class Changes(NamedTuple):
    """The paths that changed.

    closed: those among them that were closed by their writers
    """

    paths: Paths
    closed: Paths


class DirectoryWatch:
    """A watch of trees of files below a directory.

    base: the directory, which must exist; the trees need not exist
    trees: depth of each tree, by its root, which is below the base

    Raises OSError if the directory does not exist or the system does not allow more watches.
    """

    def __init__(self, base: Path, trees: Mapping[Path, int]) -> None:
        self._base = base
        self._trees = [(root, root.relative_to(base).parts, depth) for root, depth in trees.items()]
        self._folders: dict[int, Names] = {}
        self._inotify = Inotify()
        try:
            self._add(())
        except BaseException:
            self._inotify.close()
            raise

    def read(self) -> Changes:
        """Return the changes since the last call, without waiting.

        Raises OSError if a new directory cannot be watched, WatchEnded if the base was moved or removed.
        """
        changes = Changes({root: set() for root, _, _ in self._trees}, {root: set() for root, _, _ in self._trees})
        for watch, kind, name in self._inotify.read():
            if kind & OVERFLOWED:
                self._add(())
                self._mark((), changes.paths)
            elif (folder := self._folders.get(watch)) is not None:
                self._read_change(folder, watch, kind, name, changes)
        return changes

    def wait(self, seconds: float | None) -> None:
        """Wait for a change, a call of `wake`, or the time-out."""
        self._inotify.wait(seconds)

    def wake(self) -> None:
        """End the current wait, or the next one. For any thread."""
        self._inotify.wake()

    def close(self) -> None:
        self._inotify.close()

    def _read_change(self, folder: Names, watch: int, kind: int, name: str, changes: Changes) -> None:
        if kind & (SELF_DELETED | SELF_MOVED) and not folder:
            raise WatchEnded(f"{self._base} was moved or removed")
        if kind & IGNORED:
            del self._folders[watch]
        path = (*folder, name) if name else folder
        if kind & (CREATED | MOVED_TO) and self._leads_to_files(path):
            self._add(path)
        elif kind & (DELETED | MOVED_FROM) and kind & DIRECTORY:
            self._drop(path)
        self._mark(path, changes.paths)
        if kind & WRITTEN:
            self._mark(path, changes.closed)

    def _mark(self, path: Names, paths: Paths) -> None:
        """Add a path to those of each tree that it belongs to, or leads to."""
        for root, parts, depth in self._trees:
            if path[: len(parts)] == parts[: len(path)] and len(path) <= len(parts) + depth:
                paths[root].add(path[len(parts) :])

    def _leads_to_files(self, folder: Names) -> bool:
        return any(
            folder[: len(parts)] == parts[: len(folder)] and len(folder) < len(parts) + depth
            for _, parts, depth in self._trees
        )

    def _add(self, folder: Names) -> None:
        """Watch a directory and those below it that belong or lead to a tree."""
        path = os.path.join(self._base, *folder)
        try:
            self._folders[self._inotify.watch(path)] = folder
        except (FileNotFoundError, NotADirectoryError):  # a file, or removed already
            if not folder:
                raise
            return
        for name in self._list_folders(folder, path):
            if self._leads_to_files((*folder, name)):
                self._add((*folder, name))

    def _list_folders(self, folder: Names, path: str) -> Set[str]:
        if any(folder[: len(parts)] == parts for _, parts, _ in self._trees):
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
                return {entry.name for entry in entries if entry.is_dir()}
            return set()
        return {parts[len(folder)] for _, parts, _ in self._trees if parts[: len(folder)] == folder}

    def _drop(self, folder: Names) -> None:
        """End the watches of a directory that was moved away or removed, and of those below it."""
        for number, each in list(self._folders.items()):
            if each[: len(folder)] == folder:
                del self._folders[number]
                self._inotify.unwatch(number)
