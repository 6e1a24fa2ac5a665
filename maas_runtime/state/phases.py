"""The phases of instances, as their runners publish them.

    phases/<model>/<id>     {"version": "1.0", "phase": "starting", "reason": "it wrote no endpoint.dat yet",
                             "fix": "the script must write …", "since": 1571163620277, "host": "node1", "pid": 4711}

An instance is `starting` until it is registered, `ready` until it is unregistered, then `draining` and `ending`. The
reason says why it is not ready or, of a ready one, what is wrong with it; it is empty if nothing is.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NamedTuple, Self

from maas_runtime.state.store import JsonObject, StateStore
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

Phase = Literal["starting", "ready", "draining", "ending"]

PHASES = "phases"
MAX_CHARACTERS = 400  # of a reason and of a fix
REPEAT_SECONDS = 30.0  # between two writes of the same phase, which may have been removed with its session
CLOSE_SECONDS = 2.0


class Problem(NamedTuple):
    """A reason, and how to fix it."""

    reason: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.reason}; {self.fix}" if self.fix else self.reason


@dataclass(frozen=True)
class InstancePhase:
    """The published phase of an instance.

    since: when the phase or its reason began, in seconds since 1970
    """

    model: Model
    id: str
    phase: str
    reason: str
    fix: str
    since: float
    host: str
    pid: int

    def describe(self, now: float | None = None) -> str:
        """Return the phase, its reason with its duration, and the fix."""
        seconds = max(0.0, (time.time() if now is None else now) - self.since)
        reason = f": {Problem(f'{self.reason} ({seconds:.0f} s)', self.fix)}" if self.reason else ""
        return f"{self.phase}{reason}"


def read_phases(state_store: StateStore, name: str, version: str | None = None) -> list[InstancePhase]:
    """Return the phases of the living instances of a model, or of one version, by instance id.

    Raises OSError if they cannot be read.
    """
    entries = sorted(state_store.read_published(f"{PHASES}/{name}").items())
    phases = [_parse(name, id, entry) for id, entry in entries]
    return [phase for phase in phases if version is None or phase.model.version == version]


def remove_phase(state_store: StateStore, model: Model, id: str) -> None:
    """Remove the phase of an instance whose runner has ended, which in a shared store ends with its session."""
    if state_store.is_shared:
        return
    try:
        state_store.write(f"{PHASES}/{model.name}/{id}", None)
    except OSError as error:  # no one reads it, because its owner has ended
        log.info("cannot remove the phase of %s: %s", id, error)


def _parse(name: str, id: str, entry: JsonObject) -> InstancePhase:
    """Return a phase of an entry, in which any value may be missing or invalid."""
    since, pid = entry.get("since"), entry.get("pid")
    return InstancePhase(
        Model(name, _clean(entry.get("version"))),
        _clean(id),
        _clean(entry.get("phase")),
        _clean(entry.get("reason")),
        _clean(entry.get("fix")),
        since / 1000 if isinstance(since, int) else time.time(),
        _clean(entry.get("host")),
        pid if isinstance(pid, int) else 0,
    )


def _clean(value: object) -> str:
    text = value[:MAX_CHARACTERS] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text)


class PhasePublisher:
    """Publishes the phase of one instance of this process, in a thread, because the state store may not respond.

    clock: seconds since 1970
    """

    def __init__(
        self, state_store: StateStore, model: Model, id: str, host: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._state_store, self._path = state_store, f"{PHASES}/{model.name}/{id}"
        self._clock = clock
        self._fixed = {"version": model.version, "host": host or socket.gethostname(), "pid": os.getpid()}
        self._current: tuple[str, Problem] | None = None
        self._entry: JsonObject | None = None
        self._last_error = ""
        self._changed, self._is_closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="phase", daemon=True)

    def publish(self, phase: Phase, problem: Problem | None = None) -> None:
        """Publish a phase and its problem, soon; do nothing if they are unchanged."""
        if (current := (phase, problem or Problem(""))) == self._current:
            return
        self._current = current
        reason, fix = (text[:MAX_CHARACTERS] for text in current[1])
        self._entry = {
            **self._fixed,
            "phase": phase,
            "reason": reason,
            "fix": fix,
            "since": int(self._clock() * 1000),
        }
        self._changed.set()

    def _run(self) -> None:
        while not self._is_closed:
            self._changed.wait(REPEAT_SECONDS)
            self._changed.clear()
            if self._entry is not None and not self._is_closed:
                self._write(self._entry)

    def _write(self, entry: JsonObject) -> None:
        try:
            self._state_store.publish(self._path, entry)
            self._last_error = ""
        except OSError as error:
            if str(error) != self._last_error:
                log.warning("cannot publish the phase of the instance: %s", error)
            self._last_error = str(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_closed = True
        self._changed.set()
        self._thread.join(CLOSE_SECONDS)
        try:
            self._state_store.unpublish(self._path)
        except OSError as error_of_store:
            log.info("the phase of the instance stays until its session expires: %s", error_of_store)
