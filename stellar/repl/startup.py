"""Opening of sessions from the options of the shell and the notebook."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.language.context import GlobalSettings
from stellar.language.expression import shell_library
from stellar.language.library import Library
from stellar.maas.default_location import find_default_registry
from stellar.repl.json_files import parse_json_object, read_variables
from stellar.repl.models import connect_zookeeper, use_models
from stellar.repl.session import Session

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper

GLOBAL_CONFIGURATION = "/metron/topology/global"
PATHS_KEY = "stellar.function.paths"


def open_session(options: argparse.Namespace) -> Session:
    """Open a session from parsed options; the caller closes it.

    Raise ValueError or OSError for an invalid option.
    """
    notes = _configure_logging(options.log4j)
    properties = _properties(options.properties)
    variables = {} if options.variables is None else read_variables(options.variables)
    zookeeper = None if options.zookeeper is None else connect_zookeeper(options.zookeeper)
    settings = GlobalSettings() if zookeeper is None else read_global_configuration(zookeeper)
    session = Session(_library({**settings, **properties}), settings=settings)
    session.notes += notes
    try:
        _add_models(session, options.registry, zookeeper)
    except BaseException:
        session.close()
        raise
    session.add_variables(variables)
    return session


def _configure_logging(file: str | None) -> list[str]:
    if file is None:
        return []
    from stellar.java.log4j import configure

    return configure(Path(file))


def _add_models(session: Session, directory: str | None, zookeeper: ZooKeeper | None) -> None:
    if zookeeper is not None:
        session.use({}, zookeeper)
        use_models(session, None, zookeeper)
    elif directory is not None:
        use_models(session, directory, None)
    elif (default := find_default_registry()) is not None:  # which must not prevent a start
        try:
            use_models(session, str(default), None)
        except ValueError as error:
            session.notes.append(f"no models available: {error}")


def _properties(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    from stellar.java.properties import read

    return read(Path(file))


def _library(settings: Mapping[str, Any]) -> Library:
    """Return the functions of a shell, extended and restricted by settings."""
    library = shell_library()
    if paths := settings.get(PATHS_KEY):
        names = [name.strip() for name in (paths.split(",") if isinstance(paths, str) else paths)]
        try:
            library = Library.of(library, *(import_module(name) for name in names if name))
        except Exception as error:  # importing a module can raise anything
            raise ValueError(
                f"invalid {PATHS_KEY}: {error}; expected names of Python modules with functions"
            ) from error
    return library.configured(settings)


def read_global_configuration(zookeeper: ZooKeeper) -> GlobalSettings:
    """Return Metron's global configuration; empty if the node does not exist. Raises ValueError if it is invalid."""
    try:
        data = zookeeper.read(GLOBAL_CONFIGURATION)
        return GlobalSettings() if data is None else GlobalSettings(parse_json_object(data, GLOBAL_CONFIGURATION))
    except ValueError as error:
        zookeeper.close()
        raise ValueError(f"invalid global configuration in {zookeeper.hosts}: {error}") from error
