"""The agent of a host: it runs the instances that are assigned to it, whichever service leads.

    <directory>/agent         locked while the agent lives; contains its id, which stays the same
    agents/<id>               {"host": "node1", "memory": 16000}, published while the agent lives

A host and a registry directory have one agent. A further service there is its stand-by: it waits for the lock.

Each turn compares the stored assignments with the instances that run here, and needs no memory of earlier turns:

- An assignment without an instance is started; if that fails, it is stored as ended and refused, with the reason.
- An instance whose assignment is ending is stopped. It stops by itself, too, even while no agent runs.
- An instance that has ended is stored as ended; the leader decides whether another one is needed.
- An instance whose assignment is missing goes on, and its assignment is stored again. The host is published only after
  the first turn, so who sees the host also sees all instances that run there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import sleep

from maas_runtime.deployers.assigning import AGENTS
from maas_runtime.deployers.local import LocalInstances
from maas_runtime.errors import DeployError
from maas_runtime.state.assignments import Assignment, AssignmentStore
from maas_runtime.state.phases import remove_phase
from maas_runtime.state.store import StateStore
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

TURN_SECONDS = 0.5  # between turns without a change
WORKERS = 8


@contextmanager
def lock_agent(directory: Path, stopping: Callable[[], bool]) -> Iterator[str | None]:
    """Wait for the lock of a directory's agent, and hold it; the context value is the agent's id.

    The value is None if `stopping()` came first.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(directory / "agent", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        is_waiting = False
        while not (is_locked := _lock(file.fileno())) and not stopping():
            if not is_waiting:
                log.info("another service runs the instances in %s; waiting for its end", directory)
                is_waiting = True
            sleep(0.1)
        if not is_locked:
            yield None
            return
        if not (id := file.read().strip()):
            id = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
            file.write(f"{id}\n")
            file.flush()
        yield id


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_free_memory() -> int:
    """Return the memory that is available on this machine now, in MB."""
    with suppress(OSError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10
    return (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 20


def find_devices() -> list[str]:
    """Return the indices of the NVIDIA GPUs of this machine."""
    found = (re.fullmatch(r"nvidia([0-9]+)", name) for name in os.listdir("/dev"))
    return sorted((match[1] for match in found if match), key=int)


class Agent:
    """The agent of this host.

    id: see `lock_agent`
    memory: offered for instances, in MB
    state_store: must not require the leadership for changes
    report: called with the model and the reason when an instance fails
    """

    def __init__(
        self,
        id: str,
        instances: LocalInstances,
        state_store: StateStore,
        report: Callable[[Model, str], None],
        memory: int,
    ) -> None:
        self.id = id
        self._instances, self._state_store, self._report, self._memory = instances, state_store, report, memory
        self._awake = threading.Event()
        instances.changed = self._awake.set
        self._assigned = AssignmentStore(state_store, self._awake.set)
        self._active: dict[str, Future[None]] = {}  # starting and stopping instances
        self._unstored: dict[str, Assignment] = {}  # ended instances whose end could not be stored yet
        self._last_error = ""

    def run(self, stopping: Callable[[], bool], ready: threading.Event, *, leave_running: bool = False) -> None:
        """Run the instances until `stopping()` returns True; then end them, unless `leave_running`.

        ready: set when the host is published
        """
        with ThreadPoolExecutor(WORKERS, "instance") as pool:
            while not stopping():
                if self.take_turn(pool):
                    ready.set()
                self._awake.wait(TURN_SECONDS)
                self._awake.clear()
        self._finish(leave_running)
        self._assigned.close()
        self._instances.close()

    def take_turn(self, pool: ThreadPoolExecutor) -> bool:
        """Compare assignments and instances once; start and stop instances in the pool. Return True if it succeeded."""
        try:
            self._collect_ended()
            mine = self._read_mine()
            self._restore(mine)
            mine = self._store_ended(mine)
            self._state_store.publish(
                f"{AGENTS}/{self.id}",
                {"host": self._instances.host, "memory": self._memory, "devices": list(self._instances.devices)},
            )
            self._reconcile(mine, pool)
        except OSError as error:  # instances go on
            self._log_error(str(error))
        except Exception:  # an unexpected error must not end the agent
            log.exception("the agent's turn failed")
        else:
            self._last_error = ""
            return True
        return False

    def _log_error(self, message: str) -> None:
        if message != self._last_error:
            log.warning("%s", message)
        self._last_error = message

    def _read_mine(self) -> dict[str, Assignment]:
        found = self._assigned.read()
        if not self._assigned.is_complete:
            raise OSError("cannot read all assignments; no instance is started or ended")
        return {each.id: each for each in found if each.owner == self.id}

    def _collect_ended(self) -> None:
        for assignment, reason in self._instances.collect_ended():
            remove_phase(self._state_store, assignment.model, assignment.id)
            self._unstored[assignment.id] = replace(assignment, ended=True, reason=reason or "")
            if reason is not None:
                self._report(assignment.model, reason)

    def _restore(self, mine: Mapping[str, Assignment]) -> None:
        """Store again the missing assignments of running instances."""
        for id, assignment in self._instances.running().items():
            if id in mine or id in self._unstored or self._state_store.read(assignment.path_in_store) is not None:
                continue
            log.warning("%s: the assignment of %s is missing; storing it again", assignment.model, id)
            self._assigned.write(replace(assignment, owner=self.id, restored=True))

    def _store_ended(self, mine: Mapping[str, Assignment]) -> dict[str, Assignment]:
        """Store the instances that have ended; return the other assignments."""
        others = {id: assignment for id, assignment in mine.items() if id not in self._unstored}
        for id, ended in list(self._unstored.items()):
            if (stored := mine.get(id)) is not None:  # else it was deleted, and nothing is to be stored
                self._assigned.write(replace(stored, ended=True, reason=ended.reason, refused=ended.refused))
            del self._unstored[id]
        return others

    def _reconcile(self, mine: Mapping[str, Assignment], pool: ThreadPoolExecutor) -> None:
        self._active = {id: future for id, future in self._active.items() if not future.done()}
        running = self._instances.running()
        for id, assignment in mine.items():
            if assignment.ended or id in self._active or id in self._unstored:
                continue
            if assignment.is_active and id not in running:
                self._active[id] = pool.submit(self._start, assignment)
            elif assignment.ending and id in running:
                self._active[id] = pool.submit(self._instances.stop, id)
            elif assignment.ending:
                self._assigned.write(replace(assignment, ended=True))

    def _start(self, assignment: Assignment) -> None:
        try:
            self._instances.start(assignment)
        except DeployError as error:
            self._refuse(assignment, str(error))
        except Exception as error:  # must be stored: nothing else reports it
            log.exception("%s: starting %s failed", assignment.model, assignment.id)
            self._refuse(assignment, f"{type(error).__name__}: {error}")

    def _refuse(self, assignment: Assignment, reason: str) -> None:
        log.warning("%s: %s", assignment.model, reason)
        self._report(assignment.model, reason)
        self._unstored[assignment.id] = replace(assignment, ended=True, reason=reason, refused=True)
        self._awake.set()

    def _finish(self, leave_running: bool) -> None:
        """End the host: no instance is assigned to it any more."""
        try:
            self._state_store.unpublish(f"{AGENTS}/{self.id}")
        except OSError as error:
            self._log_error(str(error))
        if leave_running:
            return
        running = list(self._instances.running())
        with ThreadPoolExecutor(max(1, len(running)), "instance") as pool:
            list(pool.map(self._instances.stop, running))
        try:
            self._collect_ended()
            self._store_ended(self._read_mine())
        except OSError as error:  # the next agent stores it
            self._log_error(str(error))
