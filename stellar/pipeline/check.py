"""What can be said of a sensor's configuration without running it: all that is wrong, and what is seldom meant."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stellar.functions.rest.settings import GLOBAL_KEYS as REST_KEYS
from stellar.language.errors import ConfigError
from stellar.language.source import snippet
from stellar.pipeline.build import ERROR_FIELD_KEY, LIBRARY_KEY, build
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.config.schema import SensorConfig
from stellar.tooling.lints import lint


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is allowed, but seldom meant, and where it stands."""

    place: SourceLocation
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    problems: why the configuration cannot be used
    warnings: what is allowed in it, but seldom meant
    functions: what its expressions call
    """

    problems: tuple[ConfigError, ...]
    warnings: tuple[Remark, ...] = ()
    functions: frozenset[str] = frozenset()


def checked(read: Callable[[Path, str, ErrorCollector], SensorConfig], directory: Path, sensor: str) -> Verdict:
    """What there is to say of a sensor's configuration, which is read and built for that."""
    found: list[ConfigError] = []
    problems = ErrorCollector(found)
    config = problems.attempt(lambda: read(directory, sensor, problems), None)
    if config is None:
        return Verdict(tuple(found))
    pipeline = build(config, problems=problems)
    problems.attempt(lambda: check_model_settings(config), None)
    warnings = near_misses(config)
    for place, expression in pipeline.expressions:
        for finding in lint(expression.tree, expression.source, expression.library):
            shown = snippet(expression.source, finding.span)
            warnings.append(Remark(place, f"{finding.name}: {finding.message}\n{shown}\nhint: {finding.hint}"))
    return Verdict(tuple(found), tuple(warnings), pipeline.functions)


def check_model_settings(config: SensorConfig) -> None:
    """Raise ConfigError if the global configuration says something of models that can't be."""
    if not any(key.lower().startswith("maas.") for key in config.globals.settings):
        return  # and no HTTP client is loaded for nothing
    from stellar.maas import ClientSettings

    try:
        ClientSettings.from_global(config.globals.settings)
    except ValueError as error:
        raise config.global_place.error(str(error)) from error


# The maps may hold anything, since expressions see what is in them; these are the keys that we read
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
_LIKENESS = 0.87


def near_misses(config: SensorConfig) -> list[Remark]:
    """The keys that nothing reads, and that are nearly such as are read."""
    return [
        *_near_misses(config.parser.parser_config, PARSER_OPTIONS, config.parser_place / "parserConfig"),
        *_near_misses(_other_than_models(config.globals.settings), GLOBAL_KEYS, config.global_place),
    ]


def _other_than_models(names: Iterable[str]) -> list[str]:
    """The keys but those of models, among which an unknown one is an error."""
    return [name for name in names if not name.lower().startswith("maas.") or name == ERROR_FIELD_KEY]


def _near_misses(names: Iterable[str], known: frozenset[str], place: SourceLocation) -> Iterator[Remark]:
    lower = {name.lower(): name for name in known}
    for name in names:
        near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=_LIKENESS)
        if name not in known and near:
            yield Remark(place / name, f"nothing reads this key but expressions; did you mean {lower[near[0]]}?")
