"""A deployer that runs instances as processes of this machine, each supervised by a runner.

    <directory>/<id>/instance.json      model and start time
    <directory>/<id>/lock               locked while the runner lives; contains the runner's process id
    <directory>/<id>/work/              the model's files; working directory of its script
    <directory>/<id>/stdout, stderr     output of the script        runner.log    log of the runner
    <directory>/failed/<id>/            the last failed instances, without the model's files

These directories are the only state, so a new deployer finds the instances of the previous one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import maas_runtime
from maas_runtime.deployers import Deployment
from maas_runtime.errors import DeployError
from maas_runtime.runner.processes import kill_marked
from maas_runtime.runner.runner import CONTAINER_ID, ENVIRONMENT, ERRORS, LOCK, OUTCOME, OUTPUT, WORK, Limits
from maas_runtime.store.base import ModelStore
from stellar.maas.registries.directory import is_locked
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

DESCRIPTION, RUNNER_LOG, FAILED = "instance.json", "runner.log", "failed"
MAX_FAILED = 10
SPARE_SECONDS = 5.0  # beyond the time-outs of the runner, before it is killed
PACKAGES = Path(maas_runtime.__file__).parents[1]


@dataclass(frozen=True)
class LocalInstance:
    """An instance, as described by its directory."""

    folder: Path
    model: Model
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


class LocalDeployer:
    """A deployer for this machine.

    directory: parent of the instances' directories
    registry: options with which a runner opens the registry, such as `--registry=/var/maas`
    store: model store with the models' files
    report: called with the model and the reason when an instance fails
    unregister: called with the model's name and the instance's id when its runner was killed
    ready: returns the ids of a model's ready instances; others are stopped first
    host: host name under which clients reach this machine
    limits: time-outs and resource limits of the runners
    """

    def __init__(
        self,
        directory: Path,
        registry: Sequence[str],
        store: ModelStore,
        report: Callable[[Model, str], None],
        *,
        unregister: Callable[[str, str], None] | None = None,
        ready: Callable[[Model], Collection[str]] | None = None,
        host: str = "127.0.0.1",
        limits: Limits | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._registry = registry
        self._store = store
        self._report = report
        self._unregister = unregister
        self._ready = ready
        self._host = host
        self._limits = limits or Limits()
        for draft in self._directory.glob(".*"):  # left by a deployer that was killed while starting an instance
            shutil.rmtree(draft, ignore_errors=True)
        self._locks: defaultdict[Model, threading.Lock] = defaultdict(threading.Lock)

    def scale(self, deployment: Deployment, instances: int) -> None:
        with self._locks[deployment.model]:
            running = self._running(deployment.model)
            if surplus := max(0, len(running) - instances):
                self._stop(self._sort_for_removal(running)[:surplus])
            for _ in range(instances - len(running)):
                self._start(deployment)

    def running(self, model: Model) -> int:
        return len(self._running(model))

    def _sort_for_removal(self, running: list[LocalInstance]) -> list[LocalInstance]:
        ready = self._ready(running[0].model) if self._ready else ()
        return sorted(running, key=lambda instance: instance.folder.name in ready) if ready else running

    def _running(self, model: Model) -> list[LocalInstance]:
        """Return the running instances of a model, oldest first; clean up those that ended."""
        instances = []
        for instance in _read_instances(self._directory):
            if instance.model == model:
                if instance.is_running():
                    instances.append(instance)
                else:
                    self._clean_up(instance)
        return instances

    def _start(self, deployment: Deployment) -> None:
        id = uuid.uuid4().hex[:12]
        folder, draft = self._directory / id, self._directory / f".{id}"
        script = self._store.script(deployment.path)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            draft.mkdir(mode=0o700)
            self._store.fetch(deployment.path, draft / WORK)
            (draft / OUTPUT).touch()
            (draft / ERRORS).touch()
            description = {**deployment.model._asdict(), "started": time.time()}
            (draft / DESCRIPTION).write_text(json.dumps(description))
            with (draft / LOCK).open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # the runner inherits the lock, so the instance never appears dead
                draft.rename(folder)
                self._run(deployment, id, script, lock.fileno())
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise DeployError(f"cannot start {deployment.model}: {error}") from error
        log.info("%s: instance %s started", deployment.model, id)

    def _run(self, deployment: Deployment, id: str, script: str, lock: int) -> None:
        with (self._directory / id / RUNNER_LOG).open("ab") as output:
            runner = subprocess.Popen(
                self._command(deployment, id, script),
                cwd=PACKAGES,
                env={**os.environ, ENVIRONMENT: json.dumps(dict(deployment.environment))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
                start_new_session=True,
            )
        # An unreaped child would stay in the process table
        threading.Thread(target=runner.wait, name=f"runner {id}", daemon=True).start()

    def _command(self, deployment: Deployment, id: str, script: str) -> Sequence[str]:
        options = {
            "--name": deployment.model.name,
            "--version": deployment.model.version,
            "--script": script,
            "--container_id": id,
            "--hostname": self._host,
            "--container": self._directory / id,
            "--memory": deployment.memory,
            **self._limits.to_options(),
        }
        arguments = [f"{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "maas_runtime.runner.runner", *self._registry, *arguments]

    def _stop(self, instances: Sequence[LocalInstance]) -> None:
        """Stop instances in parallel; kill runners that do not end in time."""
        for instance in instances:
            self._send_signal(instance, signal.SIGTERM)
        deadline = time.monotonic() + self._limits.drain + self._limits.end + SPARE_SECONDS
        for instance in instances:
            if not _await_end(instance, deadline):
                log.warning(
                    "%s: killing the runner of %s, which did not end in time", instance.model, instance.folder.name
                )
                self._send_signal(instance, signal.SIGKILL)
                _await_end(instance, time.monotonic() + SPARE_SECONDS)
            self._clean_up(instance)

    def _send_signal(self, instance: LocalInstance, number: signal.Signals) -> None:
        started = time.monotonic() + 10.0  # a starting runner has not written its process id yet
        _await(lambda: instance.runner_pid or not instance.is_running(), started)
        # While the lock is held the runner lives, so its process id is not reused
        if (runner_pid := instance.runner_pid) and instance.is_running():
            with suppress(ProcessLookupError):
                os.kill(runner_pid, number)

    def _clean_up(self, instance: LocalInstance) -> None:
        failed = self._directory / FAILED
        failed.mkdir(exist_ok=True)
        target = failed / instance.folder.name
        try:
            instance.folder.rename(target)  # succeeds once, so a failure is reported once
        except FileNotFoundError:
            return
        shutil.rmtree(target / WORK, ignore_errors=True)
        ended = LocalInstance(target, instance.model, instance.started)
        if not (target / OUTCOME).exists():
            self._unregister_killed(ended)
            kill_marked(
                f"{CONTAINER_ID}={target.name}"
            )  # its guardian killed the group, but not processes that left it
        if (reason := ended.read_failure()) is None:
            shutil.rmtree(target, ignore_errors=True)
        else:
            log.warning("%s: instance %s failed: %s; see %s", instance.model, target.name, reason, target)
            self._report(instance.model, f"{reason}; see {target}")
            for old in [c.folder for c in _read_instances(failed)][:-MAX_FAILED]:
                shutil.rmtree(old, ignore_errors=True)

    def _unregister_killed(self, killed: LocalInstance) -> None:
        """Unregister an instance whose runner was killed, instead of waiting for its session to expire."""
        try:
            if self._unregister:
                self._unregister(killed.model.name, killed.folder.name)
        except OSError as error:
            log.warning(
                "%s: cannot unregister %s, which stays until its session expires: %s",
                killed.model,
                killed.folder.name,
                error,
            )


def _read_instances(directory: Path) -> Iterator[LocalInstance]:
    """Return the instances in a directory, oldest first."""
    instances = []
    with suppress(FileNotFoundError):
        for file in directory.glob("[!.]*/" + DESCRIPTION):
            with suppress(FileNotFoundError):
                fields = json.loads(file.read_bytes())
                model = Model(fields["name"], fields["version"])
                instances.append(LocalInstance(file.parent, model, fields["started"]))
    return iter(sorted(instances, key=lambda instance: instance.started))


def _await_end(instance: LocalInstance, deadline: float) -> bool:
    return _await(lambda: not instance.is_running(), deadline)


def _await(condition: Callable[[], object], deadline: float) -> bool:
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
