"""Checks a configuration without running it: collects all errors, and warns of probable mistakes."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.functions.rest.settings import GLOBAL_KEYS as REST_KEYS
from stellar.java.date_pitfalls import find_pitfalls
from stellar.language.errors import ConfigError
from stellar.pipeline.build import ERROR_FIELD_KEY, LIBRARY_KEY, build_pipeline
from stellar.pipeline.config.loading import INPUTS_KEY, SensorConfig, locate_setting
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.parsers import PARSERS, Parser, list_options, shorten_parser_name
from stellar.pipeline.pipeline import Pipeline
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.tooling.findings import Finding


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """A valid but probably unintended setting, with its source location.

    finding: the lint of an expression, with the source of the expression; None for another setting
    """

    location: SourceLocation
    message: str
    finding: Finding | None = None
    source: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"


@dataclass(frozen=True)
class CheckResult:
    """The result of checking the configuration of a sensor.

    problems: errors; a usable configuration has an empty tuple
    warnings: valid but probably unintended settings
    functions: names of the functions that its expressions call
    pipeline: the pipeline; None if the configuration cannot be loaded
    """

    problems: tuple[ConfigError, ...]
    warnings: tuple[ConfigWarning, ...] = ()
    functions: frozenset[str] = frozenset()
    pipeline: Pipeline | None = field(default=None, compare=False)


def check_sensor(
    read: Callable[[Path, str, ErrorCollector], SensorConfig], directory: Path, sensor: str
) -> CheckResult:
    """Load and build the configuration of a sensor, and return its errors and warnings.

    read: `load_config` or `load_enrichment`
    """
    found: list[ConfigError] = []
    problems = ErrorCollector(found)
    with collect_warnings() as warnings:
        config = problems.attempt(lambda: read(directory, sensor, problems), None)
        if config is None:
            return CheckResult(tuple(found), tuple(warnings))
        pipeline = build_pipeline(config, problems=problems)
        problems.attempt(lambda: check_model_settings(config), None)
    warnings += find_near_misses(config)
    warnings += _find_parser_warnings(pipeline.parser)
    warnings += find_unknown_options(config, pipeline)
    warnings += find_misleading_patterns(config, pipeline)
    from stellar.tooling.lints import lint  # runs do not need it, but parts of this module

    for location, expression in pipeline.expressions:
        for finding in lint(expression.tree, expression.source, expression.library):
            warnings.append(ConfigWarning(location, finding.message, finding, expression.source))
    return CheckResult(tuple(found), tuple(dict.fromkeys(warnings)), pipeline.functions, pipeline)


def _find_parser_warnings(parser: Parser) -> Iterator[ConfigWarning]:
    """Yield the warnings of a parser that has any; see GrokParser."""
    find = getattr(parser, "find_warnings", None)
    for location, message in find() if find is not None else ():
        yield ConfigWarning(location, message)


@contextmanager
def collect_warnings() -> Iterator[list[ConfigWarning]]:
    """Collect the warnings of the pipeline, each of which starts with a location, instead of logging them."""
    logger = logging.getLogger("stellar.pipeline")
    listener, propagates = _WarningListener(), logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield listener.warnings
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagates


class _WarningListener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[ConfigWarning] = []

    def emit(self, record: logging.LogRecord) -> None:
        where = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        location = where if isinstance(where, SourceLocation) else SourceLocation(str(where))
        self.warnings.append(ConfigWarning(location, record.getMessage().removeprefix(f"{location}: ")))


# The options of parsers that are patterns of SimpleDateFormat; that of Snort is one of java.time
_DATE_OPTIONS = ("dateFormat", "timestampFormat", "devTimeFormat")


def find_misleading_patterns(config: SensorConfig, pipeline: Pipeline) -> Iterator[ConfigWarning]:
    """Yield a warning for each date pattern that probably has another meaning than intended, such as YYYY."""
    options, location = config.parser.parser_config, config.parser_location / "parserConfig"
    patterns = [(location / name, options[name]) for name in _DATE_OPTIONS if name in options]
    if shorten_parser_name(config.parser.parser_class_name) == "BasicSnort":
        patterns.clear()
    location = config.global_location / "fieldValidations"
    for index, validation in enumerate(config.globals.field_validations):
        if validation.validation == "DATE":
            patterns.append((location / index / "config" / "format", validation.config.get("format")))
    for where, pattern in patterns:
        for message, hint in find_pitfalls(pattern) if isinstance(pattern, str) else ():
            yield ConfigWarning(where, f"{message}; {hint}")


def check_model_settings(config: SensorConfig) -> None:
    """Raise ConfigError if a `maas.` setting of the global configuration is invalid."""
    if not any(key.lower().startswith("maas.") for key in config.globals.settings):
        return  # avoids loading an HTTP client
    from stellar.maas import ClientSettings

    try:
        ClientSettings.from_global(config.globals.settings)
    except ValueError as error:
        raise locate_setting(config, str(error)).error(str(error)) from error


# The options of `parserConfig` that the pipeline reads for all parsers
GENERAL_OPTIONS = frozenset({
    "readCharset", "filter.query", "bro.filter.source.key", "bro.filter.source.known.protocols", "batchSize",
    "batchTimeout", "kafka.brokerUrl", "kafka.keySerializer", "kafka.valueSerializer", "kafka.zkQuorum",
    "kafka.requiredAcks", "kafka.topic", "kafka.topicField", "kafka.producerConfigs",
})  # fmt: skip


def find_unknown_options(config: SensorConfig, pipeline: Pipeline) -> list[ConfigWarning]:
    """Return a warning for each option that neither the built-in parser nor an expression reads."""
    own = list_options(config.parser.parser_class_name)
    if own is None:
        return []
    known = GENERAL_OPTIONS | own
    read = {name for _, expression in pipeline.expressions for name in expression.variables}
    location = config.parser_location / "parserConfig"
    near = {each.location for each in _find_similar(config.parser.parser_config, known, location)}
    return [
        ConfigWarning(location / name, f"unknown option {quote(name)}: neither the parser nor an expression reads it")
        for name in config.parser.parser_config
        if name not in known and name not in read and "_" not in read and location / name not in near
    ]


@cache
def list_parser_options() -> frozenset[str]:
    """Return the options of all built-in parsers."""
    return frozenset().union(*(list_options(name) or () for name in PARSERS))


# Any key is allowed in global.json. These keys the pipeline or Metron reads
GLOBAL_KEYS = frozenset({
    "fieldValidations", "parser.groups", "parser.error.topic", "source.type.field", "update.hbase.table",
    "update.hbase.cf", "performance.logging.percent.records", "stellar.function.paths", "es.clustername", "es.ip",
    "es.port", "es.date.format", "es.client.settings", "indexing.writer.elasticsearch.setDocumentId",
    "solr.zookeeper", "solr.collection", "enrichment.writer.batchSize", "enrichment.writer.batchTimeout",
    "profiler.period.duration", "profiler.period.duration.units", "profiler.client.period.duration",
    "profiler.client.period.duration.units", "profiler.client.hbase.table", "profiler.client.hbase.column.family",
    "profiler.client.salt.divisor", "profiler.default.value", "profiler.store", "profiler.window.lag",
    "profiler.window.lag.units", "profiler.max.routes.per.bolt",
    "threat.triage.score.field", "threat.triage.legacy.level", LIBRARY_KEY,
    "stellar.function.resolver.includes", "stellar.function.resolver.excludes",
    *REST_KEYS,
    "files.max.bytes", "hdfs.uri", "hdfs.principal", "hdfs.keytab",
    "geo.hdfs.file", "asn.hdfs.file", "enrichment.store", ERROR_FIELD_KEY, INPUTS_KEY,
})  # fmt: skip
_SIMILARITY = 0.87


def find_near_misses(config: SensorConfig) -> list[ConfigWarning]:
    """Return a warning for each unused key that is similar to a key that the pipeline reads."""
    return [
        *_find_similar(
            config.parser.parser_config,
            list_parser_options() | GENERAL_OPTIONS,
            config.parser_location / "parserConfig",
        ),
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
