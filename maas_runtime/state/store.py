"""What the service writes down: what is wanted, what became of each request, what failed.

    wanted/<model>/<version>        {"instances": 2, "path": "/user/me/dga", "memory": 512}
    requests/<item>                 {"wanted": 2}  or  {"refused": "the reason"}
    replace/<id>, rollouts/<model>  what is to replace what, and how far that has got; see maas_runtime.service.rollouts
    traffic/<model>                 where calls go that name no version; see stellar.maas.routing
    failures/<model>/<version>      {"count": 3, "last": "the reason", "at": 1571163620277}

It stands beside the registry and the queue, never within them, for Metron's own programs read everything there.
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

Note = dict[str, Any]
Tell = Callable[[str], None]


def nothing(_: str) -> None:
    """Tell nobody."""


class StateStore(Protocol):
    """Small JSON objects by path, which outlive whoever wrote them. Safe to use from many threads."""

    def read(self, path: str) -> Note | None:
        """The note at a path, if there is one."""

    def write(self, path: str, note: Note | None) -> None:
        """Put a note at a path; None takes it away. It is kept when this returns.

        Raises OSError if it can't be written.
        """

    def names(self, path: str) -> list[str]:
        """What stands below a path, sorted."""

    @contextmanager
    def lead(self, stopping: Callable[[], bool], tell: Tell = nothing) -> Iterator[Callable[[], bool]]:
        """Be the one service meanwhile. What this gives tells whether that is still so, as long as that can be known.

        stopping: ends all waiting
        tell: called with "waiting" if another service leads and its end is waited for
        Raises DeployError if another one is the service and its end can't be waited for.
        """

    def is_led(self) -> bool:
        """Whether a service runs."""


def failures_of(model: Model) -> str:
    """Where the failures of a model's instances are noted."""
    return f"failures/{model.name}/{model.version}"


def failed(notes: StateStore, model: Model, reason: str) -> None:
    """Write down that an instance failed."""
    path = failures_of(model)
    count = (notes.read(path) or {}).get("count", 0)
    notes.write(path, {"count": count + 1, "last": reason, "at": int(time.time() * 1000)})


def note_failure(notes: StateStore, model: Model, reason: str) -> None:
    """Write down that an instance failed, if that can be done now; else it stands in the log alone."""
    try:
        failed(notes, model, reason)
    except OSError as error:
        log.warning("%s: %s; that can't be written down: %s", model, reason, error)


def read_note(data: bytes, where: str) -> Note | None:
    """The note that these bytes hold. What is none counts as absent, and a warning names it."""
    try:
        note = json.loads(data)
    except (ValueError, RecursionError) as error:
        log.warning("the note %s can't be read, and counts as none: %s", where, error)
        return None
    return note if isinstance(note, dict) else None


class DirectoryStateStore:
    """Notes in a registry directory of this machine.

    ext_root: the path of our notes in the registry, by its configuration
    """

    def __init__(self, directory: Path, ext_root: str = EXT_PATH) -> None:
        self._directory = directory
        self._root = resolve_path(directory, ext_root)
        self._lock = resolve_path(directory, f"{ext_root}/service.lock")

    def read(self, path: str) -> Note | None:
        try:
            data = (self._root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return read_note(data, str(self._root / path))

    def write(self, path: str, note: Note | None) -> None:
        if note is None:
            (self._root / path).unlink(missing_ok=True)
        else:
            write_atomically(self._directory, self._root / path, json.dumps(note).encode()).close()

    def names(self, path: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._root / path).iterdir())
        except FileNotFoundError:
            return []

    @contextmanager
    def lead(self, stopping: Callable[[], bool], tell: Tell = nothing) -> Iterator[Callable[[], bool]]:
        self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock.open("ab") as handle:
            deadline = time.monotonic() + 0.5  # one who only asks whether a service runs is gone by then
            while not _lock(handle):
                if time.monotonic() > deadline:
                    raise DeployError(f"a service runs already on {self._directory}")
                time.sleep(0.02)
            yield lambda: True  # a lock of the system is not lost

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
