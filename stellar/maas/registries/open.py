"""Open a registry by its directory or its ZooKeeper hosts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stellar.maas.client.client import ClientSettings
from stellar.maas.registries.directory import FileRegistry

if TYPE_CHECKING:
    from stellar.maas.registries.zookeeper import ZooKeeperRegistry
    from stellar.maas.zookeeper import ZooKeeper


def open_registry(
    directory: str | os.PathLike[str] | None,
    zookeeper: ZooKeeper | str | None,
    settings: ClientSettings | None = None,
) -> FileRegistry | ZooKeeperRegistry:
    """Return the registry in a directory, or in ZooKeeper; exactly one of the two must be given.

    Raises ValueError if it does not exist or can't be opened.
    """
    settings = settings or ClientSettings()
    if directory is not None and not os.path.isdir(directory):
        raise ValueError(
            f"the registry directory {directory} does not exist; `maas serve --registry {directory}` creates it"
        )
    try:
        if directory is not None:
            return FileRegistry(directory, settings.version_order, config_path=settings.config_path)
        from stellar.maas.registries.zookeeper import ZooKeeperRegistry  # loads kazoo

        return ZooKeeperRegistry(zookeeper or "", settings.version_order, config_path=settings.config_path)
    except (OSError, ValueError) as error:
        location = directory or zookeeper if isinstance(zookeeper, str | None) else zookeeper.hosts
        raise ValueError(f"can't open the registry {location}: {error}") from error
