"""From a sensor's configuration to its pipeline: the parser and the stages, each made by its table of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stellar.functions import LIBRARY
from stellar.functions.rest.settings import check_global
from stellar.language.context import NOTHING, Context, GlobalSettings
from stellar.language.library import Library, SettingError
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.locations import FIRST, ErrorCollector, SourceLocation
from stellar.pipeline.config.schema import ParserConfig, SensorConfig
from stellar.pipeline.models import _report, _telling
from stellar.pipeline.parsers import Parser, Settings, parser_factory
from stellar.pipeline.parsers.json_map import JsonMapParser
from stellar.pipeline.pipeline import Envelope, Pipeline, ValidateParsed
from stellar.pipeline.records import Stage
from stellar.pipeline.stages.enrichment import enrichment
from stellar.pipeline.stages.fields import transformation
from stellar.pipeline.stages.filters import record_filter
from stellar.pipeline.stages.triage import triage
from stellar.pipeline.stages.validation import validation
from stellar.util.suggestions import known_names

if TYPE_CHECKING:
    pass


def build(config: SensorConfig, context: Context = NOTHING, problems: ErrorCollector = FIRST) -> Pipeline:
    """The pipeline of a sensor, with every expression compiled.

    context: what functions need from outside, such as a model registry
    problems: takes what is wrong; where anything was collected, the pipeline lacks that, and is not to be run

    Raises ConfigError for what is unknown or not as it should be.
    """
    place = config.parser_place
    settings = config.globals.settings
    library = problems.attempt(lambda: library_of(settings, config.global_place), LIBRARY)
    problems.attempt(lambda: _check_rest_settings(settings, config.global_place), None)
    given = _telling(context)
    services = given.with_services({GlobalSettings: given.get(GlobalSettings, GlobalSettings(settings))})
    workshop = BuildContext(library, services, settings=settings, report=_report, problems=problems)
    options = config.parser.parser_config
    parser = problems.attempt(lambda: _parser(config), JsonMapParser(Settings({}, place)))
    return Pipeline(
        config.sensor,
        parser,
        problems.attempt(lambda: _charset(options, place / "parserConfig" / "readCharset"), "UTF-8"),
        tuple(_transformations(config.parser, place / "fieldTransformations", replace(workshop, options=options))),
        tuple(_stages(config, parser, workshop)),
        problems.attempt(lambda: _envelope(config.parser, place), None),
        frozenset(workshop.functions),
        services,
        tuple(workshop.expressions),
        problems.attempt(lambda: _error_field(settings, config.global_place), None),
    )


def _check_rest_settings(settings: Mapping[str, Any], place: SourceLocation) -> None:
    try:
        check_global(settings)
    except LookupError as error:
        raise place.error(str(error)) from error


ERROR_FIELD_KEY = "maas.error.field"


def _error_field(settings: Mapping[str, Any], place: SourceLocation) -> str | None:
    name = settings.get(ERROR_FIELD_KEY)
    if name is None or (isinstance(name, str) and name):
        return name
    raise (place / ERROR_FIELD_KEY).error("the name of a field is wanted here, such as maas.error")


def _parser(config: SensorConfig) -> Parser:
    place = config.parser_place
    make_parser = parser_factory(config.parser.parser_class_name, place / "parserClassName")
    return make_parser(Settings(config.parser.parser_config, place / "parserConfig", config.directory))


def _transformations(config: ParserConfig, place: SourceLocation, workshop: BuildContext) -> Iterator[Stage]:
    for index, each in enumerate(config.field_transformations):
        stage = workshop.problems.attempt(partial(transformation, each, place / index, workshop), None)
        if stage is not None:
            yield stage


def _stages(config: SensorConfig, parser: Parser, workshop: BuildContext) -> Iterator[tuple[str, Stage]]:
    keep = workshop.problems.attempt(lambda: record_filter(config.parser, config.parser_place, workshop), None)
    if keep is not None:
        yield "filter", keep
    yield "validate", ValidateParsed(parser)
    if config.globals.field_validations:
        yield (
            "validate",
            validation(config.globals.field_validations, config.global_place / "fieldValidations", workshop),
        )
    place = config.enrichment_place
    shared = config.enrichment.configuration
    yield "enrich", enrichment("enrich", config.enrichment.enrichment, shared, place / "enrichment", workshop)
    threat_intel = config.enrichment.threat_intel
    yield "threatIntel", enrichment("threatIntel", threat_intel, shared, place / "threatIntel", workshop)
    yield "triage", triage(threat_intel, shared, place / "threatIntel", workshop)


def library_of(settings: Mapping[str, Any], place: SourceLocation) -> Library:
    """The functions that the global configuration lets expressions call. Raises ConfigError if it can't be told."""
    library = _named_library(settings.get(LIBRARY_KEY), place / LIBRARY_KEY)
    try:
        return library.configured(settings)
    except SettingError as error:
        raise (place / error.key).error(error.message) from error


LIBRARY_KEY = "stellar.function.library"


def _named_library(name: object, place: SourceLocation) -> Library:
    if name is None:
        return LIBRARY
    try:
        return Library.named(str(name))
    except (LookupError, ValueError, TypeError) as error:
        raise place.error(f"{error}; name one as module:attribute, such as stellar.functions:SHELL_LIBRARY") from error


def _charset(options: Mapping[str, Any], place: SourceLocation) -> str:
    name = options.get("readCharset", "UTF-8")
    try:
        "".encode(name)
    except (LookupError, TypeError):
        raise place.error(f'unknown charset {name!r}; give one such as "UTF-8" or "ISO-8859-1"') from None
    return str(name)


STRATEGIES = ("DEFAULT", "ENVELOPE")


def _envelope(config: ParserConfig, place: SourceLocation) -> Envelope | None:
    strategy = config.raw_message_strategy.upper()
    if strategy not in STRATEGIES:
        raise (place / "rawMessageStrategy").error(
            f"unknown strategy {strategy!r}; {known_names(strategy, STRATEGIES)}"
        )
    if strategy == "DEFAULT":
        return None
    inner = place / "rawMessageStrategyConfig"
    options = config.raw_message_strategy_config
    if not isinstance(wanted := options.get("messageField"), str):
        raise (inner / "messageField").error(
            "the strategy ENVELOPE needs the name of the field that holds the text to parse"
        )
    prefix = options.get("metadataPrefix", "metron.metadata")
    if not isinstance(prefix, str):
        raise (inner / "metadataPrefix").error(f"a text is wanted, not {prefix!r}")
    if config.merge_metadata is False and config.read_metadata is not False:
        raise (place / "mergeMetadata").error(
            "metadata that is read but not merged is not in this release; merge it, or set readMetadata to false"
        )
    return Envelope(wanted, f"{prefix}." if prefix else "", config.read_metadata is not False)
