"""Reading and writing of the configurations in a directory or in ZooKeeper.

The shell's option `--config` selects a directory, and `-z` ZooKeeper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stellar.language.context import Context
from stellar.language.conversions import to_optional_string
from stellar.language.errors import ConfigError
from stellar.language.expression import shell_library
from stellar.language.library import stellar
from stellar.pipeline.config.loading import (
    validate,
)
from stellar.pipeline.config.locations import ConfigErrors, SourceLocation, parse_object
from stellar.pipeline.config.metron_json import (
    make_empty_parser,
    print_json,
    read_enrichment_json,
    read_indexing_json,
    read_parser_json,
    read_profiler_json,
)
from stellar.pipeline.config.schema import GlobalConfig
from stellar.pipeline.functions.arguments import list_errors
from stellar.pipeline.stored_check import check_configuration
from stellar.stores.configurations import (
    KINDS,
    ChangedConfigurations,
    ConfigurationStore,
    DirectoryConfigurations,
    NewConfiguration,
    encode_text,
    has_sensors,
)

_NOT_GIVEN: Any = object()


def _read_global(text: str, location: SourceLocation) -> dict[str, Any]:
    value = parse_object(text, location.file)
    validate(GlobalConfig, value, location)
    return value


# The function that reads each kind, with all keys
_READERS: dict[str, Callable[[str, SourceLocation], dict[str, Any]]] = {
    "GLOBAL": _read_global,
    "PROFILER": read_profiler_json,
    "PARSER": read_parser_json,
    "ENRICHMENT": read_enrichment_json,
    "INDEXING": read_indexing_json,
}


@stellar("CONFIG_GET")
def get(context: Context, type_: str, sensor: object = _NOT_GIVEN, empty_if_not_present: object = _NOT_GIVEN) -> Any:
    """Return a configuration as JSON with all keys that have defaults.

    type: GLOBAL, PROFILER, PARSER, ENRICHMENT or INDEXING
    sensor: The name of the sensor, for the last three types
    emptyIfNotPresent: False returns null for a missing configuration; by default it is empty. Also accepted as the
        second argument
    returns: The configuration, a string of several lines

    With the configurations of a directory:

        CONFIG_GET('INDEXING', 'no_such_sensor')  // '{ }'
        CONFIG_GET('PARSER', 'no_such_sensor', false)  // null
        CONFIG_GET('GLOBAL', false)  // null
        CONFIG_GET('global')  // error
    """
    store = find_store("CONFIG_GET", context)
    _require_kind("CONFIG_GET", type_)
    given = [value for value in (sensor, empty_if_not_present) if value is not _NOT_GIVEN]
    name = to_optional_string(given[0]) if given and has_sensors(type_) else None
    text = read_stored("CONFIG_GET", store, type_, name)
    if text is not None:
        location = SourceLocation(store.describe(type_, name))
        return print_json(_attempt("CONFIG_GET", lambda: _READERS[type_](text, location)))
    return None if given and given[-1] is False else print_json(_make_empty(type_))


def _make_empty(kind: str) -> dict[str, Any]:
    match kind:
        case "PARSER":
            return make_empty_parser()
        case "GLOBAL" | "INDEXING":
            return {}
    return _READERS[kind]("{}", SourceLocation(kind))


@stellar("CONFIG_PUT")
def put(context: Context, type_: str, config: str | None, sensor: object = None) -> None:
    """Check a configuration, and store it as it is.

    type: GLOBAL, PROFILER, PARSER, ENRICHMENT or INDEXING
    config: The configuration as JSON; null changes nothing
    sensor: The name of the sensor, for the last three types
    returns: Null

    An invalid configuration, such as one with an unknown key or an invalid expression, is an error, and is not stored.
    With the configurations of a directory:

        CONFIG_PUT('GLOBAL', '{')  // error
        CONFIG_PUT('PARSER', '{"parserClassName": "NoSuchParser"}', 'web')  // error
        CONFIG_PUT('INDEXING', '{"hdfs": {"batchSize": 5}}')  // error
        CONFIG_PUT('GLOBAL', null)  // null
    """
    _require_kind("CONFIG_PUT", type_)
    if config is None:
        return
    store = find_store("CONFIG_PUT", context)
    name = to_optional_string(sensor) if has_sensors(type_) else None
    try:
        store.describe(type_, name)  # rejects an invalid name before an invalid configuration
        _attempt("CONFIG_PUT", lambda: _check(type_, config, name, store))
        store.write(type_, config, name)
    except OSError as error:
        raise ValueError(f"CONFIG_PUT cannot store the configuration: {error}") from error


def _require_kind(function: str, kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"{function} expected one of {', '.join(KINDS)} as type, got {kind[:40]!r}")


def find_store(function: str, context: Context) -> ConfigurationStore:
    """Return the configurations. Raises LookupError if none are selected."""
    store = context.get(ConfigurationStore)  # type: ignore[type-abstract]
    if store is None:
        raise LookupError(
            f"{function} needs configurations; start the shell with --config DIR or -z HOST:PORT, or add a "
            "ConfigurationStore to the context"
        )
    return store


def read_stored(function: str, store: ConfigurationStore, kind: str, sensor: str | None) -> str | None:
    """Return a stored configuration; None if it does not exist. Raises ValueError if it cannot be read."""
    try:
        return store.read(kind, sensor)
    except OSError as error:
        raise ValueError(f"{function} cannot read the configuration: {error}") from error


def _attempt(function: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ConfigError as error:
        raise ValueError(f"{function}: {list_errors(error)}") from error


# -- Checks -----------------------------------------------------------------------------------------------------------


def _check(kind: str, text: str, sensor: str | None, store: ConfigurationStore) -> None:
    """Check a configuration as a run does when it starts. Raises ConfigError."""
    new = NewConfiguration(kind, sensor, encode_text(text), store.describe(kind, sensor))
    directory = store.directory if isinstance(store, DirectoryConfigurations) else None
    found = check_configuration(ChangedConfigurations(store, [new]), kind, sensor, directory, shell_library())
    # Only the hosts of a cluster may have the files of patterns
    if errors := [*found.invalid, *found.failing, *(found.elsewhere if directory is not None else ())]:
        raise ConfigErrors(errors)
