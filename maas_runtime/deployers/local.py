"""Models as processes of this machine, each with a runner that looks after it.

    <directory>/<id>/instance.json      what it is
    <directory>/<id>/lock               locked as long as its runner lives; holds the runner's process id
    <directory>/<id>/work/              the model's files; where its script runs
    <directory>/<id>/stdout, stderr     what the script prints        runner.log    what the runner says
    <directory>/failed/<id>/            the last instances that failed, without their files

All that is known of an instance stands there, so a deployer that is started anew knows those of the last one.
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
FAILED_KEPT = 10
SPARE_SECONDS = 5.0  # that a runner may take beyond what it gives its model, before it is killed
PACKAGES = Path(maas_runtime.__file__).parents[1]


@dataclass(frozen=True)
class Container:
    """An instance's directory, and what it says of the instance."""

    folder: Path
    model: Model
    started: float

    @property
    def runner(self) -> int | None:
        """The process id of its runner; None before that has begun."""
        with suppress(FileNotFoundError):
            if (text := (self.folder / LOCK).read_text()).endswith("\n"):
                return int(text)
        return None

    def runs(self) -> bool:
        with suppress(FileNotFoundError), (self.folder / LOCK).open("rb", buffering=0) as lock:
            return is_locked(lock)
        return False

    def failure(self) -> str | None:
        """Why it ended; None if it was asked to."""
        try:
            reason = json.loads((self.folder / OUTCOME).read_bytes())["failure"]
        except (FileNotFoundError, ValueError):
            return "its runner was killed"
        return None if reason is None else str(reason)


class LocalDeployer:
    """Runs instances on this machine.

    directory: where the instances' directories are
    registry: the options by which a runner finds the registry, such as `--registry=/var/maas`
    store: where the models' files are
    report: called with the model and the reason when an instance fails
    unregister: called with the model's name and the instance's id when its runner was killed
    ready: tells the ids of a model's instances that serve; others are the first to be stopped
    host: the name by which clients reach this machine
    limits: how patient the runners are
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
        for draft in self._directory.glob(".*"):  # of a deployer that was killed while it started one
            shutil.rmtree(draft, ignore_errors=True)
        self._turn: defaultdict[Model, threading.Lock] = defaultdict(threading.Lock)

    def scale(self, deployment: Deployment, instances: int) -> None:
        with self._turn[deployment.model]:
            running = self._running(deployment.model)
            if surplus := max(0, len(running) - instances):
                self._stop(self._least_useful_first(running)[:surplus])
            for _ in range(instances - len(running)):
                self._start(deployment)

    def running(self, model: Model) -> int:
        return len(self._running(model))

    def _least_useful_first(self, running: list[Container]) -> list[Container]:
        ready = self._ready(running[0].model) if self._ready else ()
        return sorted(running, key=lambda container: container.folder.name in ready) if ready else running

    def _running(self, model: Model) -> list[Container]:
        """The model's instances that run, oldest first; those that ended are cleared away."""
        found = []
        for container in _containers(self._directory):
            if container.model == model:
                if container.runs():
                    found.append(container)
                else:
                    self._clear(container)
        return found

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
                fcntl.flock(lock, fcntl.LOCK_EX)  # the runner inherits it: at no moment it seems dead
                draft.rename(folder)
                self._run(deployment, id, script, lock.fileno())
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise DeployError(f"{deployment.model} can't be started: {error}") from error
        log.info("%s: instance %s is started", deployment.model, id)

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
        # It needs somebody to wait for it, or it stays in the process table
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
            **self._limits.options(),
        }
        words = [f"{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "maas_runtime.runner.runner", *self._registry, *words]

    def _stop(self, containers: Sequence[Container]) -> None:
        """Ask instances to end, all at once, and see that they do."""
        for container in containers:
            self._signal(container, signal.SIGTERM)
        deadline = time.monotonic() + self._limits.drain + self._limits.end + SPARE_SECONDS
        for container in containers:
            if not _ends(container, deadline):
                log.warning("%s: the runner of %s does not end and is killed", container.model, container.folder.name)
                self._signal(container, signal.SIGKILL)
                _ends(container, time.monotonic() + SPARE_SECONDS)
            self._clear(container)

    def _signal(self, container: Container, number: signal.Signals) -> None:
        _await(lambda: container.runner or not container.runs(), time.monotonic() + 10.0)  # it may just be starting
        if (
            runner := container.runner
        ) and container.runs():  # who holds the lock lives, so the number is still its own
            with suppress(ProcessLookupError):
                os.kill(runner, number)

    def _clear(self, container: Container) -> None:
        failed = self._directory / FAILED
        failed.mkdir(exist_ok=True)
        kept = failed / container.folder.name
        try:
            container.folder.rename(kept)  # only one can do this, so it is reported once
        except FileNotFoundError:
            return
        shutil.rmtree(kept / WORK, ignore_errors=True)
        ended = Container(kept, container.model, container.started)
        if not (kept / OUTCOME).exists():
            self._forget_registration(ended)
            kill_marked(f"{CONTAINER_ID}={kept.name}")  # its guardian ended its group, but not what had left that
        if (reason := ended.failure()) is None:
            shutil.rmtree(kept, ignore_errors=True)
        else:
            log.warning("%s: instance %s failed: %s; see %s", container.model, kept.name, reason, kept)
            self._report(container.model, f"{reason}; see {kept}")
            for old in [c.folder for c in _containers(failed)][:-FAILED_KEPT]:
                shutil.rmtree(old, ignore_errors=True)

    def _forget_registration(self, killed: Container) -> None:
        """What its runner can't do any more, so that nobody waits until its session times out."""
        try:
            if self._unregister:
                self._unregister(killed.model.name, killed.folder.name)
        except OSError as error:
            log.warning(
                "%s: %s stays registered until its session times out: %s", killed.model, killed.folder.name, error
            )


def _containers(directory: Path) -> Iterator[Container]:
    """All in a directory, oldest first."""
    found = []
    with suppress(FileNotFoundError):
        for description in directory.glob("[!.]*/" + DESCRIPTION):
            with suppress(FileNotFoundError):
                said = json.loads(description.read_bytes())
                found.append(Container(description.parent, Model(said["name"], said["version"]), said["started"]))
    return iter(sorted(found, key=lambda container: container.started))


def _ends(container: Container, deadline: float) -> bool:
    return _await(lambda: not container.runs(), deadline)


def _await(condition: Callable[[], object], deadline: float) -> bool:
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
