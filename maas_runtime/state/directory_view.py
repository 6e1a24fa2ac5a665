"""A view of stored objects in a registry directory."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stellar.maas.registries.directory_watch import DirectoryWatch
from stellar.maas.registries.file_tree import FileTree, Names

log = logging.getLogger(__name__)

Objects = Mapping[Names, dict[str, Any] | None]


class DirectoryView:
    """The objects at one depth below a path. Thread-safe.

    A read looks at the files that changed, as the kernel reports them; at all files if it does not.

    directory: of the registry; it need not exist
    """

    def __init__(self, directory: Path, tree: FileTree[dict[str, Any]]) -> None:
        self._directory, self._tree = directory, tree
        self._last: Objects = {}
        self._reading = threading.Lock()
        self._watch: DirectoryWatch | None = None
        self._can_watch = True
        self._is_outdated = False  # the last read failed
        self._release: weakref.finalize[..., DirectoryView] | None = None

    def read(self) -> Objects:
        with self._reading:
            try:
                if self._tree.update(self._take_changes()) or self._is_outdated:
                    self._last = self._tree.values
            except OSError:  # look at all files next time
                self._end_watch()
                self._is_outdated = True
                raise
            self._is_outdated = False
            return self._last

    def mark(self, *path: str) -> None:
        """Do nothing: a change by this process is noticed as one by any other."""

    def is_complete(self) -> bool:
        return True

    def close(self) -> None:
        with self._reading:
            self._end_watch()

    def _take_changes(self) -> set[Names]:
        """Return the paths that changed since the last call; the whole tree if that is unknown."""
        if self._watch is not None:
            try:
                return self._watch.read().paths[self._tree.root]
            except OSError as error:
                log.info("the watch of %s has ended: %s", self._directory, error)
                self._end_watch()
        if self._can_watch:
            self._begin_watch()
        return {()}

    def _begin_watch(self) -> None:
        try:
            self._watch = DirectoryWatch(self._directory, {self._tree.root: self._tree.depth})
        except FileNotFoundError:  # created later
            return
        except OSError as error:
            self._can_watch = False
            log.info("can't watch %s, looking at all files instead: %s", self._directory, error)
            return
        self._release = weakref.finalize(self, self._watch.close)

    def _end_watch(self) -> None:
        if self._release is not None:
            self._release()
        self._watch = self._release = None
