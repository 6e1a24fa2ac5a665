"""Opening the registry that a user names: a directory, or hosts of ZooKeeper."""

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
    """The registry in a directory, or in ZooKeeper by its hosts or a connection; one of the two is given.

    Raises ValueError, with a sentence, if there is none or it can't be used.
    """
    settings = settings or ClientSettings()
    if directory is not None and not os.path.isdir(directory):
        raise ValueError(f"there is no registry directory {directory}; `maas serve --registry {directory}` makes one")
    try:
        if directory is not None:
            return FileRegistry(directory, settings.version_order, config_path=settings.config_path)
        from stellar.maas.registries.zookeeper import ZooKeeperRegistry  # loads a client of ZooKeeper, which few need

        return ZooKeeperRegistry(zookeeper or "", settings.version_order, config_path=settings.config_path)
    except (OSError, ValueError) as error:
        place = directory or zookeeper if isinstance(zookeeper, str | None) else zookeeper.hosts
        raise ValueError(f"can't use the registry {place}: {error}") from error
