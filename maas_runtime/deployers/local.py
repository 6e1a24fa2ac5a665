"""The instances that run as processes of this machine, each supervised by a runner.

    <directory>/<id>/instance.json      the assignment and its start time
    <directory>/<id>/lock               locked while the runner lives; contains the runner's process id
    <directory>/<id>/work/              the model's files; working directory of its script
    <directory>/<id>/stdout, stderr     output of the script        runner.log    log of the runner
    <directory>/failed/<id>/            the last failed instances, without the model's files

These directories are the only state, so a new process finds the instances of the previous one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from maas_runtime.deployers.process_watcher import ProcessWatcher
from maas_runtime.errors import DeployError
from maas_runtime.runner.fork_server import Child, ForkServer
from maas_runtime.runner.limits import Limits
from maas_runtime.runner.memory_limit import end_control_group
from maas_runtime.runner.processes import kill_marked
from maas_runtime.runner.runner import CONTAINER_ID, ENVIRONMENT, ERRORS, LOCK, OUTCOME, OUTPUT, WORK
from maas_runtime.state.assignments import Assignment
from maas_runtime.store.base import ModelStore
from stellar.maas.registries.directory import is_locked

log = logging.getLogger(__name__)

DESCRIPTION, RUNNER_LOG, FAILED = "instance.json", "runner.log", "failed"
MAX_FAILED = 10
ZOOKEEPER_MODULES = ("stellar.maas.registries.zookeeper_registrar", "maas_runtime.state.zookeeper")  # of a runner
SPARE_SECONDS = 5.0  # beyond the time-outs of the runner, before it is killed


@dataclass(frozen=True)
class LocalInstance:
    """An instance, as described by its directory."""

    folder: Path
    assignment: Assignment
    started: float

    @property
    def runner_pid(self) -> int | None:
        """The process id of the runner; None until it has started."""
        with suppress(FileNotFoundError):
            if (text := (self.folder / LOCK).read_text()).endswith("\n"):
                return int(text)
        return None

    def is_running(self) -> bool:
        with suppress(FileNotFoundError), (self.folder / LOCK).open("rb", buffering=0) as lock:
            return is_locked(lock)
        return False

    def read_failure(self) -> str | None:
        """Return the reason of a failure; None if the instance was stopped on request."""
        try:
            reason = json.loads((self.folder / OUTCOME).read_bytes())["failure"]
        except (FileNotFoundError, ValueError):
            return "its runner was killed"
        return None if reason is None else str(reason)


class EndedInstance(NamedTuple):
    """An instance of which no process runs, with the reason of its failure; None if it was stopped on request."""

    assignment: Assignment
    reason: str | None


@dataclass
class LocalInstances:
    """Starts and stops instances on this machine. Thread-safe; only one process uses a directory at a time.

    directory: parent of the instances' directories
    registry: options with which a runner opens the registry, such as `--registry=/var/maas`
    store: model store with the models' files
    environment: variables for the scripts of all models
    unregister: called with the model's name and the instance's id when its runner was killed
    host: host name under which clients reach this machine
    limits: time-outs and resource limits of the runners
    devices: GPUs that this host offers; without any, a model sees all that exist
    changed: called in another thread when an instance has ended
    """

    directory: Path
    registry: Sequence[str]
    store: ModelStore
    environment: Mapping[str, str] = field(default_factory=dict)
    unregister: Callable[[str, str], None] | None = None
    host: str = "127.0.0.1"
    limits: Limits = field(default_factory=Limits)
    devices: Sequence[str] = ()
    changed: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()
        for draft in self.directory.glob(".*"):  # left by a process that was killed while starting an instance
            shutil.rmtree(draft, ignore_errors=True)
        self._watcher = ProcessWatcher()
        is_zookeeper = any(option.startswith("--zk_quorum") for option in self.registry)
        self._fork_server = ForkServer(ZOOKEEPER_MODULES if is_zookeeper else ())
        self._instances: dict[str, LocalInstance] = {}
        self._ended: set[str] = set()
        self._unwatched: set[str] = set()
        for instance in read_instances(self.directory):
            self._adopt(instance)

    def running(self) -> dict[str, Assignment]:
        """Return the assignments of all instances that have not been collected as ended, by id, oldest first."""
        return {id: instance.assignment for id, instance in list(self._instances.items())}

    def start(self, assignment: Assignment) -> None:
        """Start an instance.

        Raises DeployError if its files cannot be fetched or its runner cannot be started.
        """
        if unknown := set(assignment.devices) - set(self.devices):
            raise DeployError(f"cannot start {assignment.model}: unknown GPU {', '.join(sorted(unknown))}")
        folder, draft = self.directory / assignment.id, self.directory / f".{assignment.id}"
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        started = time.time()
        try:
            script = self.store.script(assignment.content)
            draft.mkdir(mode=0o700)
            self.store.fetch(assignment.content, draft / WORK)
            (draft / OUTPUT).touch()
            (draft / ERRORS).touch()
            description = {"name": assignment.model.name, "started": started, **assignment.to_object()}
            (draft / DESCRIPTION).write_text(json.dumps(description))
            with (draft / LOCK).open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # the runner inherits the lock, so the instance never appears dead
                draft.rename(folder)
                runner = self._run(assignment, script, lock.fileno())
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DeployError(f"cannot start {assignment.model}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._instances[assignment.id] = LocalInstance(folder, assignment, started)
        if runner.exited is None:
            self._unwatched.add(assignment.id)
        else:
            self._watcher.watch_descriptor(runner.exited, lambda: self._record_end(assignment.id))
        log.info("%s: instance %s started", assignment.model, assignment.id)

    def stop(self, id: str) -> None:
        """Stop an instance, and return when it has ended; kill its runner if it does not end in time. Idempotent."""
        if (instance := self._instances.get(id)) is None:
            return
        self._send_signal(instance, signal.SIGTERM)
        deadline = time.monotonic() + self.limits.drain + self.limits.end + SPARE_SECONDS
        if not _await_end(instance, deadline):
            log.warning("%s: killing the runner of %s, which did not end in time", instance.assignment.model, id)
            self._send_signal(instance, signal.SIGKILL)
            _await_end(instance, time.monotonic() + SPARE_SECONDS)
        self._record_end(id)

    def collect_ended(self) -> list[EndedInstance]:
        """Clean up the instances that ended since the last call, and return them."""
        for id in [id for id in self._unwatched if (known := self._instances.get(id)) and not known.is_running()]:
            self._record_end(id)
        ended = []
        while self._ended:
            id = self._ended.pop()
            if (instance := self._instances.pop(id, None)) is not None:
                self._unwatched.discard(id)
                ended.append(EndedInstance(instance.assignment, self._clean_up(instance)))
        return ended

    def close(self) -> None:
        """End watching; the instances go on."""
        self._watcher.close()
        self._fork_server.close()

    # --- starting

    def _run(self, assignment: Assignment, script: str, lock: int) -> Child:
        environment = {ENVIRONMENT: json.dumps(dict(self.environment))}
        with (self.directory / assignment.id / RUNNER_LOG).open("ab") as output:
            return self._fork_server.start_runner(
                self._arguments(assignment, script), environment, output.fileno(), lock
            )

    def _arguments(self, assignment: Assignment, script: str) -> Sequence[str]:
        options = {
            "--name": assignment.model.name,
            "--version": assignment.model.version,
            "--script": script,
            "--container_id": assignment.id,
            "--hostname": self.host,
            "--container": self.directory / assignment.id,
            "--memory": assignment.memory,
            "--epoch": assignment.epoch,
            "--content": assignment.content,
            **({"--devices": ",".join(assignment.devices)} if self.devices else {}),
            **self.limits.to_options(),
        }
        warm_up = (f"--warm-up={query}" for query in assignment.warm_up)
        return [*self.registry, *(f"{name}={value}" for name, value in options.items()), *warm_up]

    def _adopt(self, instance: LocalInstance) -> None:
        id = instance.assignment.id
        self._instances[id] = instance
        runner_pid = instance.runner_pid
        if runner_pid is None or not instance.is_running():
            self._unwatched.add(id)
        else:
            self._watch(id, runner_pid)

    def _watch(self, id: str, pid: int) -> None:
        if not self._watcher.watch(pid, lambda: self._record_end(id)):
            self._unwatched.add(id)  # it may have ended already

    # --- ending

    def _record_end(self, id: str) -> None:
        self._ended.add(id)
        self.changed()

    def _send_signal(self, instance: LocalInstance, number: signal.Signals) -> None:
        started = time.monotonic() + 10.0  # a starting runner has not written its process id yet
        _await(lambda: instance.runner_pid or not instance.is_running(), started)
        # While the lock is held the runner lives, so its process id is not reused
        if (runner_pid := instance.runner_pid) and instance.is_running():
            with suppress(ProcessLookupError):
                os.kill(runner_pid, number)

    def _clean_up(self, instance: LocalInstance) -> str | None:
        """Remove the files of an ended instance, or keep its logs if it failed. Return the reason of its failure."""
        failed = self.directory / FAILED
        failed.mkdir(exist_ok=True)
        target = failed / instance.folder.name
        shutil.rmtree(target, ignore_errors=True)
        instance.folder.rename(target)
        shutil.rmtree(target / WORK, ignore_errors=True)
        ended = LocalInstance(target, instance.assignment, instance.started)
        if not (target / OUTCOME).exists():
            self._unregister_killed(ended)
            # Its guardian killed the process group, but not processes that left it
            end_control_group(target.name)
            kill_marked(f"{CONTAINER_ID}={target.name}")
        if (reason := ended.read_failure()) is None:
            shutil.rmtree(target, ignore_errors=True)
            return None
        log.warning("%s: instance %s failed: %s; see %s", instance.assignment.model, target.name, reason, target)
        for old in [each.folder for each in read_instances(failed)][:-MAX_FAILED]:
            shutil.rmtree(old, ignore_errors=True)
        return f"{reason}; see {target}"

    def _unregister_killed(self, killed: LocalInstance) -> None:
        """Unregister an instance whose runner was killed, instead of waiting for its session to expire."""
        model, id = killed.assignment.model, killed.folder.name
        try:
            if self.unregister:
                self.unregister(model.name, id)
        except OSError as error:
            log.warning("%s: cannot unregister %s, which stays until its session expires: %s", model, id, error)


def read_instances(directory: Path) -> Iterator[LocalInstance]:
    """Return the instances in a directory, oldest first."""
    instances = []
    for file in directory.glob("[!.]*/" + DESCRIPTION):
        with suppress(FileNotFoundError):
            try:
                fields = json.loads(file.read_bytes())
                assignment = Assignment.from_object(fields["name"], file.parent.name, fields)
                instances.append(LocalInstance(file.parent, assignment, float(fields["started"])))
            except (ValueError, KeyError, TypeError, DeployError) as error:
                log.warning("invalid %s, ignored; end its processes and remove its directory: %r", file, error)
    return iter(sorted(instances, key=lambda instance: instance.started))


def _await_end(instance: LocalInstance, deadline: float) -> bool:
    return _await(lambda: not instance.is_running(), deadline)


def _await(condition: Callable[[], object], deadline: float) -> bool:
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
