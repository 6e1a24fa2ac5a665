"""Checks the configuration of a sensor without running it: collects all errors, and warns of probable mistakes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stellar.functions.rest.settings import GLOBAL_KEYS as REST_KEYS
from stellar.language.errors import ConfigError
from stellar.language.source import snippet
from stellar.pipeline.build import ERROR_FIELD_KEY, LIBRARY_KEY, build_pipeline
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.parsers.grok import GrokParser
from stellar.tooling.lints import lint


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """A valid but probably unintended setting, with its source location."""

    location: SourceLocation
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"


@dataclass(frozen=True)
class CheckResult:
    """The result of checking the configuration of a sensor.

    problems: errors; a usable configuration has an empty tuple
    warnings: valid but probably unintended settings
    functions: names of the functions that its expressions call
    """

    problems: tuple[ConfigError, ...]
    warnings: tuple[ConfigWarning, ...] = ()
    functions: frozenset[str] = frozenset()


def check_sensor(
    read: Callable[[Path, str, ErrorCollector], SensorConfig], directory: Path, sensor: str
) -> CheckResult:
    """Load and build the configuration of a sensor, and return its errors and warnings.

    read: `load_config` or `load_enrichment`
    """
    found: list[ConfigError] = []
    problems = ErrorCollector(found)
    config = problems.attempt(lambda: read(directory, sensor, problems), None)
    if config is None:
        return CheckResult(tuple(found))
    pipeline = build_pipeline(config, problems=problems)
    problems.attempt(lambda: check_model_settings(config), None)
    warnings = find_near_misses(config)
    if isinstance(pipeline.parser, GrokParser):
        warnings += [ConfigWarning(location, message) for location, message in pipeline.parser.find_warnings()]
    for location, expression in pipeline.expressions:
        for finding in lint(expression.tree, expression.source, expression.library):
            shown = snippet(expression.source, finding.span)
            warnings.append(
                ConfigWarning(location, f"{finding.name}: {finding.message}\n{shown}\nhint: {finding.hint}")
            )
    return CheckResult(tuple(found), tuple(warnings), pipeline.functions)


def check_model_settings(config: SensorConfig) -> None:
    """Raise ConfigError if a `maas.` setting of the global configuration is invalid."""
    if not any(key.lower().startswith("maas.") for key in config.globals.settings):
        return  # avoids loading an HTTP client
    from stellar.maas import ClientSettings

    try:
        ClientSettings.from_global(config.globals.settings)
    except ValueError as error:
        raise config.global_location.error(str(error)) from error


# Any key is allowed in these maps, since expressions see them as variables. These keys the pipeline reads
PARSER_OPTIONS = frozenset({
    "readCharset", "filter.query", "bro.filter.source.key", "bro.filter.source.known.protocols",
    "grokPath", "patternLabel", "timestampField", "timeFields", "dateFormat", "timeZone", "timezone", "multiLine",
    "matchTimeoutMs", "columns", "separator", "timestampFormat", "mapStrategy", "overrideOriginalString", "jsonpQuery",
    "wrapInEntityArray",
})  # fmt: skip
GLOBAL_KEYS = frozenset({
    "fieldValidations", "threat.triage.score.field", "threat.triage.legacy.level", LIBRARY_KEY,
    "stellar.function.resolver.includes", "stellar.function.resolver.excludes",
    *REST_KEYS,
    "hdfs.uri", "hdfs.principal", "hdfs.keytab", "geo.hdfs.file", "asn.hdfs.file", "enrichment.store", ERROR_FIELD_KEY,
})  # fmt: skip
_SIMILARITY = 0.87


def find_near_misses(config: SensorConfig) -> list[ConfigWarning]:
    """Return a warning for each unused key that is similar to a key that the pipeline reads."""
    return [
        *_find_similar(config.parser.parser_config, PARSER_OPTIONS, config.parser_location / "parserConfig"),
        *_find_similar(_other_than_models(config.globals.settings), GLOBAL_KEYS, config.global_location),
    ]


def _other_than_models(names: Iterable[str]) -> list[str]:
    """Return the keys without those of models: an unknown one of these is an error."""
    return [name for name in names if not name.lower().startswith("maas.") or name == ERROR_FIELD_KEY]


def _find_similar(names: Iterable[str], known: frozenset[str], location: SourceLocation) -> Iterator[ConfigWarning]:
    lower = {name.lower(): name for name in known}
    for name in names:
        near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=_SIMILARITY)
        if name not in known and near:
            yield ConfigWarning(location / name, f"unused key; did you mean {lower[near[0]]}?")
