"""Sessions as their users want them: what the options of the shell and of the notebook mean."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.language.context import GlobalSettings
from stellar.language.expression import shell_library
from stellar.language.library import Library
from stellar.maas.default_location import home
from stellar.repl.json_files import json_object, read_variables
from stellar.repl.models import connect_zookeeper, use_models
from stellar.repl.session import Session

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper

GLOBAL_CONFIGURATION = "/metron/topology/global"
PATHS_KEY = "stellar.function.paths"


def opened(options: argparse.Namespace) -> Session:
    """The session that options ask for; whoever has it closes it.

    Raises ValueError or OSError, with a sentence, if an option can't be followed.
    """
    if options.log4j is not None:
        from stellar.java.log4j import configure

        configure(Path(options.log4j))
    properties = _properties(options.properties)
    variables = {} if options.variables is None else read_variables(options.variables)
    zookeeper = None if options.zookeeper is None else connect_zookeeper(options.zookeeper)
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


def _properties(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    from stellar.java.properties import read

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


def _global_configuration(zookeeper: ZooKeeper) -> GlobalSettings:
    """Metron's global configuration; empty where Metron keeps none, as where only models are registered."""
    try:
        data = zookeeper.read(GLOBAL_CONFIGURATION)
        return GlobalSettings() if data is None else GlobalSettings(json_object(data, GLOBAL_CONFIGURATION))
    except ValueError as error:
        zookeeper.close()
        raise ValueError(f"the global configuration in {zookeeper.hosts} can't be used: {error}") from error
