"""Assignments: which host runs which instance, for all services to see.

    assigned/<model>/<id>    {"version": "1.0", "owner": "node1-3f2a9c04", "epoch": 1571163620277, "memory": 512,
                              "path": "/user/me/dga", "content": "/.content/<sha256>"}

An assignment passes through these states, and each process makes one kind of change only:

    created      by the leader, for an agent that shall start the instance. `epoch` is that of the desired state.
    restored     by the owner, if the node of an instance that it runs is missing: someone deleted it, or ZooKeeper lost
                 its data. The leader adopts the instance.
    ending       by the leader, `"ending": <epoch>`: the desired state of that epoch does not include the instance. This
                 is the only evidence on which an instance ends. Its runner watches the node, so it drains itself even
                 if its service does not run.
    ended        by the owner, `"ended": true`, with the reason of a failure; `"refused": true` if it was not started.
    deleted      by the leader, when it is ended.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from maas_runtime.errors import DeployError
from maas_runtime.state.store import JsonObject, Paths, StateStore
from maas_runtime.store.content import require_content_path
from stellar.maas.schema import Model, validate_name
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

ASSIGNED = "assigned"
MAX_MEMORY, MAX_PATH = 1 << 24, 4096


@dataclass(frozen=True)
class Assignment:
    """An instance that an agent runs.

    owner: id of the agent
    epoch: of the desired state for which it was created
    path, content: the model's files, as in Deployment
    ending: epoch of the desired state that does not include it; 0 while it is desired
    ended: True when none of its processes runs
    reason: reason of a failure; empty if it ended as desired
    refused: True if the owner could not start it, so that another host may
    restored: True until the leader has adopted it
    warm_up: as in Deployment
    restarts: number of failed instances that it replaces, one after the other
    devices: the GPUs of its host that it uses, as in CUDA_VISIBLE_DEVICES
    """

    model: Model
    id: str
    owner: str
    epoch: int
    path: str
    content: str
    memory: int = 0
    ending: int = 0
    ended: bool = False
    reason: str = ""
    refused: bool = False
    restored: bool = False
    warm_up: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    restarts: int = 0

    @property
    def is_active(self) -> bool:
        """Return whether it is desired and has not ended."""
        return not self.ending and not self.ended

    @property
    def path_in_store(self) -> str:
        return f"{ASSIGNED}/{self.model.name}/{self.id}"

    def end_by(self, epoch: int) -> Assignment:
        """Return it as not included in the desired state of an epoch, which must be greater than its own."""
        return replace(self, ending=max(epoch, self.epoch + 1))

    def to_object(self) -> JsonObject:
        """Return the stored form; the names of model and instance are in the path."""
        optional = {
            "ending": self.ending,
            "ended": self.ended,
            "reason": self.reason,
            "refused": self.refused,
            "restored": self.restored,
            "warm_up": list(self.warm_up),
            "devices": list(self.devices),
            "restarts": self.restarts,
        }
        return {
            "version": self.model.version,
            "owner": self.owner,
            "epoch": self.epoch,
            "path": self.path,
            "content": self.content,
            "memory": self.memory,
            **{name: value for name, value in optional.items() if value},
        }

    @classmethod
    def from_object(cls, name: str, id: str, entry: Mapping[str, object]) -> Assignment:
        """Return the assignment in a stored object.

        Raises ValueError or DeployError, with the reason, for anything but a valid one.
        """
        version, owner = _string(entry, "version"), _string(entry, "owner")
        for value, subject in ((name, "model's name"), (version, "model's version"), (id, "instance's id")):
            validate_name(value, subject)
        if not id.replace("-", "").isalnum() or not id.isascii():
            raise ValueError(f"invalid id {quote(id)}: expected letters, digits and -")
        path = _string(entry, "path")
        if len(path) > MAX_PATH or not path.isprintable():
            raise ValueError(f"invalid path {path[:80]!r}: too long, or contains control characters")
        memory = _integer(entry, "memory")
        if memory > MAX_MEMORY:
            raise ValueError(f"invalid memory {memory}: expected at most {MAX_MEMORY:,} MB")
        return cls(
            Model(name, version),
            id,
            owner,
            _integer(entry, "epoch"),
            path,
            require_content_path(_string(entry, "content")),
            memory,
            _integer(entry, "ending", 0),
            entry.get("ended") is True,
            _string(entry, "reason", ""),
            entry.get("refused") is True,
            entry.get("restored") is True,
            _strings(entry, "warm_up"),
            _strings(entry, "devices"),
            _integer(entry, "restarts", 0),
        )


def make_id() -> str:
    """Return an id for a new instance; ids sort by their time."""
    return f"{time.time_ns() // 1_000_000:011x}{uuid.uuid4().hex[:5]}"


class AssignmentStore:
    """The stored assignments of all models, as one process sees and changes them; a context manager.

    Each object is parsed once, and an invalid one is logged once. Not thread-safe.

    changed: called in another thread when an assignment has changed, if the state store notices it
    """

    def __init__(self, state_store: StateStore, changed: Callable[[], object] = lambda: None) -> None:
        self._state_store = state_store
        self._view = state_store.follow(ASSIGNED, 2, changed)
        self._stored: Mapping[Paths, JsonObject | None] | None = None
        self._parsed: dict[Paths, tuple[JsonObject | None, Assignment | str]] = {}
        self._found: list[Assignment] = []

    def read(self) -> list[Assignment]:
        """Return the valid assignments, oldest first; the same list as long as nothing changed."""
        stored = self._view.read()
        if stored is not self._stored:
            self._found = self._parse(stored)
            self._stored = stored
        return self._found

    @property
    def is_complete(self) -> bool:
        """True if all assignments could be read."""
        return self._view.is_complete()

    def write(self, *assignments: Assignment) -> None:
        """Store assignments, replacing those with the same ids."""
        self._commit({each: each.to_object() for each in assignments})

    def delete(self, assignment: Assignment) -> None:
        """Delete an assignment."""
        self._commit({assignment: None})

    def close(self) -> None:
        """End following the assignments."""
        self._view.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _commit(self, changes: Mapping[Assignment, JsonObject | None]) -> None:
        if changes:
            self._state_store.commit({each.path_in_store: entry for each, entry in changes.items()})
        for assignment in changes:
            self._view.mark(assignment.model.name, assignment.id)

    def _parse(self, stored: Mapping[Paths, JsonObject | None]) -> list[Assignment]:
        parsed: dict[Paths, tuple[JsonObject | None, Assignment | str]] = {}
        for path, entry in stored.items():
            known = self._parsed.get(path)
            if known is not None and known[0] is entry:
                parsed[path] = known
                continue
            value = _parse(path, entry)
            parsed[path] = (entry, value)
            if isinstance(value, str) and (known is None or known[1] != value):
                log.warning("invalid assignment %s, ignored: %s", "/".join((ASSIGNED, *path)), value)
        self._parsed = parsed
        found = [each for _, each in parsed.values() if isinstance(each, Assignment)]
        return sorted(found, key=lambda assignment: assignment.id)


def _parse(path: Paths, entry: JsonObject | None) -> Assignment | str:
    if entry is None:
        return "expected a JSON object"
    try:
        name, id = path
        return Assignment.from_object(name, id, entry)
    except (ValueError, DeployError) as error:
        return str(error)


_MISSING = object()


def _string(entry: Mapping[str, object], name: str, default: object = _MISSING) -> str:
    value = entry.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a string, got {'nothing' if value is _MISSING else quote(value, 80)}")
    return value


def _integer(entry: Mapping[str, object], name: str, default: object = _MISSING) -> int:
    value = entry.get(name, default)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name}: expected an integer of at least 0, got {quote(value, 80)}")
    return value


def _strings(entry: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = entry.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name}: expected an array of strings, got {quote(value, 80)}")
    return tuple(value)
