"""A tree of nodes in ZooKeeper, kept current by watches.

A watch fires once, when its node changes. The event names the node, but does not contain its data. So the node is read
again, which also sets the next watch: a change in between is either in the response or fires that watch. No change is
lost, but several changes may be seen as one.

An event only marks a path. `read`, which is called by one thread at a time, takes the marks and reads

1. the children of marked inner nodes, level by level from the root; new children are marked in turn,
2. the data of marked leaves.

All requests of a level are sent before the first response is awaited, so a level costs one round trip, however many
nodes it has. A node that was deleted before it was read is removed from its parent's children; if it is created again,
the parent's watch fires and the node is new once more. The root need not exist: an `exists` watch reports its creation.

When a connection was lost, so were its watches: `mark_all` forgets all children, so that each is new and is read again.
A leaf with the same `mzxid` (the transaction that last wrote it) is not parsed again. After a failed read everything is
marked, as it is unknown which watches were set. If nothing changed, `read` returns the same dictionary as before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from kazoo import exceptions as refusals
from kazoo.protocol.states import WatchedEvent

from stellar.maas.zookeeper import ZooKeeper

log = logging.getLogger(__name__)
T = TypeVar("T")

Path = tuple[str, ...]  # relative to the root of a tree


class _Leaf(NamedTuple, Generic[T]):
    """A leaf as it was last read; the value is None if it is invalid."""

    written: int
    value: T | None


class WatchedTree(Generic[T]):
    """The leaves at one depth below a node, which need not exist.

    depth: 1 if the leaves are the children of the root
    parse: returns the value of a leaf with this path and data; logs a warning and returns None for invalid data
    changed: called after a path was marked, in a thread that must not wait for ZooKeeper
    optional: True if an unreadable node counts as absent, with one warning, instead of raising PermissionError
    """

    def __init__(
        self,
        zookeeper: ZooKeeper,
        root: str,
        depth: int,
        parse: Callable[[str, bytes], T | None],
        changed: Callable[[], None],
        *,
        optional: bool = False,
    ) -> None:
        self._zookeeper = zookeeper
        self.root = root
        self._depth = depth
        self._parse = parse
        self._changed = changed
        self._optional = optional
        self.denied: set[Path] = set()  # nodes that we have no permission to read
        self._children: dict[Path, set[str]] = {}
        self._leaves: dict[Path, _Leaf[T]] = {}
        self._values: dict[Path, T | None] = {}
        self._is_changed = False  # the leaves differ from the values
        self._is_cut = False  # there may be leaves without a parent
        self._is_absent = False  # the root did not exist when it was last read
        self._marked: set[Path] = {()}
        self._is_all_marked = True
        self._marking = threading.Lock()

    def path(self, path: Path) -> str:
        """Return the absolute path of a node."""
        return "/".join((self.root, *path))

    def mark(self, path: Path) -> None:
        """Mark a leaf and the nodes above it."""
        with self._marking:
            self._marked |= {path[:length] for length in range(len(path) + 1)}

    def mark_below(self, name: str) -> None:
        """Mark a child of the root and all known leaves below it; or the root, if that child is unknown."""
        known = {(name,), *(path for path in self._leaves if path[0] == name)}
        with self._marking:
            self._marked |= known if self._is_known((name,)) else {()}

    def mark_all(self) -> None:
        """Mark everything: all watches were lost, or a read failed."""
        with self._marking:
            self._is_all_marked = True

    def after_fork(self) -> None:
        self._marking = threading.Lock()
        self._is_all_marked = True

    def read(self) -> dict[Path, T | None]:
        """Read all marked nodes; return the values of all leaves, the same object as long as nothing changed.

        Raises OSError, after which everything is marked.
        """
        marked = self._take_marks()
        try:
            for level in range(self._depth):
                marked |= self._read_children(self._select_known(marked, level))
            self._read_leaves(self._select_known(marked, self._depth))
        except BaseException:
            self.mark_all()
            raise
        if self._is_cut:
            for path in [path for path in self._leaves if not self._is_known(path)]:
                self._drop_leaf(path)
            self._is_cut = False
        if self._is_changed:
            self._values = {path: leaf.value for path, leaf in self._leaves.items()}
            self._is_changed = False
        return self._values

    def _take_marks(self) -> set[Path]:
        with self._marking:
            marked, self._marked = self._marked, set()
            if self._is_all_marked:
                self._is_all_marked = False
                self._children, marked = {}, {()}
                self._is_cut = self._is_changed = True
        return marked

    def _select_known(self, paths: Iterable[Path], length: int) -> list[Path]:
        return [path for path in paths if len(path) == length and self._is_known(path)]

    def _is_known(self, path: Path) -> bool:
        return not path or path[-1] in self._children.get(path[:-1], ())

    def _read_children(self, paths: list[Path]) -> set[Path]:
        """Read the children of nodes; return the new ones."""
        new: set[Path] = set()
        if paths == [()] and self._is_absent and not self._exists_now():
            return new
        for path, request in self._begin("get_children", paths):
            try:
                names = self._children_of(path, request)
            except PermissionError as error:
                self._deny(path, error)
                names = set()
            before = self._children.get(path, set())
            for name in before - names:
                self._forget((*path, name))
            if self._is_known(path):
                self._children[path] = names
                new |= {(*path, name) for name in names - before}
        return new

    def _children_of(self, path: Path, request: Any) -> set[str]:
        try:
            names = set(self._zookeeper.end(request))
        except refusals.NoNodeError:
            if path:
                self._forget(path)
                return set()
            if not self._exists_now():
                return set()
            ((path, request),) = self._begin("get_children", [()])
            return self._children_of(path, request)
        self.denied.discard(path)
        return names

    def _exists_now(self) -> bool:
        """Return True if the root exists by now; otherwise set a watch for its creation."""
        self._is_absent = not self._zookeeper.request("exists", self.root, watch=self._on_event)
        return not self._is_absent

    def _read_leaves(self, paths: list[Path]) -> None:
        for path, request in self._begin("get", paths):
            try:
                data, status = self._zookeeper.end(request)
            except refusals.NoNodeError:
                self._forget(path)
            except PermissionError as error:
                self._deny(path, error)
                self._drop_leaf(path)
            else:
                self.denied.discard(path)
                known = self._leaves.get(path)
                if known is None or known.written != status.mzxid:
                    self._leaves[path] = _Leaf(status.mzxid, self._parse(self.path(path), data))
                    self._is_changed = True

    def _drop_leaf(self, path: Path) -> None:
        if self._leaves.pop(path, None) is not None:
            self._is_changed = True

    def _begin(self, request: str, paths: Iterable[Path]) -> list[tuple[Path, Any]]:
        # Always the same callable, so that ZooKeeper's client holds one watch per node
        return [(path, self._zookeeper.begin(request, self.path(path), watch=self._on_event)) for path in paths]

    def _forget(self, path: Path) -> None:
        self._is_cut = True
        self.denied = {each for each in self.denied if each[: len(path)] != path}
        self._children.get(path[:-1], set()).discard(path[-1])
        for each in [each for each in self._children if each[: len(path)] == path]:
            del self._children[each]

    def _deny(self, path: Path, error: PermissionError) -> None:
        if not self._optional:
            raise error
        if path not in self.denied:
            self.denied.add(path)
            log.warning("can't read %s, which is ignored: %s", self.path(path), error)

    def _on_event(self, event: WatchedEvent) -> None:
        if event.path is not None:
            with self._marking:
                self._marked.add(tuple(filter(None, event.path.removeprefix(self.root).split("/"))))
            self._changed()
