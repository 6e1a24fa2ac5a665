"""Opening of sessions from the options of the shell and the notebook."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.java.jackson import read_first_value
from stellar.language.context import GlobalSettings
from stellar.language.expression import shell_library
from stellar.language.library import Library
from stellar.maas.default_location import find_default_registry
from stellar.repl.json_files import parse_json_object, read_variables
from stellar.repl.models import connect_zookeeper, use_models
from stellar.repl.session import Session
from stellar.stores.configurations import (
    ROOT,
    ConfigurationStore,
    DirectoryConfigurations,
    ZooKeeperConfigurations,
    locate,
)

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper

GLOBAL_CONFIGURATION = f"{ROOT}/{locate('GLOBAL')}"
PATHS_KEY = "stellar.function.paths"


def open_session(options: argparse.Namespace) -> Session:
    """Open a session from parsed options; the caller closes it.

    Raise ValueError or OSError for an invalid option.
    """
    notes = _configure_logging(options.log4j)
    properties = _properties(options.properties)
    variables = {} if options.variables is None else read_variables(options.variables)
    directory = None if options.config is None else _open_directory(options.config)
    settings = GlobalSettings() if directory is None else _read_settings(directory)
    zookeeper = None if options.zookeeper is None else connect_zookeeper(options.zookeeper)
    if zookeeper is not None and directory is None:
        settings = read_global_configuration(zookeeper)
    session = Session(_library({**settings, **properties}), settings=settings)
    session.notes += notes
    if (store := directory or (zookeeper and ZooKeeperConfigurations(zookeeper))) is not None:
        session.use({ConfigurationStore: store})
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


def _open_directory(directory: str) -> DirectoryConfigurations:
    path = Path(directory).expanduser()
    if not path.is_dir():
        raise ValueError(f"--config: {directory} is not a directory; create it, or check the path")
    return DirectoryConfigurations(path)


def _read_settings(store: DirectoryConfigurations) -> GlobalSettings:
    """Return the global configuration, in which comments are allowed; empty if it does not exist."""
    text, name = store.read("GLOBAL"), store.describe("GLOBAL")
    if text is None:
        return GlobalSettings()
    try:
        value, _ = read_first_value(text)
    except ValueError as error:
        raise ValueError(f"invalid global configuration in {name}: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"invalid global configuration in {name}: expected a JSON object")
    return GlobalSettings(value)
