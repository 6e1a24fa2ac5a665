"""Builds the pipeline of a sensor from its configuration: the parser and the stages, each looked up in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from stellar.functions import LIBRARY
from stellar.java.charsets import UTF_8, Charset, find_charset
from stellar.language.context import NOTHING, Context, FailureReporter, GlobalSettings
from stellar.language.errors import ConfigError
from stellar.language.expression import Expression
from stellar.language.expression import compile as compile_expression
from stellar.language.library import Library, SettingError
from stellar.language.runtime import describe
from stellar.pipeline.config.compile import BuildContext
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.locations import RAISE_FIRST, ErrorCollector, SourceLocation
from stellar.pipeline.messages import MessageStrategy, build_strategy
from stellar.pipeline.models import RecordReporter, add_reporting, current_metadata, report_failure
from stellar.pipeline.parsers import Parser, Settings, find_parser_factory
from stellar.pipeline.parsers.json_map import JsonMapParser
from stellar.pipeline.phases import Phase
from stellar.pipeline.pipeline import Pipeline, ValidateParsed
from stellar.pipeline.records import Stage
from stellar.pipeline.routing import (
    PipelineGroup,
    TopicPattern,
    build_route,
    build_topic_route,
    read_topic_pattern,
)
from stellar.pipeline.stages.enrichment import build_enrichment
from stellar.pipeline.stages.fields import build_transformation
from stellar.pipeline.stages.filters import build_filter
from stellar.pipeline.stages.triage import build_triage
from stellar.pipeline.stages.validation import build_validation
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import ParserConfig


def build_group(
    configs: Sequence[SensorConfig],
    context: Context = NOTHING,
    problems: ErrorCollector = RAISE_FIRST,
    *,
    phase: Phase = Phase.ALL,
    has_topics: bool = False,
    output: str | None = None,
) -> PipelineGroup:
    """Return the pipelines of several sensors, which pass records on to each other by topic.

    phase: the stages of the pipelines; with PARSE all records are passed on
    has_topics: True if records can be passed on to topics that no sensor of this process reads
    output: with PARSE, the topic of the records, instead of that of each sensor's configuration

    Raises ConfigError for unknown names and invalid values.
    """
    topics = [problems.attempt(partial(read_topic_pattern, config), TopicPattern("")) for config in configs]
    for index, (topic, config) in enumerate(zip(topics, configs, strict=True)):
        if topic in topics[:index]:
            earlier = configs[topics.index(topic)].sensor
            error = (config.parser_location / "sensorTopic").error(
                f"topic {quote(topic.text)} is read by {earlier}, too"
            )
            problems.attempt(partial(_raise, error), None)
    pipelines = [build_pipeline(config, context, problems, topics, phase=phase, output=output) for config in configs]
    passed_on: Literal["none", "unread", "all"] = "none" if not has_topics else "unread"
    return PipelineGroup(list(zip(topics, pipelines, strict=True)), "all" if phase is Phase.PARSE else passed_on)


def _raise(error: ConfigError) -> None:
    raise error


def build_pipeline(
    config: SensorConfig,
    context: Context = NOTHING,
    problems: ErrorCollector = RAISE_FIRST,
    topics: Sequence[TopicPattern] = (),
    compile_source: Callable[..., Expression] = compile_expression,
    *,
    phase: Phase = Phase.ALL,
    output: str | None = None,
) -> Pipeline:
    """Return the pipeline of a sensor, with all expressions compiled.

    context: the services that functions use, such as a model registry
    topics: the topics that sensors in this process read
    problems: collects the errors of the configuration; by default the first one is raised. If there are any, the
        pipeline is incomplete and must not be run.
    compile_source: compiles an expression, with the arguments of `stellar.compile`
    phase: the stages that it has
    output: with PARSE, the topic of the records, instead of that of the configuration

    Raises ConfigError for unknown names and invalid values.
    """
    location = config.parser_location
    settings = config.globals.settings
    library = problems.attempt(lambda: load_library(settings, config.global_location), LIBRARY)
    problems.attempt(lambda: _check_rest_settings(settings, config.global_location), None)
    given = add_reporting(context)
    reporter = given.get(FailureReporter, RecordReporter())  # type: ignore[type-abstract]
    services = given.with_services(
        {
            GlobalSettings: given.get(GlobalSettings, GlobalSettings(settings)),
            FailureReporter: reporter,
            **_note_profiles(config),
        }
    )
    builder = BuildContext(
        library,
        services,
        settings=settings,
        report=report_failure,
        problems=problems,
        global_location=config.global_location,
        compile_source=compile_source,
    )
    options = config.parser.parser_config
    # Metron passes its context to expressions under this name, so that it is a member of `_`
    variables = {"stellarContext": "Context", **options}
    parser = problems.attempt(lambda: _parser(config), JsonMapParser(Settings({}, location)))
    return Pipeline(
        config.sensor,
        parser,
        problems.attempt(lambda: _charset(options, location / "parserConfig" / "readCharset"), UTF_8),
        tuple(
            _transformations(
                config.parser,
                location / "fieldTransformations",
                replace(builder, options=variables, metadata=current_metadata),
            )
        ),
        tuple(_stages(config, parser, builder, topics, phase, output)),
        problems.attempt(lambda: build_strategy(config.parser, location), MessageStrategy()),
        frozenset(builder.functions),
        services,
        tuple(builder.expressions),
        problems.attempt(lambda: _error_field(settings, config.global_location), None),
        tuple(builder.checks),
        is_parsing=phase is not Phase.ENRICH,
    )


def _note_profiles(config: SensorConfig) -> dict[type, Any]:
    """Return the service by which PROFILE_* functions know that the run computes profiles, if it does."""
    if config.profiler_location is None:
        return {}
    from stellar.profiles.store import ProfilesComputedHere  # few configurations have profiles

    return {ProfilesComputedHere: ProfilesComputedHere()}


build = build_pipeline  # the name in this module that existing programs import


def _check_rest_settings(settings: Mapping[str, Any], location: SourceLocation) -> None:
    if not any(key.startswith("stellar.rest.") for key in settings):
        return
    from stellar.functions.rest.settings import check_global  # it loads the network layer

    try:
        check_global(settings)
    except LookupError as error:
        key = next((key for key in sorted(settings, key=len, reverse=True) if key in str(error)), None)
        raise (location if key is None else location / key).error(str(error)) from error


ERROR_FIELD_KEY = "maas.error.field"


def _error_field(settings: Mapping[str, Any], location: SourceLocation) -> str | None:
    name = settings.get(ERROR_FIELD_KEY)
    if name is None or (isinstance(name, str) and name):
        return name
    raise (location / ERROR_FIELD_KEY).error(f"expected the name of a field, such as maas.error, got {quote(name)}")


def _parser(config: SensorConfig) -> Parser:
    location = config.parser_location
    make_parser = find_parser_factory(config.parser.parser_class_name, location / "parserClassName")
    options = config.parser.parser_config
    return make_parser(Settings(options, location / "parserConfig", config.directory, _find_remote(config)))


_MOST_PATTERN_BYTES = 16 * 1024 * 1024


def _find_remote(config: SensorConfig) -> Callable[[str], bytes] | None:
    """Return the function that reads files in HDFS, if a configuration in ZooKeeper names one."""
    if config.store is None or "hdfs.uri" not in config.globals.settings:
        return None
    from stellar.functions.hdfs import read_hdfs_file  # most configurations need no HDFS
    from stellar.stores.configurations import ConfigurationSnapshot

    if not isinstance(config.store, ConfigurationSnapshot):
        return None
    settings = GlobalSettings(config.globals.settings)
    return lambda path: read_hdfs_file(settings, path, _MOST_PATTERN_BYTES)


def _transformations(config: ParserConfig, location: SourceLocation, builder: BuildContext) -> Iterator[Stage]:
    for index, each in enumerate(config.field_transformations):
        stage = builder.problems.attempt(partial(build_transformation, each, location / index, builder), None)
        if stage is not None:
            yield stage


def _stages(
    config: SensorConfig,
    parser: Parser,
    builder: BuildContext,
    topics: Sequence[TopicPattern],
    phase: Phase,
    output: str | None,
) -> Iterator[tuple[str, Stage]]:
    if phase is not Phase.ENRICH:
        yield from _validating_stages(config, parser, builder)
    if phase is Phase.PARSE:
        yield from _attempt_stage(
            "route", lambda: build_topic_route(config.parser, config.parser_location, output), builder
        )
        return
    if phase is Phase.ALL:
        yield from _attempt_stage("route", lambda: build_route(config.parser, config.parser_location, topics), builder)
    yield from _enriching_stages(config, builder)


def _attempt_stage(name: str, build: Callable[[], Stage | None], builder: BuildContext) -> Iterator[tuple[str, Stage]]:
    """Yield a stage, unless there is none or it is invalid."""
    if (stage := builder.problems.attempt(build, None)) is not None:
        yield name, stage


def _validating_stages(config: SensorConfig, parser: Parser, builder: BuildContext) -> Iterator[tuple[str, Stage]]:
    yield from _attempt_stage("filter", lambda: build_filter(config.parser, config.parser_location, builder), builder)
    yield "validate", ValidateParsed(parser)
    if config.globals.field_validations:
        yield (
            "validate",
            build_validation(config.globals.field_validations, config.global_location / "fieldValidations", builder),
        )


def _enriching_stages(config: SensorConfig, builder: BuildContext) -> Iterator[tuple[str, Stage]]:
    location = config.enrichment_location
    enrichment, threat_intel = config.enrichment.enrichment, config.enrichment.threat_intel
    shared = config.enrichment.configuration
    yield (
        "enrich",
        build_enrichment("enrich", enrichment, (enrichment.config, shared), location / "enrichment", builder),
    )
    variables = (threat_intel.config, enrichment.config, shared)
    yield "threatIntel", build_enrichment("threatIntel", threat_intel, variables, location / "threatIntel", builder)
    yield "triage", build_triage(threat_intel, shared, location / "threatIntel", builder)


def load_library(settings: Mapping[str, Any], location: SourceLocation) -> Library:
    """Return the functions that expressions may call, by the global configuration.

    Raises ConfigError for an invalid setting.
    """
    library = _import_library(settings.get(LIBRARY_KEY), location / LIBRARY_KEY)
    try:
        return library.configured(settings)
    except SettingError as error:
        raise (location / error.key).error(error.message) from error


LIBRARY_KEY = "stellar.function.library"


def _import_library(name: object, location: SourceLocation) -> Library:
    if name is None:
        return LIBRARY
    try:
        return Library.named(str(name))
    except (LookupError, ValueError, TypeError) as error:
        raise location.error(
            f"{error}; specify a library as module:attribute, such as stellar.functions:SHELL_LIBRARY"
        ) from error


def _charset(options: Mapping[str, Any], location: SourceLocation) -> Charset:
    name = options.get("readCharset", "UTF-8")
    if not isinstance(name, str):
        raise location.error(f'expected a charset such as "UTF-8", got {describe(name)}')
    try:
        return find_charset(name)
    except ValueError as error:
        raise location.error(str(error)) from error
