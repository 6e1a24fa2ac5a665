"""Parsers of sensors, with which their configurations are tried out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stellar.language.context import Context, GlobalSettings
from stellar.language.errors import ConfigError
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.pipeline.build import build_pipeline
from stellar.pipeline.config.loading import SensorConfig, parse_parser, validate
from stellar.pipeline.config.locations import ErrorCollector, SourceLocation
from stellar.pipeline.config.metron_json import complete_parser, print_json
from stellar.pipeline.config.schema import GlobalConfig
from stellar.pipeline.functions.arguments import list_errors
from stellar.pipeline.functions.configurations import find_store, read_stored
from stellar.pipeline.pipeline import Pipeline
from stellar.pipeline.records import Failure, Raw, Record, make_error_document
from stellar.stores.configurations import DirectoryConfigurations


@dataclass(eq=False)
class SensorParser:
    """The parser of a sensor, with its transformations, its filter and its validation.

    config: its configuration with all keys
    parsed, failed: the numbers of messages and errors that it has returned
    """

    STELLAR_NOUN = "a parser"

    pipeline: Pipeline
    config: dict[str, Any]
    parsed: int = 0
    failed: int = 0
    _stages: tuple[str, ...] = field(default=("filter", "validate"), repr=False)

    def __post_init__(self) -> None:
        stages = tuple((name, stage) for name, stage in self.pipeline.stages if name in self._stages)
        self.pipeline = replace(self.pipeline, stages=stages)

    def __str__(self) -> str:
        return f"Parser{{{self.parsed} successful, {self.failed} error(s)}}"

    def parse(self, text: str) -> tuple[list[Record], list[Record]]:
        """Return the messages in a raw message, and the error documents."""
        raw = Raw(text.encode("utf-8", "surrogatepass"))
        messages, errors = [], []
        for outcome, reports in self.pipeline.processed(raw):
            failures: list[Failure] = list(reports)
            if isinstance(outcome, dict):
                messages.append(outcome)
            elif isinstance(outcome, Failure):
                failures.append(outcome)
            errors += [make_error_document(failure, self.pipeline.sensor, raw) for failure in failures]
        self.parsed += len(messages)
        self.failed += len(errors)
        return messages, errors


_NOT_GIVEN: Any = object()


@stellar("PARSER_INIT")
def init(context: Context, sensor_type: str, config: object = _NOT_GIVEN) -> SensorParser:
    """Create a parser.

    sensorType: The name of the sensor
    config: The configuration of the parser, as JSON or as a map; by default the stored one, see CONFIG_GET
    returns: The parser

    Settings are those of the global configuration, but its validations are not part of the parser.

        PARSER_INIT('web', '{"parserClassName": "CSV", "parserConfig": {"columns": "host"}}') != null  // true
        PARSER_INIT('web', {'parserClassName': 'JSONMap'}) != null  // true
        PARSER_INIT('web', '{"parserClassName": "NoSuchParser"}')  // error
        PARSER_INIT('web', null)  // error
    """
    text, location, directory = _find_config(context, sensor_type, config)
    problems = ErrorCollector([])
    try:
        parser = parse_parser(text, location)
        config_of_sensor = SensorConfig(sensor_type, parser, globals=_read_settings(context), directory=directory)
        pipeline = build_pipeline(config_of_sensor, context, problems)
        problems.raise_found()
        return SensorParser(pipeline, complete_parser(parser))
    except ConfigError as error:
        raise ValueError(f"PARSER_INIT: {list_errors(error)}") from error


def _read_settings(context: Context) -> GlobalConfig:
    """Return the global configuration of the shell, without its validations. Raises ConfigError."""
    settings = context.get(GlobalSettings) or GlobalSettings()
    others = {name: value for name, value in settings.items() if name != "fieldValidations"}
    return validate(GlobalConfig, others, SourceLocation("global configuration"))


def _find_config(context: Context, sensor: str, config: object) -> tuple[str, SourceLocation, Path | None]:
    """Return the configuration of a parser, its location, and the directory in which its patterns are searched."""
    if isinstance(config, str):
        return config, SourceLocation("config"), None
    if isinstance(config, dict):
        return print_json(config), SourceLocation("config"), None
    if config is not _NOT_GIVEN:
        raise ValueError(f"PARSER_INIT expected a configuration as JSON or as a map, got {describe(config)}")
    store = find_store("PARSER_INIT", context)
    text = read_stored("PARSER_INIT", store, "PARSER", sensor)
    location = SourceLocation(store.describe("PARSER", sensor))
    if text is None:
        raise LookupError(f"no configuration of a parser at {location}; store one with CONFIG_PUT, or pass it")
    return text, location, store.directory if isinstance(store, DirectoryConfigurations) else None


@stellar("PARSER_PARSE")
def parse(parser: SensorParser, input_: object) -> list[Any]:
    """Parse messages, as the pipeline does up to the validation of records.

    parser: The parser that PARSER_INIT returned
    input: A message, or a list of messages, as strings
    returns: The records as maps, and after them the errors as maps with `error_type`, `message` and `raw_message`

        LENGTH(PARSER_PARSE(PARSER_INIT('web', {'parserClassName': 'JSONMap'}), ['{"host": "a"}', '{']))  // 2
        PARSER_PARSE(PARSER_INIT('web', {'parserClassName': 'JSONMap'}), 5)  // error
        PARSER_PARSE(null, 'a')  // error
    """
    texts = [input_] if isinstance(input_, str) else input_
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"PARSER_PARSE expected a string or a list of strings as input, got {describe(input_)}")
    results = [parser.parse(text) for text in texts]
    messages = [message for found, _ in results for message in found]
    return messages + [error for _, found in results for error in found]


@stellar("PARSER_CONFIG")
def get_config(parser: SensorParser) -> str:
    """Return the configuration of a parser, with all keys that have defaults.

    parser: The parser that PARSER_INIT returned
    returns: The configuration as JSON, a string of several lines

        '"JSONMap"' in PARSER_CONFIG(PARSER_INIT('web', {'parserClassName': 'JSONMap'}))  // true
        '"readMetadata" : false' in PARSER_CONFIG(PARSER_INIT('web', {'parserClassName': 'JSONMap'}))  // true
        PARSER_CONFIG('web')  // error
    """
    return print_json(parser.config)
