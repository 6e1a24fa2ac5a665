"""Where models are registered, asked for and written about: a directory of this machine, or ZooKeeper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maas_runtime.state.store import DirectoryStateStore, StateStore
from stellar.maas.registries.directory import FileQueue, FileRegistry, read_config
from stellar.maas.registry import Registry
from stellar.maas.requests import RequestQueue


@dataclass(frozen=True)
class Backend:
    """The registry, the queue and the notes that belong together.

    name: what users know it by
    options: those by which a runner finds the registry
    """

    name: str
    registry: Registry
    queue: RequestQueue
    notes: StateStore
    options: Sequence[str]


@contextmanager
def directory(folder: Path, config_path: str) -> Iterator[Backend]:
    """A place in a directory of this machine.

    Raises ValueError if its configuration can't be used.
    """
    with FileRegistry(folder, config_path=config_path) as registry:
        options = [f"--registry={folder.absolute()}", f"--zk_root={config_path}"]
        notes = DirectoryStateStore(folder, read_config(folder, config_path).ext_root)
        yield Backend(str(folder), registry, FileQueue(folder, config_path), notes, options)


@contextmanager
def zookeeper(hosts: str, client: Path | None, config_path: str) -> Iterator[Backend]:
    """A place in ZooKeeper.

    client: a JSON file that tells how to speak with it
    Raises ConnectionError if no server answers, ValueError if the hosts, the file or the configuration can't be used.
    """
    from maas_runtime.state.zookeeper import ZooKeeperStateStore
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry
    from stellar.maas.zookeeper import ZooKeeper, ZooKeeperQueue, ZooKeeperSettings

    options = [f"--zk_quorum={hosts}", f"--zk_root={config_path}"]
    if client is not None:
        options.append(f"--zk-client={client.absolute()}")
    with (
        ZooKeeper(ZooKeeperSettings.read(hosts, client)) as connection,
        ZooKeeperRegistry(connection, config_path=config_path) as registry,
        ZooKeeperQueue(connection, config_path) as queue,
    ):
        yield Backend(f"ZooKeeper at {hosts}", registry, queue, ZooKeeperStateStore(connection, config_path), options)
