"""Sessions as their users want them: what the options of the shell and of the notebook mean."""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.context import GlobalSettings
from stellar.expression import shell_library
from stellar.interactive.magics import json_object, read_variables
from stellar.interactive.session import Session
from stellar.library import Library
from stellar.maas.homes import home

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper

LAST_PORT = 65535
_HOST = re.compile(r"\[?(.*?)\]?(?::(\d+))?", re.DOTALL)
GLOBAL_CONFIGURATION = "/metron/topology/global"
PATHS_KEY = "stellar.function.paths"


def opened(options: argparse.Namespace) -> Session:
    """The session that options ask for; whoever has it closes it.

    Raises ValueError or OSError, with a sentence, if an option can't be followed.
    """
    if options.log4j is not None:
        from stellar.interactive.logs import configure

        configure(Path(options.log4j))
    properties = _properties(options.properties)
    variables = {} if options.variables is None else read_variables(options.variables)
    zookeeper = None if options.zookeeper is None else _connected(options.zookeeper)
    settings = GlobalSettings() if zookeeper is None else _global_configuration(zookeeper)
    session = Session(_library({**settings, **properties}), settings=settings)
    try:
        _add_models(session, options.registry, zookeeper)
    except BaseException:
        session.close()
        raise
    session.add_variables(variables)
    return session


def _add_models(session: Session, directory: str | None, zookeeper: ZooKeeper | None) -> None:
    if zookeeper is not None:
        session.use({}, zookeeper)
        use_models(session, None, zookeeper)
    elif directory is not None:
        use_models(session, directory, None)
    elif home().is_dir():  # nobody has asked for it, and so it can't be in the way
        try:
            use_models(session, str(home()), None)
        except ValueError as error:
            session.notes.append(f"models are not looked for: {error}")


def use_models(session: Session, directory: str | None, zookeeper: ZooKeeper | str | None) -> None:
    """Let the expressions of a session ask the models that are registered in a directory or in ZooKeeper.

    Raises ValueError, with a sentence, if that can't be used.
    """
    from stellar.maas import ClientSettings, ModelClient, Registry
    from stellar.maas.opening import open_registry

    # Who types waits for an answer, and wants to know at once that there is none
    settings = ClientSettings.from_global({"maas.wait.ms": 0, **session.settings})
    registry = open_registry(directory, zookeeper, settings)
    client = ModelClient(registry, settings)
    session.use({Registry: registry, ModelClient: client}, registry, client)


def use_models_at(session: Session, place: str) -> None:
    """The same for what a user calls a place: a directory, or else hosts of ZooKeeper."""
    if os.path.isdir(place) or "/" in place.partition(":")[0]:
        return use_models(session, place, None)
    zookeeper = _connected(place)
    session.use({}, zookeeper)
    use_models(session, None, zookeeper)


def _properties(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    from stellar.interactive.properties import read

    return read(Path(file))


def _library(settings: Mapping[str, Any]) -> Library:
    """The functions of a shell, with those of the modules that are named, and without those that are excluded."""
    library = shell_library()
    if named := settings.get(PATHS_KEY):
        names = [name.strip() for name in (named.split(",") if isinstance(named, str) else named)]
        try:
            library = Library.of(library, *(import_module(name) for name in names if name))
        except Exception as error:  # a module may raise anything when it is loaded
            raise ValueError(f"{PATHS_KEY}: {error}; Python modules with functions are named there") from error
    return library.configured(settings)


def _connected(hosts: str) -> ZooKeeper:
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


def _global_configuration(zookeeper: ZooKeeper) -> GlobalSettings:
    """Metron's global configuration; empty where Metron keeps none, as where only models are registered."""
    try:
        data = zookeeper.read(GLOBAL_CONFIGURATION)
        return GlobalSettings() if data is None else GlobalSettings(json_object(data, GLOBAL_CONFIGURATION))
    except ValueError as error:
        zookeeper.close()
        raise ValueError(f"the global configuration in {zookeeper.hosts} can't be used: {error}") from error
