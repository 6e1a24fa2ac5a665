"""Models for the expressions of a session: the registry that a user names."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper
    from stellar.repl.session import Session

LAST_PORT = 65535
_HOST = re.compile(r"\[?(.*?)\]?(?::(\d+))?", re.DOTALL)


def use_models(session: Session, directory: str | None, zookeeper: ZooKeeper | str | None) -> None:
    """Let the expressions of a session ask the models that are registered in a directory or in ZooKeeper.

    Raises ValueError, with a sentence, if that can't be used.
    """
    from stellar.maas import ClientSettings, ModelClient, Registry
    from stellar.maas.registries.open import open_registry

    # Who types waits for an answer, and wants to know at once that there is none
    settings = ClientSettings.from_global({"maas.wait.ms": 0, **session.settings})
    registry = open_registry(directory, zookeeper, settings)
    client = ModelClient(registry, settings)
    session.use({Registry: registry, ModelClient: client}, registry, client)


def use_models_at(session: Session, place: str) -> None:
    """The same for what a user calls a place: a directory, or else hosts of ZooKeeper."""
    if os.path.isdir(place) or "/" in place.partition(":")[0]:
        return use_models(session, place, None)
    zookeeper = connect_zookeeper(place)
    session.use({}, zookeeper)
    use_models(session, None, zookeeper)


def connect_zookeeper(hosts: str) -> ZooKeeper:
    from stellar.maas.zookeeper import ZooKeeper  # loads a client of ZooKeeper, which few need

    for host in hosts.partition("/")[0].split(","):
        name, port = _HOST.fullmatch(host).groups()  # type: ignore[union-attr]  # any text matches
        if port and not 1 <= int(port) <= LAST_PORT:
            raise ValueError(f"the port of {host} is none: it must be between 1 and {LAST_PORT}")
        try:
            socket.getaddrinfo(name, None)
        except (OSError, UnicodeError) as error:
            raise ValueError(f"there is no host {name or host}: {error}") from error
    return ZooKeeper(hosts)
