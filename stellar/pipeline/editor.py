"""Checks one configuration file while it is edited, together with the saved state of the other files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from stellar.language.errors import ConfigError, StellarError
from stellar.language.expression import Expression
from stellar.language.expression import compile as compile_expression
from stellar.language.library import RESOLVER_KEYS, Library
from stellar.pipeline.build import LIBRARY_KEY, build_pipeline, load_library
from stellar.pipeline.check import (
    ConfigWarning,
    check_model_settings,
    collect_warnings,
    find_near_misses,
    find_unknown_options,
)
from stellar.pipeline.config.embedded_expressions import Kind
from stellar.pipeline.config.factories import is_python_path
from stellar.pipeline.config.loading import (
    SensorConfig,
    default_parser,
    parse_enrichment,
    parse_extractor,
    parse_global,
    parse_parser,
    read_global,
)
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.config.schema import GlobalConfig, Transformation


@dataclass(frozen=True)
class FileCheck:
    """The result of checking an edited file.

    problems: errors of the configuration; errors inside of its expressions are not included
    warnings: valid but probably unintended settings; lints of expressions are not included
    """

    problems: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigWarning, ...] = ()


def check_file(source: str, kind: Kind, file: Path) -> FileCheck:
    """Return the errors and warnings of a configuration file with unsaved content.

    source: the content
    file: its path; the other files of the configuration are read from the disk

    Python modules that the configuration names are not imported, because opening a file must not run code. Parsers
    and transformations given by dotted paths are therefore not checked, and neither are profiles, which the pipeline
    does not run.
    """
    if kind == "profiler":
        return FileCheck()
    found: list[ConfigError] = []
    problems = ErrorCollector(found)
    if kind == "extractor":
        problems.attempt(lambda: parse_extractor(source, SourceLocation(str(file))), None)
        return FileCheck(tuple(found))
    with collect_warnings() as warnings:
        written = _read(source, kind, file, problems)
        config = _disable_imports(written)
        pipeline = build_pipeline(config, problems=problems, compile_source=_create_compiler(config))
        problems.attempt(lambda: check_model_settings(config), None)
    warnings += [*find_near_misses(config), *find_unknown_options(written, pipeline)]
    here = {str(file), _locate(config, kind).file}
    return FileCheck(
        tuple(each for each in found if each.file in here and not isinstance(each.__cause__, StellarError)),
        tuple(each for each in warnings if each.location.file in here),
    )


def _create_compiler(config: SensorConfig) -> Callable[..., Expression]:
    """Return a function that compiles the expressions of a configuration, each of which is compiled once.

    While one expression is edited, the others do not change.
    """
    settings = _serialize_library_settings(config.globals.settings)
    if _load_library_of(settings) is None:  # the settings are invalid
        return compile_expression

    def compile_source(text: str, *, library: Library, predicate: bool) -> Expression:
        result = _compile_memoized(text, settings, predicate)
        if isinstance(result, StellarError):
            raise result.with_traceback(None)
        return result

    return compile_source


@lru_cache(maxsize=4096)
def _compile_memoized(text: str, settings: str, predicate: bool) -> Expression | StellarError:
    """Compile an expression, or return its error.

    settings: those of the library, as `_serialize_library_settings` returns them
    """
    try:
        return compile_expression(text, library=_load_library_of(settings), predicate=predicate)
    except StellarError as error:
        return error.with_traceback(None)


def find_library(source: str, kind: Kind, file: Path) -> Library | None:
    """Return the functions that the expressions of an edited file may call.

    None if that takes the import of a module that the configuration names.
    """
    with collect_warnings():
        settings = _read(source, kind, file, ErrorCollector([])).globals.settings
    return _load_library_of(_serialize_library_settings(settings))


def _serialize_library_settings(settings: Mapping[str, Any]) -> str:
    relevant = {key: value for key, value in settings.items() if key == LIBRARY_KEY or key in RESOLVER_KEYS}
    return json.dumps(relevant, sort_keys=True)


@lru_cache(maxsize=8)  # equal settings give the identical library, which is a cache key elsewhere
def _load_library_of(relevant: str) -> Library | None:
    settings = json.loads(relevant)
    name = settings.get(LIBRARY_KEY)
    if name is not None and not str(name).startswith("stellar.functions:"):
        return None
    return ErrorCollector([]).attempt(lambda: load_library(settings, SourceLocation("")), None)


def _read(source: str, kind: Kind, file: Path, problems: ErrorCollector) -> SensorConfig:
    directory = file.parent.parent if file.parent.name == kind else file.parent
    config = SensorConfig(file.stem, default_parser(), globals=_read_saved_globals(directory), directory=directory)
    location = SourceLocation(str(file))
    match kind:
        case "parsers":
            return replace(config, parser=problems.attempt(lambda: parse_parser(source, location), config.parser))
        case "enrichments":
            enrichment = problems.attempt(lambda: parse_enrichment(source, location), config.enrichment)
            return replace(config, enrichment=enrichment)
        case "global":
            return replace(config, globals=problems.attempt(lambda: parse_global(source, location), GlobalConfig()))
    return config


def _read_saved_globals(directory: Path) -> GlobalConfig:
    path = directory / "global.json"
    return ErrorCollector([]).attempt(lambda: read_global(path), GlobalConfig()) if path.is_file() else GlobalConfig()


def _locate(config: SensorConfig, kind: Kind) -> SourceLocation:
    """Return the location of a file of this kind."""
    places = {"parsers": config.parser_location, "enrichments": config.enrichment_location}
    return places.get(kind, config.global_location)


def _disable_imports(config: SensorConfig) -> SensorConfig:
    """Return the configuration with all dotted paths replaced by built-in names, so that nothing is imported."""
    parser = config.parser
    steps = [_NO_OPERATION if _imports(step.transformation) else step for step in parser.field_transformations]
    name = "JSONMap" if _imports(parser.parser_class_name) else parser.parser_class_name
    return replace(
        config,
        parser=parser.model_copy(update={"field_transformations": steps, "parser_class_name": name}),
        globals=config.globals.model_copy(update={LIBRARY_KEY: None}),
    )


def _imports(name: str) -> bool:
    return is_python_path(name)


_NO_OPERATION = Transformation(transformation="RENAME")
