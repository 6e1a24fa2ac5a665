"""Why a deployment is not ready: the phases of its instances, and their failures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from maas_runtime.state.phases import InstancePhase, read_phases
from maas_runtime.state.store import StateStore, failures_path
from stellar.maas.schema import Model

UPDATE_SECONDS = 0.5
PRINT_SECONDS = 1.0  # before a reason is printed, because every instance needs a moment to start
MAX_REASONS = 5


def count_failures(state_store: StateStore, model: Model) -> int:
    """Return the number of failures of a version so far."""
    return int((state_store.read(failures_path(model)) or {}).get("count", 0))


class WaitReport:
    """A report of why a version is not ready, while a command waits for it.

    failures: number of failures before the command
    """

    def __init__(
        self, state_store: StateStore, model: Model, failures: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state_store, self._model, self._failures = state_store, model, failures
        self._clock = clock
        self._next_update = 0.0
        self._printed: set[str] = set()

    def update(self) -> None:
        """Print new reasons for people at a terminal, at most twice a second."""
        if not sys.stderr.isatty() or self._clock() < self._next_update:
            return
        self._next_update = self._clock() + UPDATE_SECONDS
        now = time.time()
        for phase in self._read():
            if phase.reason and phase.reason not in self._printed and now - phase.since >= PRINT_SECONDS:
                self._printed.add(phase.reason)
                print(f"{self._model}: {phase.describe(now)}", file=sys.stderr)

    def explain(self) -> str:
        """Return the reasons, each after a semicolon; empty if there is none."""
        phases = [phase.describe() for phase in self._read() if phase.reason or phase.phase != "ready"]
        reasons = list(dict.fromkeys(phases))[:MAX_REASONS]
        failure = self._state_store.read(failures_path(self._model)) or {}
        if count_failures(self._state_store, self._model) > self._failures:
            reasons.append(f"the last failure: {failure.get('last', '')}")
        return "".join(f"; {reason}" for reason in reasons)

    def _read(self) -> list[InstancePhase]:
        return read_phases(self._state_store, *self._model)
