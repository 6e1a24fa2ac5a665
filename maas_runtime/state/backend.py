"""The back end of a service: registry, request queue and state store, in a directory or in ZooKeeper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maas_runtime.state.store import DirectoryStateStore, StateStore
from stellar.maas.registries.directory import FileRegistry, read_config
from stellar.maas.registries.directory_queue import FileQueue
from stellar.maas.registry import Registry
from stellar.maas.requests import RequestQueue

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper


@dataclass(frozen=True)
class Backend:
    """A registry with its request queue and state store.

    name: its name in messages
    registry_options: command-line options with which a runner opens the registry
    """

    name: str
    registry: Registry
    queue: RequestQueue
    state_store: StateStore
    registry_options: Sequence[str]


@contextmanager
def open_directory(folder: Path, config_path: str) -> Iterator[Backend]:
    """Open the back end in a directory of this machine.

    Raises ValueError if its configuration is invalid.
    """
    with FileRegistry(folder, config_path=config_path) as registry:
        registry_options = [f"--registry={folder.absolute()}", f"--zk_root={config_path}"]
        state_store = DirectoryStateStore(folder, read_config(folder, config_path).ext_root)
        yield Backend(str(folder), registry, FileQueue(folder, config_path), state_store, registry_options)


@contextmanager
def open_zookeeper(hosts: str, client: Path | None, config_path: str, *, create: bool = True) -> Iterator[Backend]:
    """Open the back end in ZooKeeper.

    client: JSON file with connection settings
    create: False if a path after the hosts must exist

    Raises ConnectionError if no server responds, ValueError for invalid hosts, settings or configuration.
    """
    from maas_runtime.state.zookeeper import ZooKeeperStateStore
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry
    from stellar.maas.registries.zookeeper_queue import ZooKeeperQueue
    from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings

    registry_options = [f"--zk_quorum={hosts}", f"--zk_root={config_path}"]
    if client is not None:
        registry_options.append(f"--zk-client={client.absolute()}")
    with (
        ZooKeeper(ZooKeeperSettings.read(hosts, client)) as connection,
        ZooKeeperRegistry(_check_root(connection, create), config_path=config_path) as registry,
        ZooKeeperQueue(connection, config_path) as queue,
    ):
        yield Backend(
            f"ZooKeeper at {hosts}", registry, queue, ZooKeeperStateStore(connection, config_path), registry_options
        )


def _check_root(connection: ZooKeeper, create: bool) -> ZooKeeper:
    """Return the connection. Raises ValueError if the path after its hosts must exist and does not."""
    if not create and connection.request("exists", "/") is None:
        raise ValueError(f"the path in -zq {connection.hosts} does not exist; correct it, or start maas serve with it")
    return connection
