"""Loading of the configuration of sensors: the files of a directory, or nodes of ZooKeeper.

Older spellings, and those in Metron's documentation, are accepted with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stellar.language.errors import ConfigError
from stellar.pipeline.config.locations import (
    RAISE_FIRST,
    ConfigErrors,
    ErrorCollector,
    SourceLocation,
    parse_object,
    read_text,
)
from stellar.pipeline.config.sections import ENRICHMENT_SECTIONS
from stellar.pipeline.config.stored_models import validate_once
from stellar.stores.configurations import ReadableConfigurations, describe_path
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

# pydantic and the models are imported when a configuration is validated
if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from stellar.pipeline.config.schema import (
        EnrichmentConfig,
        ExtractorConfig,
        GlobalConfig,
        IndexingConfig,
        ParserConfig,
        ProfilerConfig,
    )

# The key of the global configuration with the inputs of sensors
INPUTS_KEY = "pipeline.inputs"

log = logging.getLogger(__name__)

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True)
class SensorConfig:
    """The configuration of a sensor.

    directory: the directory of the files, in which pattern files of `grokPath` are searched; None to skip this search
    store: where it was read from, if not from the files of the directory
    """

    sensor: str
    parser: ParserConfig
    enrichment: EnrichmentConfig = field(default_factory=lambda: empty_enrichment())
    globals: GlobalConfig = field(default_factory=lambda: empty_globals())
    directory: Path | None = None
    store: ReadableConfigurations | None = None

    def _locate(self, kind: str, sensor: str | None = None) -> SourceLocation:
        if self.store is not None:
            return SourceLocation(self.store.describe(kind, "*" if sensor == "" else sensor))
        return SourceLocation(str((self.directory or Path()) / f"{describe_path(kind, sensor)}.json"))

    @property
    def parser_location(self) -> SourceLocation:
        return self._locate("PARSER", self.sensor)

    @property
    def enrichment_location(self) -> SourceLocation:
        return self._locate("ENRICHMENT", self.sensor)

    @property
    def global_location(self) -> SourceLocation:
        return self._locate("GLOBAL")

    @property
    def profiler_location(self) -> SourceLocation | None:
        """The location of the definitions of profiles; None if there are none."""
        location = self._locate("PROFILER")
        if self.store is None:
            return location if self.directory is not None and Path(location.file).is_file() else None
        try:
            return None if self.store.read("PROFILER") is None else location
        except (OSError, ValueError):  # which `read_profiler` raises
            return location

    def read_profiler(self) -> ConfigText | None:
        """Return the definitions of profiles; None if there are none. Raises ConfigError."""
        if self.store is not None:
            return read_stored(self.store, "PROFILER")
        location = self.profiler_location
        return None if location is None else read_file(Path(location.file))

    def read_indexing(self) -> Iterator[tuple[str, ConfigText]]:
        """Yield the configurations of indexing, with the names of their sensors. Raises ConfigError."""
        if self.store is None:
            for file in sorted(((self.directory or Path()) / "indexing").glob("*.json")):
                yield file.stem, read_file(file)
            return
        for sensor in self.store.list_sensors("INDEXING"):
            if (found := read_stored(self.store, "INDEXING", sensor)) is not None:
                yield sensor, found

    def load_sibling(self, sensor: str) -> SensorConfig | None:
        """Return the enrichment of another sensor, if there is one. Raises ConfigError."""
        if self.store is not None:
            return load_stored_enrichment(self.store, sensor, directory=self.directory)
        directory = self.directory or Path()
        return load_enrichment(directory, sensor) if (directory / "enrichments" / f"{sensor}.json").exists() else None


def locate_setting(config: SensorConfig, message: str) -> SourceLocation:
    """Return the location of the global setting that a message names, or that of the file."""
    named = (key for key in sorted(config.globals.settings, key=len, reverse=True) if key in message)
    key = next(named, None)
    return config.global_location if key is None else config.global_location / key


class ConfigText(NamedTuple):
    """The text of a configuration, with its location."""

    text: str
    location: SourceLocation


def read_file(file: Path) -> ConfigText:
    """Return the configuration in a file. Raises ConfigError if it cannot be read."""
    return ConfigText(read_text(file), SourceLocation(str(file)))


def read_stored(store: ReadableConfigurations, kind: str, sensor: str | None = None) -> ConfigText | None:
    """Return a configuration of a store; None if it does not exist.

    Raises ConfigError if it cannot be read or is not UTF-8, and for an invalid name of a sensor.
    """
    try:
        location = SourceLocation(store.describe(kind, sensor))
    except ValueError as error:
        raise ConfigError(f"sensor {quote(sensor)}", "", str(error)) from error
    try:
        text = store.read(kind, sensor)
    except (OSError, ValueError) as error:
        raise location.error(str(error).removeprefix(f"{location} ")) from error
    return None if text is None else ConfigText(text, location)


def load_stored(
    store: ReadableConfigurations,
    sensor: str,
    problems: ErrorCollector = RAISE_FIRST,
    directory: Path | None = None,
) -> SensorConfig:
    """Load the configuration of a sensor from a store, as `load_config` does from a directory.

    directory: the directory in which pattern files are searched first

    Raises ConfigError for missing, unreadable and invalid configurations.
    """
    found = read_stored(store, "PARSER", sensor)
    if found is None:
        known = store.list_sensors("PARSER")
        hint = suggest_name(sensor, known) if known else "no parser is configured; push a directory that has some"
        raise ConfigError(store.describe("PARSER", sensor), "", f"unknown sensor {quote(sensor)}; {hint}")
    return SensorConfig(
        sensor,
        problems.attempt(lambda: parse_parser(*found), default_parser()),
        _parse_stored(parse_enrichment, store, "ENRICHMENT", sensor, problems) or empty_enrichment(),
        load_stored_global(store, problems),
        directory,
        store,
    )


def load_stored_enrichment(
    store: ReadableConfigurations,
    sensor: str,
    problems: ErrorCollector = RAISE_FIRST,
    directory: Path | None = None,
) -> SensorConfig | None:
    """Load the configuration of a sensor that is parsed elsewhere; None if it has no enrichment. Raises ConfigError."""
    enrichment = _parse_stored(parse_enrichment, store, "ENRICHMENT", sensor, problems)
    if enrichment is None:
        return None
    return SensorConfig(sensor, default_parser(), enrichment, load_stored_global(store, problems), directory, store)


def load_stored_global(store: ReadableConfigurations, problems: ErrorCollector = RAISE_FIRST) -> GlobalConfig:
    """Return the global configuration of a store; an empty one if it does not exist. Raises ConfigError."""
    return _parse_stored(parse_global, store, "GLOBAL", None, problems) or empty_globals()


def _parse_stored(
    parse: Callable[[str, SourceLocation], M],
    store: ReadableConfigurations,
    kind: str,
    sensor: str | None,
    problems: ErrorCollector,
) -> M | None:
    def read() -> M | None:
        found = read_stored(store, kind, sensor)
        return None if found is None else parse(*found)

    return problems.attempt(read, None)


def load_config(directory: Path, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
    """Load the configuration of a sensor from a directory with `global.json`, `parsers/` and `enrichments/`.

    Only the file of the parser is required.

    problems: collects the errors, and replaces invalid files by defaults; by default the first error is raised

    Raises ConfigError for missing, unreadable and invalid files.
    """
    parser_file = directory / "parsers" / f"{sensor}.json"
    if not parser_file.is_file():
        raise ConfigError(str(parser_file), "", _describe_unknown_sensor(directory, sensor))
    return SensorConfig(
        sensor,
        problems.attempt(lambda: read_parser(parser_file), default_parser()),
        _optional(read_enrichment, directory / "enrichments" / f"{sensor}.json", empty_enrichment(), problems),
        _read_globals(directory, problems),
        directory,
    )


load = load_config  # the name in this module that existing programs import


def default_parser() -> ParserConfig:
    """Return the configuration of a parser that reads JSON."""
    config: ParserConfig = _validate("ParserConfig", {"parserClassName": "JSONMap"}, SourceLocation(""))
    return config


def empty_enrichment() -> EnrichmentConfig:
    """Return a configuration without enrichments."""
    config: EnrichmentConfig = _validate("EnrichmentConfig", {}, SourceLocation(""))
    return config


def empty_globals() -> GlobalConfig:
    """Return a global configuration without settings."""
    config: GlobalConfig = _validate("GlobalConfig", {}, SourceLocation(""))
    return config


def _optional(read: Callable[[Path], M], path: Path, default: M, problems: ErrorCollector) -> M:
    return problems.attempt(lambda: read(path), default) if path.exists() else default


def load_enrichment(directory: Path, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
    """Load the configuration of a sensor that is parsed elsewhere: its input is JSON.

    Raises ConfigError for unreadable and invalid files.
    """
    enrichment_file = directory / "enrichments" / f"{sensor}.json"
    return SensorConfig(
        sensor,
        default_parser(),
        problems.attempt(lambda: read_enrichment(enrichment_file), empty_enrichment()),
        _read_globals(directory, problems),
        directory,
    )


def load_globals(directory: Path) -> GlobalConfig:
    """Load the global configuration of a directory; all settings have their defaults if it has no `global.json`.

    Raises ConfigError if there is no such directory, and for an unreadable or invalid file.
    """
    if not directory.is_dir():
        raise ConfigError(str(directory), "", "not a directory; create it, or check the path")
    return _read_globals(directory, RAISE_FIRST)


def _read_globals(directory: Path, problems: ErrorCollector) -> GlobalConfig:
    return _optional(read_global, directory / "global.json", empty_globals(), problems)


def load_groups(directory: Path) -> dict[str, list[str]]:
    """Return the sensors of each group in `parser.groups` of the global configuration.

    Raises ConfigError for an unreadable or invalid global configuration.
    """
    return {group.name: group.sensors for group in _read_globals(directory, RAISE_FIRST).parser_groups}


def list_sensors(directory: Path) -> list[str]:
    """Return the names of the sensors that a directory configures, sorted.

    Raises ConfigError if it configures no sensor.
    """
    found = sorted(path.stem for path in (directory / "parsers").glob("*.json"))
    if not found:
        message = "no parsers/<sensor>.json in this directory; check the path"
        raise ConfigError(str(directory), "", message)
    return found


def _describe_unknown_sensor(directory: Path, sensor: str) -> str:
    return f"unknown sensor {quote(sensor)}; {suggest_name(sensor, list_sensors(directory))}"


def read_parser(path: Path) -> ParserConfig:
    """Load a parser configuration. Raises ConfigError."""
    return parse_parser(read_text(path), SourceLocation(str(path)))


def parse_parser(text: str, location: SourceLocation) -> ParserConfig:
    """Parse a parser configuration. Raises ConfigError."""
    config: ParserConfig = _validate("ParserConfig", parse_object(text, location.file), location)
    return config


def read_enrichment(path: Path) -> EnrichmentConfig:
    """Load an enrichment configuration. Raises ConfigError."""
    return parse_enrichment(read_text(path), SourceLocation(str(path)))


def parse_enrichment(text: str, location: SourceLocation) -> EnrichmentConfig:
    """Parse an enrichment configuration, older spellings included. Raises ConfigError."""
    config: EnrichmentConfig = _validate(
        "EnrichmentConfig", modernize_enrichment(parse_object(text, location.file), location), location
    )
    return config


def read_global(path: Path) -> GlobalConfig:
    """Load the global configuration. Raises ConfigError."""
    return parse_global(read_text(path), SourceLocation(str(path)))


def parse_global(text: str, location: SourceLocation) -> GlobalConfig:
    """Parse the global configuration. Raises ConfigError."""
    config: GlobalConfig = _validate("GlobalConfig", parse_object(text, location.file), location)
    return config


def parse_indexing(text: str, location: SourceLocation) -> IndexingConfig:
    """Parse an indexing configuration. Raises ConfigError."""
    config: IndexingConfig = _validate("IndexingConfig", parse_object(text, location.file), location)
    return config


def parse_profiler(text: str, location: SourceLocation) -> ProfilerConfig:
    """Parse the configuration of the profiler. Raises ConfigError."""
    return validate_profiler(parse_object(text, location.file), location)


def validate_profiler(value: dict[str, Any], location: SourceLocation) -> ProfilerConfig:
    """Return the configuration of the profiler from its JSON. Raises ConfigErrors."""
    config: ProfilerConfig = _validate("ProfilerConfig", value, location)
    return config


def parse_extractor(text: str, location: SourceLocation) -> ExtractorConfig:
    """Parse the configuration of an extractor. Raises ConfigError."""
    config: ExtractorConfig = _validate("ExtractorConfig", parse_object(text, location.file), location)
    return config


def _validate(model: str, value: dict[str, Any], location: SourceLocation) -> Any:
    """Return a configuration as an instance of the model of this name in the schema. Raises ConfigErrors."""
    return validate_once(model, value, lambda found: validate(found, value, location))


def validate(model: type[M], value: dict[str, Any], location: SourceLocation) -> M:
    """Return a configuration as an instance of its model. Raises ConfigErrors with all errors."""
    from pydantic import ValidationError

    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors()
        errors = [_to_config_error(each, location) for each in details]
        if any(each["type"] != "unknown_key" for each in details):
            raise ConfigErrors(errors) from error
        # An unknown key hides the other errors, so validate again without it
        problems = ErrorCollector(errors)
        raise ConfigErrors(
            errors, problems.attempt(lambda: validate(model, _without(value, details), location), None)
        ) from error


def _without(value: dict[str, Any], errors: Sequence[ErrorDetails]) -> dict[str, Any]:
    """Return the configuration without its unknown keys."""
    known = deepcopy(value)
    for error in errors:
        inner: Any = known
        for step in error["loc"]:
            inner = inner[step]
        del inner[error["ctx"]["key"]]
    return known


def _to_config_error(error: ErrorDetails, location: SourceLocation) -> ConfigError:
    for step in error["loc"]:
        location /= step
    match error["type"]:
        case "unknown_key":
            key: str = error["ctx"]["key"]
            return (location / key).error(f"unknown key {quote(key)}; {error['ctx']['known']}")
        case "missing":
            return location.error(_missing(str(error["loc"][-1])))
        case "explained":
            return location.error(error["msg"])
        case "too_short":
            return location.error("expected at least one item, got none")
        case kind if kind in _EXPECTED:
            return location.error(f"expected {_EXPECTED[kind]}, got {_format_value(error['input'])}")
    return location.error(f"{error['msg']}, got {_format_value(error['input'])}")


_EXPECTED = {
    "string_type": "a string",
    "string_too_short": "a string that is not empty",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "an integer",
    "int_parsing": "an integer",
}

_MISSING = {
    "parserClassName": 'name the parser, such as "Grok"',
    "transformation": 'name the transformation, such as "STELLAR"',
    "validation": 'name the validation, such as "STELLAR"',
    "extractor": 'name the extractor, such as "CSV"',
    "profile": "name the profile",
    "foreach": 'name the entity, such as "ip_src_addr"',
    "result": "specify the expression of the result",
    "rule": "risk level rules must contain both a rule and a score",
    "score": "risk level rules must contain both a rule and a score",
}


def _missing(key: str) -> str:
    return f"missing key {quote(key)}; {_MISSING.get(key, 'add it')}"


def _format_value(value: object) -> str:
    return "a map" if isinstance(value, dict) else "a list" if isinstance(value, list) else quote(value, 60)


# Keys of older releases, which now belong to Metron's configuration of indexing
_MOVED = {"index", "batchSize"}


def modernize_enrichment(value: dict[str, Any], location: SourceLocation) -> dict[str, Any]:
    """Return the configuration in the form of current Metron releases; log a warning for each change."""
    modern: dict[str, Any] = {}
    for key, item in value.items():
        name = ENRICHMENT_SECTIONS.get(key.lower(), key)
        if key in _MOVED:
            log.warning("%s: belongs to indexing/, has no effect here", location / key)
            continue
        if name != key:
            log.warning("%s: read as %s", location / key, quote(name))
        modern[name] = item
    _rename_comments(modern, location)
    return modern


def _rename_comments(config: dict[str, Any], location: SourceLocation) -> None:
    """Accept `comments`, as in an example of Metron's documentation, for the `comment` of a rule."""
    inner: Any = config
    for step in ("threatIntel", "triageConfig", "riskLevelRules"):
        location /= step
        inner = inner.get(step) if isinstance(inner, dict) else None
    for index, rule in enumerate(inner if isinstance(inner, list) else ()):
        if isinstance(rule, dict) and "comments" in rule and "comment" not in rule:
            log.warning("%s: read as 'comment'", location / index / "comments")
            rule["comment"] = rule.pop("comments")
