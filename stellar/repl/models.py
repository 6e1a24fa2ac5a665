"""Registries of models for a session."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

from stellar.util.slow_waits import announce_zookeeper

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper
    from stellar.repl.session import Session

LAST_PORT = 65535
_HOST = re.compile(r"\[?(.*?)\]?(?::(\d+))?", re.DOTALL)


def use_models(session: Session, directory: str | None, zookeeper: ZooKeeper | str | None) -> None:
    """Let a session call the models that are registered in a directory or in ZooKeeper.

    Raise ValueError if the registry can't be used.
    """
    from stellar.local_models import open_local_models
    from stellar.maas import ClientSettings, ModelClient, Registry
    from stellar.maas.registries.open import open_registry

    # Don't wait for missing instances: at a prompt, errors are shown immediately
    settings = ClientSettings.from_global({"maas.wait.ms": 0, **session.settings})
    registry = open_registry(directory, zookeeper, settings)
    client = ModelClient(registry, settings, local=open_local_models(registry, settings))
    session.use({Registry: registry, ModelClient: client}, registry, client)


def use_models_at(session: Session, location: str) -> None:
    """Let a session call the models of a directory or, if the location is not a path, of ZooKeeper hosts."""
    if os.path.isdir(location) or "/" in location.partition(":")[0]:
        return use_models(session, location, None)
    zookeeper = connect_zookeeper(location)
    session.use({}, zookeeper)
    use_models(session, None, zookeeper)


def connect_zookeeper(hosts: str) -> ZooKeeper:
    """Connect to ZooKeeper at `HOST:PORT,…`. Raise ValueError for an unknown host or an invalid port."""
    with announce_zookeeper(hosts):
        return _connect_zookeeper(hosts)


def _connect_zookeeper(hosts: str) -> ZooKeeper:
    from stellar.maas.zookeeper import ZooKeeper  # loads kazoo, which few sessions need

    for host in hosts.partition("/")[0].split(","):
        name, port = _HOST.fullmatch(host).groups()  # type: ignore[union-attr]  # matches any string
        if port and not 1 <= int(port) <= LAST_PORT:
            raise ValueError(f"invalid port in {host}: must be between 1 and {LAST_PORT}")
        try:
            socket.getaddrinfo(name, None)
        except (OSError, UnicodeError) as error:
            raise ValueError(f"unknown host {name or host}: {error}") from error
    return ZooKeeper(hosts)
