"""The monitor of an instance's script, memory and disk, and the publisher of what it finds."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import Protocol

from maas_runtime.runner.processes import ModelProcesses
from maas_runtime.runner.reasons import MEMORY_FIX, explain_end, find_full_disk
from maas_runtime.state.phases import Phase, Problem

MEMORY_SECONDS = 0.25  # between samples of the memory, without a control group
GROUP_SECONDS = 1.0  # between checks of a control group
DISK_SECONDS = 2.0


class ModelFailed(Exception):
    """The instance did not become ready, or ended by itself; str() gives the reason and the fix."""


class Publisher(Protocol):
    """Publishes the phase of an instance."""

    def publish(self, phase: Phase, problem: Problem | None = None) -> None:
        """Publish a phase and the problem of the instance in it, without waiting."""


class InstanceMonitor:
    """A monitor of one instance.

    script: name of the script
    folder, errors: the directory of the instance, and the file with the error output of the script
    memory: limit in MB; 0 for no limit

    interval: the seconds between two checks; None if a check is due only when a child process has ended
    """

    def __init__(
        self, script: str, folder: Path, errors: Path, memory: int, processes: ModelProcesses, publisher: Publisher
    ) -> None:
        self.processes = processes
        self._script, self._folder, self._errors, self._memory = script, folder, errors, memory
        self._publisher = publisher
        seconds = MEMORY_SECONDS if processes.is_memory_sampled else GROUP_SECONDS
        self.interval = seconds if memory else None
        self._next_memory = self._next_disk = 0.0
        self._full_disk: Problem | None = None

    def publish(self, phase: Phase, problem: Problem | None = None) -> None:
        """Publish the phase of the instance, with a full disk as its problem before any other."""
        if monotonic() >= self._next_disk:
            self._next_disk = monotonic() + DISK_SECONDS
            self._full_disk = find_full_disk(self._folder)
        self._publisher.publish(phase, self._full_disk or problem)

    def check(self, when: str) -> None:
        """Raise ModelFailed if the script ended or exceeds its memory limit.

        when: phase for the message, such as "while it served"
        """
        if self.processes.was_killed_for_memory():
            raise ModelFailed(Problem(f"it exceeded its memory limit of {self._memory} MB", MEMORY_FIX))
        if (status := self.processes.status) is not None:
            raise ModelFailed(self._explain_end(status, when))
        self.processes.reap()
        if self._memory and self.processes.is_memory_sampled and monotonic() >= self._next_memory:
            self._next_memory = monotonic() + MEMORY_SECONDS
            self._check_memory()

    def _check_memory(self) -> None:
        used = self.processes.measure_memory() >> 20
        if used > self._memory:  # shared memory may have been counted several times
            used = self.processes.measure_unshared_memory() >> 20
        if used > self._memory:
            reason = f"it used {used} MB of memory, above its limit of {self._memory} MB"
            raise ModelFailed(Problem(reason, MEMORY_FIX))

    def _explain_end(self, status: int, when: str) -> Problem:
        last_line = self._read_last_error_line()
        problem = explain_end(self._script, status, when, last_line, self.processes.list_pids())
        full = find_full_disk(self._folder)
        return problem if full is None else Problem(f"{problem.reason}; {full.reason}", full.fix)

    def _read_last_error_line(self) -> str:
        self.processes.logs.settle()
        with self._errors.open("rb") as errors:
            errors.seek(max(0, os.fstat(errors.fileno()).st_size - 2000))
            lines = errors.read().decode(errors="replace").split("\n")
        lines = [line.strip() for line in lines if line.strip()]
        # For terminals
        return "".join(char if char.isprintable() else "?" for char in lines[-1]) if lines else ""
