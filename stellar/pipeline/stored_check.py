"""Checks of configurations before they are stored.

A configuration is *invalid* if it is no JSON, or has unknown keys or values of other types; Metron rejects it, too. It
*fails* if it cannot be used here: an expression that does not compile, an unknown parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stellar.language.errors import ConfigError
from stellar.language.library import Library
from stellar.pipeline.build import build_pipeline, load_library
from stellar.pipeline.check import check_model_settings, collect_warnings
from stellar.pipeline.config.loading import (
    SensorConfig,
    default_parser,
    load_stored,
    load_stored_enrichment,
    load_stored_global,
    parse_enrichment,
    parse_global,
    parse_indexing,
    parse_parser,
    parse_profiler,
    read_stored,
)
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.output_paths import compile_path_function, parse_writer
from stellar.pipeline.profiler.loading import parse_definitions
from stellar.stores.configurations import ChangedConfigurations, NewConfiguration, ReadableConfigurations

PATTERNS = "parserConfig.grokPath"

_PARSE: dict[str, Callable[[str, SourceLocation], Any]] = {
    "GLOBAL": parse_global,
    "PROFILER": parse_profiler,
    "PARSER": parse_parser,
    "ENRICHMENT": parse_enrichment,
    "INDEXING": parse_indexing,
}


@dataclass(frozen=True)
class ConfigurationCheck:
    """The errors of configurations.

    invalid: what nobody can read
    failing: what cannot be used here
    elsewhere: missing files of patterns, which other hosts may have
    """

    invalid: Sequence[ConfigError] = ()
    failing: Sequence[ConfigError] = ()
    elsewhere: Sequence[ConfigError] = ()

    def __add__(self, other: ConfigurationCheck) -> ConfigurationCheck:
        return ConfigurationCheck(
            [*self.invalid, *other.invalid], [*self.failing, *other.failing], [*self.elsewhere, *other.elsewhere]
        )


def check_changes(
    before: ReadableConfigurations, changes: Sequence[NewConfiguration], directory: Path | None
) -> ConfigurationCheck:
    """Check configurations that are to be stored, and the other ones, which a global one may break.

    directory: the directory in which pattern files are searched first
    """
    after = ChangedConfigurations(before, changes)
    check = ConfigurationCheck()
    for change in changes:
        check += check_configuration(after, change.kind, change.sensor, directory)
    if any(change.kind == "GLOBAL" for change in changes) and not check.invalid:
        check += ConfigurationCheck(failing=list(_find_new_failures(before, after, changes, directory)))
    return check


def _find_new_failures(
    before: ReadableConfigurations,
    after: ReadableConfigurations,
    changes: Sequence[NewConfiguration],
    directory: Path | None,
) -> Iterator[ConfigError]:
    changed = {(change.kind, change.sensor) for change in changes}
    for kind, sensor in _list_dependent(after):
        if (kind, sensor) not in changed and (found := check_configuration(after, kind, sensor, directory).failing):
            known = {str(each) for each in check_configuration(before, kind, sensor, directory).failing}
            yield from (error for error in found if str(error) not in known)


def _list_dependent(store: ReadableConfigurations) -> Iterator[tuple[str, str | None]]:
    """Yield the configurations that depend on the global one."""
    yield "PROFILER", None
    for kind in ("PARSER", "ENRICHMENT", "INDEXING"):
        for sensor in store.list_sensors(kind):
            yield kind, sensor


def check_configuration(
    store: ReadableConfigurations,
    kind: str,
    sensor: str | None,
    directory: Path | None = None,
    library: Library | None = None,
) -> ConfigurationCheck:
    """Return the errors in one configuration of a store, as a run would raise them when it starts.

    directory: the directory in which pattern files are searched first
    library: the functions that profiles can call, instead of those of the global configuration
    """
    invalid: list[ConfigError] = []
    with collect_warnings():  # which `_build` logs again
        ErrorCollector(invalid).attempt(lambda: _parse(store, kind, sensor), None)
    if invalid:
        return ConfigurationCheck(invalid=invalid)
    found: list[ConfigError] = []
    problems = ErrorCollector(found)
    problems.attempt(lambda: _build(store, kind, sensor, directory, library, problems), None)
    others = {store.describe(*key) for key in _list_related(kind, sensor) if key != (kind, sensor)}
    own = [error for error in found if error.file not in others]  # among them those in files of patterns
    failing = [error for error in own if error.path != PATTERNS]
    return ConfigurationCheck((), failing, [error for error in own if error.path == PATTERNS])


def _list_related(kind: str, sensor: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the configurations that `_build` reads."""
    yield "GLOBAL", None
    if kind in ("PARSER", "ENRICHMENT"):
        yield "PARSER", sensor
        yield "ENRICHMENT", sensor


def _parse(store: ReadableConfigurations, kind: str, sensor: str | None) -> None:
    if (found := read_stored(store, kind, sensor)) is not None:
        _PARSE[kind](*found)


def _build(
    store: ReadableConfigurations,
    kind: str,
    sensor: str | None,
    directory: Path | None,
    library: Library | None,
    problems: ErrorCollector,
) -> None:
    """Build what a configuration describes; errors of other configurations are collected, too."""
    settings = load_stored_global(store, problems)
    alone = SensorConfig("any", default_parser(), globals=settings, store=store)
    if kind in ("PROFILER", "INDEXING"):
        used = library or load_library(settings.settings, alone.global_location)
        _compile_other(store, kind, sensor, used)
        return
    if kind == "GLOBAL":
        problems.attempt(lambda: check_model_settings(alone), None)
    load = {"PARSER": load_stored, "ENRICHMENT": load_stored_enrichment}.get(kind)
    config = alone if load is None else load(store, sensor or "", problems, directory)
    if config is not None:
        build_pipeline(config, problems=problems)


def _compile_other(store: ReadableConfigurations, kind: str, sensor: str | None, library: Library) -> None:
    found = read_stored(store, kind, sensor)
    if found is not None and kind == "PROFILER":
        parse_definitions(*found, library)
    elif found is not None:
        compile_path_function(found.location, parse_writer(*found), library)
