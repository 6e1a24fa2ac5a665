"""Runs one instance of a model in a container of YARN.

conf/instance.json      what to run; see Description
model/                  the model's files, shared with other containers, and so copied to `work`
stdout, stderr          what the model's script prints, kept among YARN's logs
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from maas_runtime.runner import runner
from maas_runtime.runner.lifecycle import LOOK_SECONDS, ContainerLifecycle, node_manager_listens, read_hold_seconds
from maas_runtime.runner.runner import ENVIRONMENT, ERRORS, OUTCOME, OUTPUT, WORK, Instance, Limits
from maas_runtime.state.store import DirectoryStateStore, StateStore
from stellar.maas.registries.directory import read_config
from stellar.maas.registry import Registry
from stellar.maas.schema import Model, read_json
from stellar.util.json_objects import read_object

log = logging.getLogger(__name__)

CONFIGURATION, FILES = "instance.json", "model"
FAILED = "failed"  # the notes of instances that failed, for the service to take in
NODE_SECONDS = 600.0  # after so long without its node manager YARN takes a node for lost, by default
PAUSE_SECONDS = 10.0  # that a failure costs which came at once, so that YARN does not start it without end
EARLY_SECONDS = 60.0


@dataclass(frozen=True)
class Description:
    """What a container runs.

    arguments: options of the runner
    environment: variables of the model's script
    node_seconds: how long the node manager may be away, once the instance is replaced
    restart: whether YARN may start another one when this one fails
    """

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    node_seconds: float = NODE_SECONDS
    restart: bool = True

    def as_properties(self) -> dict[str, str]:
        """As the properties of a file that YARN writes.

        YARN puts values in place of `${…}` in them, which may well stand in somebody's variables: no `$` is left.
        """
        return {"instance": json.dumps(asdict(self)).replace("$", "\\u0024")}

    @classmethod
    def read(cls, file: Path) -> Description:
        """Raises ValueError, OSError."""
        return read_object(cls, read_json(read_json(file.read_bytes())["instance"]))


def main() -> int:
    """Run the instance that the container's files describe; the exit status of the runner."""
    began = time.monotonic()
    container = Path.cwd()
    description = Description.read(container / "conf" / CONFIGURATION)
    shutil.copytree(container / FILES, container / WORK)
    for name in (OUTPUT, ERRORS):
        _among_the_logs(container, name)
    os.environ[ENVIRONMENT] = json.dumps(description.environment)
    id, host = os.environ["CONTAINER_ID"], os.environ.get("NM_HOST", "")
    arguments = [*description.arguments, f"--container_id={id}", f"--hostname={host}", f"--container={container}"]

    def make_lifecycle(instance: Instance, registry: Registry, limits: Limits) -> ContainerLifecycle:
        return ContainerLifecycle(instance, registry, description.node_seconds, read_hold_seconds(limits.drain))

    status = runner.main(arguments, make_lifecycle)
    if status:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing of the model runs any more
        _report(container, arguments)
        if not description.restart:
            _hold(description.node_seconds)
        elif time.monotonic() - began < EARLY_SECONDS:
            time.sleep(PAUSE_SECONDS)
    return status


def _hold(node_seconds: float) -> None:
    """Keep the container until the service has it taken away, for YARN starts another one when it ends."""
    seen = time.monotonic()
    while time.monotonic() - seen < node_seconds:
        time.sleep(min(LOOK_SECONDS, node_seconds / 2))
        if node_manager_listens():
            seen = time.monotonic()


def _among_the_logs(container: Path, name: str) -> None:
    """Let a file be kept where YARN keeps logs, which outlive the container."""
    logs = os.environ.get("LOG_DIRS", "").split(",")[0]
    if logs and not (container / name).exists():
        file = Path(logs, f"model-{name}")
        file.touch()
        (container / name).symlink_to(file)
    else:
        (container / name).touch()


def _report(container: Path, arguments: list[str]) -> None:
    """Leave a note of the failure for the service, which may be away now."""
    given = runner.options().parse_args(arguments)
    model = Model(given.name, given.version)
    failure = json.loads((container / OUTCOME).read_bytes())["failure"]
    try:
        if given.zk_quorum is None:
            notes = DirectoryStateStore(given.registry, read_config(given.registry, given.zk_root).ext_root)
            note_failed(notes, model, given.container_id, failure)
            return
        from maas_runtime.state.zookeeper import ZooKeeperStateStore
        from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings

        with ZooKeeper(ZooKeeperSettings.read(given.zk_quorum, given.zk_client)) as zookeeper:
            note_failed(ZooKeeperStateStore(zookeeper, given.zk_root), model, given.container_id, failure)
    except OSError as error:
        log.warning("the failure stands in this log alone: %s", error)


def note_failed(notes: StateStore, model: Model, id: str, failure: str) -> None:
    """Write down that an instance failed, for the service to take in.

    Raises OSError.
    """
    notes.write(f"{FAILED}/{id}", {**model._asdict(), "failure": failure})


def failures_noted(notes: StateStore, model: Model) -> dict[str, str]:
    """The reasons of instances of a model that failed, by their ids, which are forgotten then."""
    found = {}
    for id in notes.names(FAILED):
        note = notes.read(f"{FAILED}/{id}") or {}
        if (note.get("name"), note.get("version")) == model:
            found[id] = str(note.get("failure"))
            notes.write(f"{FAILED}/{id}", None)
    return found
