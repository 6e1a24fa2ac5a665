"""The state store: desired state, results of requests, rollouts, traffic plans and failures, as JSON objects by path.

    wanted/<model>/<version>        the desired state: {"instances": 2, "path": "/user/me/dga", "memory": 512,
                                    "content": "/.content/<sha256>", "epoch": 1571163620277}
    assigned/<model>/<instance>     an instance and its owner; see maas_runtime.service.assignments
    agents/<id>                     a host that runs instances; see maas_runtime.service.agent
    requests/<id>                   {"wanted": 2}  or  {"refused": "the reason"}, with the token of the request's note
    notes/n-<number>                our own data about a request in the queue; see stellar.maas.requests
    replace/<id>, rollouts/<model>  replace requests and the last rollout of a model; see maas_runtime.service.rollouts
    traffic/<model>                 the traffic plan of a model; see stellar.maas.routing
    phases/<model>/<id>             the phase of an instance; see maas_runtime.state.phases
    turns/<model>                   a claim of one instance of a model; see maas_runtime.runner.liveness
    failures/<model>/<version>      {"count": 3, "last": "the reason", "at": 1571163620277}

It is separate from the registry and the queue, because Metron's own programs read every node there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from maas_runtime.state.directory_view import DirectoryView
from stellar.maas.registries.directory import is_locked, resolve_path, write_atomically
from stellar.maas.registries.file_tree import FileTree
from stellar.maas.requests import Item
from stellar.maas.schema import EXT_PATH, Model

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]
Changes = Mapping[str, JsonObject | None]
"""New objects by path; None removes an object."""
PUBLISHED_BYTES = 1024  # of the file of a published object, so that it can be overwritten when the disk is full
Paths = tuple[str, ...]
"""The path of an object, relative to another one."""
Notify = Callable[[str], None]


def ignore_status(_: str) -> None:
    """Ignore a status notification."""


class StateView(Protocol):
    """The objects at one depth below a path, by their relative path; only changed ones are read again."""

    def read(self) -> Mapping[Paths, JsonObject | None]:
        """Return the current objects, None for an invalid one; the same mapping as long as nothing changed.

        Raises OSError if they cannot be read.
        """

    def mark(self, *path: str) -> None:
        """Read an object again at the next read, because this process changed it."""

    def is_complete(self) -> bool:
        """Return whether all objects could be read."""

    def close(self) -> None:
        """End following."""


class StateStore(Protocol):
    """Small JSON objects by path, which survive the process that wrote them. Thread-safe."""

    def read(self, path: str) -> JsonObject | None:
        """Return the object at a path, or None."""

    def write(self, path: str, entry: JsonObject | None) -> None:
        """Store an object at a path, durably; None removes it.

        Raises OSError if it cannot be written.
        """

    def commit(self, changes: Changes, item: Item | None = None) -> bool:
        """Store several changes and discard an item of the queue, durably and in one step.

        In a directory the changes are stored in order, and the item is discarded last.

        Returns False, without a change, if the item is not in the queue any more. Raises OSError if the changes cannot
        be written, or if they require the leadership and it was lost.
        """

    def names(self, path: str) -> list[str]:
        """Return the names directly below a path, sorted; empty if the path does not exist."""

    def publish(self, path: str, entry: JsonObject) -> None:
        """Store an object that ends with this process. Idempotent; repeat it, as it also ends with a session."""

    def read_published(self, path: str) -> dict[str, JsonObject]:
        """Return the published objects directly below a path whose processes live, by name."""

    def claim(self, path: str) -> bool:
        """Claim a path until this process ends, unless another process has it; return whether this process has it.

        Raises OSError if it cannot be claimed.
        """

    def unpublish(self, path: str) -> None:
        """Remove an object that this process published, or give up its claim. Idempotent. Raises OSError."""

    def follow(self, path: str, depth: int, changed: Callable[[], object]) -> StateView:
        """Return a view of the objects at a depth below a path.

        changed: called in another thread when the view may have changed, if the store notices it
        """

    def watch(self, path: str, changed: Callable[[], object] = lambda: None) -> Callable[[], JsonObject | None]:
        """Return a function that returns the current object at a path, or None; it reads only a changed one.

        changed: called in another thread when the object may have changed, if the store notices it

        While the store cannot be reached, the function returns the last object.
        """

    def copy(self) -> StateStore:
        """Return an object for the same store whose changes do not require the leadership."""

    @contextmanager
    def lead(self, stopping: Callable[[], bool], notify: Notify = ignore_status) -> Iterator[Callable[[], bool]]:
        """Hold the leadership of the service; the context value returns True while it is held.

        stopping: returns True to end all waiting
        notify: called with "waiting" if another service leads and this one waits for its end
        """

    def is_led(self) -> bool:
        """Return whether a service leads."""

    @property
    def is_shared(self) -> bool:
        """True if services on several hosts may use the store."""


def failures_path(model: Model) -> str:
    """Return the path of the failures of a model version."""
    return f"failures/{model.name}/{model.version}"


def record_failure(state_store: StateStore, model: Model, reason: str) -> None:
    """Count a failure of an instance and store its reason."""
    path = failures_path(model)
    count = (state_store.read(path) or {}).get("count", 0)
    state_store.write(path, {"count": count + 1, "last": reason, "at": int(time.time() * 1000)})


def try_record_failure(state_store: StateStore, model: Model, reason: str) -> None:
    """Record a failure of an instance; log it if the store cannot be written."""
    try:
        record_failure(state_store, model, reason)
    except OSError as error:
        log.warning("%s: %s; the failure could not be recorded: %s", model, reason, error)


def parse_entry(data: bytes, where: str) -> JsonObject | None:
    """Return the JSON object in stored bytes; None, with a warning, if they are invalid."""
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError) as error:
        log.warning("invalid JSON at %s, ignored: %s", where, error)
        return None
    return entry if isinstance(entry, dict) else None


class DirectoryStateStore:
    """A state store in a registry directory of this machine.

    ext_root: path of the store in the registry, from its configuration
    """

    def __init__(self, directory: Path, ext_root: str = EXT_PATH) -> None:
        self._directory = directory
        self._root = resolve_path(directory, ext_root)
        self._lock = resolve_path(directory, f"{ext_root}/service.lock")
        self._locked: set[BinaryIO] = set()
        self._published: dict[str, _Published] = {}

    def read(self, path: str) -> JsonObject | None:
        try:
            data = (self._root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return parse_entry(data, str(self._root / path))

    def write(self, path: str, entry: JsonObject | None) -> None:
        if entry is None:
            (self._root / path).unlink(missing_ok=True)
        else:
            write_atomically(self._directory, self._root / path, json.dumps(entry).encode()).close()

    def commit(self, changes: Changes, item: Item | None = None) -> bool:
        for path, entry in changes.items():
            self.write(path, entry)
        if item is not None:
            item.discard()
        return True

    def names(self, path: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._root / path).iterdir())
        except FileNotFoundError:
            return []

    def publish(self, path: str, entry: JsonObject) -> None:
        known, data = self._published.get(path), json.dumps(entry).encode().ljust(PUBLISHED_BYTES)
        file = self._root / path
        is_current = known is not None and _is_same_file(known.handle, file)
        if known and is_current and known.data == data:
            return
        try:
            handle = write_atomically(self._directory, file, data, locked=self._locked)
        except OSError as error:
            if not (known and is_current and error.errno in (errno.ENOSPC, errno.EDQUOT)):
                raise
            if len(data) > len(known.data):
                raise
            os.pwrite(known.handle.fileno(), data.ljust(len(known.data)), 0)  # needs no space
            self._published[path] = _Published(data.ljust(len(known.data)), known.handle)
            return
        self._published[path] = _Published(data, handle)
        if known:
            self._locked.discard(known.handle)
            known.handle.close()

    def read_published(self, path: str) -> dict[str, JsonObject]:
        found = {name: self._read_locked(self._root / path / name) for name in self.names(path)}
        return {name: entry for name, entry in found.items() if entry is not None}

    def _read_locked(self, file: Path) -> JsonObject | None:
        """Return the object of a file, or None if its process has ended."""
        while True:
            try:
                handle = file.open("rb", buffering=0)
            except FileNotFoundError:
                return None
            with handle:
                entry = parse_entry(handle.read(), str(file))
                if is_locked(handle):
                    return entry
                if _is_same_file(handle, file):
                    return None
            # its process replaced it between the two

    def claim(self, path: str) -> bool:
        file = self._root / path
        if (known := self._published.get(path)) and _is_same_file(known.handle, file):
            return True
        self.unpublish(path)  # an object that another process removed
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = file.open("ab", buffering=0)
        if not _lock(handle) or not _is_same_file(handle, file):  # its owner lives, or is just unpublishing it
            handle.close()
            return False
        self._locked.add(handle)
        self._published[path] = _Published(b"", handle)
        return True

    def unpublish(self, path: str) -> None:
        if (known := self._published.pop(path, None)) is not None:
            if _is_same_file(known.handle, self._root / path):
                (self._root / path).unlink(missing_ok=True)
            self._locked.discard(known.handle)
            known.handle.close()

    def follow(self, path: str, depth: int, changed: Callable[[], object]) -> StateView:
        return DirectoryView(self._directory, FileTree(self._root / path, depth, _parse_file))

    def watch(self, path: str, changed: Callable[[], object] = lambda: None) -> Callable[[], JsonObject | None]:
        *parents, name = path.split("/")
        tree = FileTree(self._root.joinpath(*parents), 1, _parse_file)
        return lambda: tree.read(name).get((name,))

    def copy(self) -> StateStore:
        return self

    @contextmanager
    def lead(self, stopping: Callable[[], bool], notify: Notify = ignore_status) -> Iterator[Callable[[], bool]]:
        self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock.open("ab") as handle:
            deadline = time.monotonic() + 0.5  # `is_led` of another process holds the lock only briefly
            is_waiting = False
            while not (is_leading := _lock(handle)) and not stopping():
                if time.monotonic() > deadline and not is_waiting:
                    is_waiting = True
                    log.info("another service runs on %s; waiting for its end", self._directory)
                    notify("waiting")
                time.sleep(0.02)
            yield lambda: is_leading  # a file lock cannot be lost

    @property
    def is_shared(self) -> bool:
        return False

    def is_led(self) -> bool:
        try:
            with self._lock.open("rb", buffering=0) as handle:
                return is_locked(handle)
        except FileNotFoundError:
            return False


def _parse_file(path: str, data: bytes) -> JsonObject | None:
    return parse_entry(data, path)


class _Published(NamedTuple):
    """An object that ends with this process, and its locked file."""

    data: bytes
    handle: BinaryIO


def _is_same_file(handle: BinaryIO, file: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle.fileno()), file.stat())
    return False


def _lock(handle: BinaryIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
