"""The state store: desired state, results of requests, rollouts, traffic plans and failures, as JSON objects by path.

    wanted/<model>/<version>        {"instances": 2, "path": "/user/me/dga", "memory": 512}
    requests/<item>                 {"wanted": 2}  or  {"refused": "the reason"}
    replace/<id>, rollouts/<model>  replace requests and the last rollout of a model; see maas_runtime.service.rollouts
    traffic/<model>                 the traffic plan of a model; see stellar.maas.routing
    failures/<model>/<version>      {"count": 3, "last": "the reason", "at": 1571163620277}

It is separate from the registry and the queue, because Metron's own programs read every node there.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from maas_runtime.errors import DeployError
from stellar.maas.registries.directory import is_locked, resolve_path, write_atomically
from stellar.maas.schema import EXT_PATH, Model

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]
Notify = Callable[[str], None]


def ignore_status(_: str) -> None:
    """Ignore a status notification."""


class StateStore(Protocol):
    """Small JSON objects by path, which survive the process that wrote them. Thread-safe."""

    def read(self, path: str) -> JsonObject | None:
        """Return the object at a path, or None."""

    def write(self, path: str, entry: JsonObject | None) -> None:
        """Store an object at a path, durably; None removes it.

        Raises OSError if it cannot be written.
        """

    def names(self, path: str) -> list[str]:
        """Return the names directly below a path, sorted; empty if the path does not exist."""

    @contextmanager
    def lead(self, stopping: Callable[[], bool], notify: Notify = ignore_status) -> Iterator[Callable[[], bool]]:
        """Hold the leadership of the service; the context value returns True while it is held.

        stopping: returns True to end all waiting
        notify: called with "waiting" if another service leads and this one waits for its end
        Raises DeployError if another service leads and the store cannot wait for its end.
        """

    def is_led(self) -> bool:
        """Return whether a service leads."""


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

    def names(self, path: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._root / path).iterdir())
        except FileNotFoundError:
            return []

    @contextmanager
    def lead(self, stopping: Callable[[], bool], notify: Notify = ignore_status) -> Iterator[Callable[[], bool]]:
        self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock.open("ab") as handle:
            deadline = time.monotonic() + 0.5  # `is_led` of another process holds the lock only briefly
            while not _lock(handle):
                if time.monotonic() > deadline:
                    raise DeployError(f"a service already runs on {self._directory}")
                time.sleep(0.02)
            yield lambda: True  # a file lock cannot be lost

    def is_led(self) -> bool:
        try:
            with self._lock.open("rb", buffering=0) as handle:
                return is_locked(handle)
        except FileNotFoundError:
            return False


def _lock(handle: BinaryIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
