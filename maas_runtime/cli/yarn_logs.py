"""Logs of instances on YARN, read from the node managers of their containers."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence

from maas_runtime.deployers.yarn import cluster
from maas_runtime.deployers.yarn.deployer import parse_application
from maas_runtime.deployers.yarn.rest import YarnServices
from maas_runtime.errors import DeployError
from stellar.maas.schema import ServiceInstance

MODEL_FILES = {"model-stdout": "stdout", "model-stderr": "stderr"}  # see maas_runtime.deployers.yarn.container
RUNNER_FILES = {"stdout.txt": "runner stdout", "stderr.txt": "runner"}  # of the container's own process
MAX_BYTES = 20_000_000  # of each file, from its end


def is_on_yarn(instance: ServiceInstance) -> bool:
    return instance.id.startswith("container_")


def suggest_command(instance: ServiceInstance) -> str:
    """Return YARN's own command for the logs of a container."""
    application = parse_application(instance.id)
    return f"yarn logs -applicationId {shlex.quote(application)} -containerId {shlex.quote(instance.id)}"


def read_logs(
    args: argparse.Namespace, instances: Sequence[ServiceInstance]
) -> Iterator[tuple[ServiceInstance, str, str]]:
    """Yield each instance, the name of each of its logs, and the content.

    Raises DeployError or ConnectionError if they cannot be read.
    """
    files = RUNNER_FILES if args.runner else MODEL_FILES
    with cluster.open_services(args) as yarn:
        for instance in instances:
            for name, content in _read_files(yarn, instance, files).items():
                if content:
                    yield instance, name, content.decode("utf-8", "replace")


def _read_files(yarn: YarnServices, instance: ServiceInstance, files: Mapping[str, str]) -> dict[str, bytes | None]:
    """Return the logs of an instance by their names, from the node manager of its host that has them."""
    nodes = yarn.find_nodes(instance.address or "")
    if not nodes:
        raise DeployError(
            f"{instance.model} instance {instance.id}: YARN has no running node {instance.address}; "
            f"its logs may have been aggregated, run: {suggest_command(instance)}"
        )
    for node in nodes:
        contents = {name: yarn.read_log(node, instance.id, file, MAX_BYTES) for file, name in files.items()}
        if any(content is not None for content in contents.values()):
            return contents
    problem = f"{', '.join(nodes)} has no log of {instance.model} instance {instance.id}"
    raise DeployError(f"{problem}; run: {suggest_command(instance)}")
