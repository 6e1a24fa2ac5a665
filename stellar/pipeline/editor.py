"""What can be said of one file of a configuration while it is edited, with the other files as they are saved."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from stellar.language.errors import ConfigError, StellarError
from stellar.language.library import RESOLVER_KEYS, Library
from stellar.pipeline.build import LIBRARY_KEY, build, library_of
from stellar.pipeline.check import Remark, check_model_settings, near_misses
from stellar.pipeline.config.embedded_expressions import Kind
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.config.schema import (
    GlobalConfig,
    SensorConfig,
    Transformation,
    enrichment_in,
    global_in,
    json_parser,
    parser_in,
    read_global,
)


@dataclass(frozen=True)
class Edited:
    """What there is to say of an edited file.

    problems: why it cannot be used, without what its Stellar texts say of themselves
    remarks: what is allowed in it, but seldom meant; without lints
    """

    problems: tuple[ConfigError, ...] = ()
    remarks: tuple[Remark, ...] = ()


def edited(source: str, kind: Kind, file: Path) -> Edited:
    """What there is to say of the file of this path, if this stood in it.

    No Python module is imported that a configuration names: who looks at a file has not said that it may run. So of
    parsers and transformations by dotted paths nothing is said; nor of profiles, as nothing here runs them.
    """
    if kind == "profiler":
        return Edited()
    found: list[ConfigError] = []
    problems = ErrorCollector(found)
    with _warnings() as remarks:
        config = _without_imports(_read(source, kind, file, problems))
        build(config, problems=problems)
        problems.attempt(lambda: check_model_settings(config), None)
    here = {str(file), _place(config, kind).file}
    return Edited(
        tuple(each for each in found if each.file in here and not isinstance(each.__cause__, StellarError)),
        tuple(each for each in (*remarks, *near_misses(config)) if each.place.file in here),
    )


@contextmanager
def _warnings() -> Iterator[list[Remark]]:
    """Takes the warnings of the pipeline, all of which begin with a place, and keeps them from being logged."""
    logger = logging.getLogger("stellar.pipeline")
    listener, propagates = _Listener(), logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield listener.remarks
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagates


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.remarks: list[Remark] = []

    def emit(self, record: logging.LogRecord) -> None:
        where = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        place = where if isinstance(where, SourceLocation) else SourceLocation(str(where))
        self.remarks.append(Remark(place, record.getMessage().removeprefix(f"{place}: ")))


def functions_for(source: str, kind: Kind, file: Path) -> Library | None:
    """The functions that the Stellar texts of such a file may call; None if only an import could tell."""
    with _warnings():
        settings = _read(source, kind, file, ErrorCollector([])).globals.settings
    telling = {key: value for key, value in settings.items() if key == LIBRARY_KEY or key in RESOLVER_KEYS}
    return _functions(json.dumps(telling, sort_keys=True))


@lru_cache(maxsize=8)  # so that the same settings give the very same library, by which others remember things
def _functions(telling: str) -> Library | None:
    settings = json.loads(telling)
    name = settings.get(LIBRARY_KEY)
    if name is not None and not str(name).startswith("stellar.functions:"):
        return None
    return ErrorCollector([]).attempt(lambda: library_of(settings, SourceLocation("")), None)


def _read(source: str, kind: Kind, file: Path, problems: ErrorCollector) -> SensorConfig:
    directory = file.parent.parent if file.parent.name == kind else file.parent
    config = SensorConfig(file.stem, json_parser(), globals=_saved_globals(directory), directory=directory)
    place = SourceLocation(str(file))
    match kind:
        case "parsers":
            return replace(config, parser=problems.attempt(lambda: parser_in(source, place), config.parser))
        case "enrichments":
            enrichment = problems.attempt(lambda: enrichment_in(source, place), config.enrichment)
            return replace(config, enrichment=enrichment)
        case "global":
            return replace(config, globals=problems.attempt(lambda: global_in(source, place), GlobalConfig()))
    return config


def _saved_globals(directory: Path) -> GlobalConfig:
    path = directory / "global.json"
    return ErrorCollector([]).attempt(lambda: read_global(path), GlobalConfig()) if path.is_file() else GlobalConfig()


def _place(config: SensorConfig, kind: Kind) -> SourceLocation:
    """Where the pipeline looks for a file of this kind."""
    places = {"parsers": config.parser_place, "enrichments": config.enrichment_place}
    return places.get(kind, config.global_place)


def _without_imports(config: SensorConfig) -> SensorConfig:
    """The configuration with what does nothing in the place of what would be imported."""
    parser = config.parser
    steps = [_NO_STEP if _imports(step.transformation) else step for step in parser.field_transformations]
    name = "JSONMap" if _imports(parser.parser_class_name) else parser.parser_class_name
    return replace(
        config,
        parser=parser.model_copy(update={"field_transformations": steps, "parser_class_name": name}),
        globals=config.globals.model_copy(update={LIBRARY_KEY: None}),
    )


def _imports(name: str) -> bool:
    return "." in name and not name.startswith("org.apache.")


_NO_STEP = Transformation(transformation="RENAME")
