"""The entry point of a YARN container, which runs one instance of a model.

conf/instance.json      the instance to run; see Description
model/                  the model's files, shared with other containers, and so copied to `work`
stdout, stderr          output of the model's script, among YARN's logs
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
from maas_runtime.runner.lifecycle import (
    CHECK_SECONDS,
    ContainerLifecycle,
    is_node_manager_listening,
    read_hold_seconds,
)
from maas_runtime.runner.limits import Limits
from maas_runtime.runner.runner import ENVIRONMENT, ERRORS, OUTCOME, OUTPUT, WORK, Instance
from maas_runtime.state.store import DirectoryStateStore, StateStore
from stellar.maas.registries.directory import read_config
from stellar.maas.registry import Registry
from stellar.maas.schema import Model, read_json
from stellar.util.json_objects import read_object

log = logging.getLogger(__name__)

CONFIGURATION, FILES = "instance.json", "model"
FAILED = "failed"  # path of failures in the state store, for the service to collect
NODE_SECONDS = 600.0  # YARN's default, after which a node without its node manager is lost
PAUSE_SECONDS = 10.0  # delay after an early failure, so that YARN does not restart it in a busy loop
EARLY_SECONDS = 60.0


@dataclass(frozen=True)
class Description:
    """The instance that a container runs.

    arguments: options of the runner
    environment: variables of the model's script
    node_seconds: how long the node manager may be lost before a replaced instance ends
    restart: whether YARN may start another container when this one fails
    """

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    node_seconds: float = NODE_SECONDS
    restart: bool = True

    def as_properties(self) -> dict[str, str]:
        """Return the properties of a file that YARN writes.

        YARN substitutes `${…}` in them, which users' variables may contain; so each `$` is escaped.
        """
        return {"instance": json.dumps(asdict(self)).replace("$", "\\u0024")}

    @classmethod
    def read(cls, file: Path) -> Description:
        """Read the file that YARN wrote.

        Raises ValueError or OSError.
        """
        return read_object(cls, read_json(read_json(file.read_bytes())["instance"]))


def main() -> int:
    """Run the instance that the container's files describe. Return the exit status of the runner."""
    began = time.monotonic()
    container = Path.cwd()
    description = Description.read(container / "conf" / CONFIGURATION)
    shutil.copytree(container / FILES, container / WORK)
    for name in (OUTPUT, ERRORS):
        _link_to_logs(container, name)
    os.environ[ENVIRONMENT] = json.dumps(description.environment)
    id, host = os.environ["CONTAINER_ID"], os.environ.get("NM_HOST", "")
    arguments = [*description.arguments, f"--container_id={id}", f"--hostname={host}", f"--container={container}"]

    def make_lifecycle(instance: Instance, registry: Registry, limits: Limits) -> ContainerLifecycle:
        return ContainerLifecycle(instance, registry, description.node_seconds, read_hold_seconds(limits.drain))

    status = runner.main(arguments, make_lifecycle)
    if status:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # no process of the model runs now
        _report(container, arguments)
        if not description.restart:
            _hold(description.node_seconds)
        elif time.monotonic() - began < EARLY_SECONDS:
            time.sleep(PAUSE_SECONDS)
    return status


def _hold(node_seconds: float) -> None:
    """Hold the container until the service decommissions it; YARN would replace a container that ends."""
    last_seen = time.monotonic()
    while time.monotonic() - last_seen < node_seconds:
        time.sleep(min(CHECK_SECONDS, node_seconds / 2))
        if is_node_manager_listening():
            last_seen = time.monotonic()


def _link_to_logs(container: Path, name: str) -> None:
    """Link a file to YARN's log directory, which outlives the container."""
    logs = os.environ.get("LOG_DIRS", "").split(",")[0]
    if logs and not (container / name).exists():
        file = Path(logs, f"model-{name}")
        file.touch()
        (container / name).symlink_to(file)
    else:
        (container / name).touch()


def _report(container: Path, arguments: list[str]) -> None:
    """Store the failure for the service, which may not be running now."""
    args = runner.make_parser().parse_args(arguments)
    model = Model(args.name, args.version)
    failure = json.loads((container / OUTCOME).read_bytes())["failure"]
    try:
        if args.zk_quorum is None:
            state_store = DirectoryStateStore(args.registry, read_config(args.registry, args.zk_root).ext_root)
            write_failure(state_store, model, args.container_id, failure)
            return
        from maas_runtime.state.zookeeper import ZooKeeperStateStore
        from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings

        with ZooKeeper(ZooKeeperSettings.read(args.zk_quorum, args.zk_client)) as zookeeper:
            write_failure(ZooKeeperStateStore(zookeeper, args.zk_root), model, args.container_id, failure)
    except OSError as error:
        log.warning("could not record the failure: %s", error)


def write_failure(state_store: StateStore, model: Model, id: str, failure: str) -> None:
    """Store a failure of an instance, for the service to collect.

    Raises OSError.
    """
    state_store.write(f"{FAILED}/{id}", {**model._asdict(), "failure": failure})


def take_failures(state_store: StateStore, model: Model) -> dict[str, str]:
    """Remove the stored failures of a model, and return their reasons by instance id."""
    failures = {}
    for id in state_store.names(FAILED):
        failure = state_store.read(f"{FAILED}/{id}") or {}
        if (failure.get("name"), failure.get("version")) == model:
            failures[id] = str(failure.get("failure"))
            state_store.write(f"{FAILED}/{id}", None)
    return failures
