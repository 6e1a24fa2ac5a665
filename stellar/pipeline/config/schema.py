"""Metron's own JSON, checked: `global.json`, `parsers/<sensor>.json` and `enrichments/<sensor>.json`.

A key that nobody knows is an error, as it is in Metron; what older releases and the documentation write differently is
taken, with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from stellar.language.errors import ConfigError
from stellar.pipeline.config.embedded_expressions import ENRICHMENT_PARTS
from stellar.pipeline.config.locations import FIRST, ConfigErrors, ErrorCollector, SourceLocation, object_in, read_text
from stellar.util.suggestions import known_names

log = logging.getLogger(__name__)


class _Model(BaseModel):
    """A JSON object of which every key is known."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_every_key(cls, value: Any) -> Any:
        known = {info.alias for info in cls.model_fields.values() if info.alias}
        for key in value if isinstance(value, dict) else ():
            if key not in known:
                raise PydanticCustomError("unknown_key", "unknown key", {"key": key, "known": known_names(key, known)})
        return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_as_list)]


class Transformation(_Model):
    """One field transformation: what it reads, what it writes, and which it is."""

    input: Names | None = None
    output: Names | None = None
    transformation: str
    config: dict[str, Any] = {}


class ParserConfig(_Model):
    """`parsers/<sensor>.json`. What concerns only Storm or Kafka is known, and has no effect here."""

    parser_class_name: str
    filter_class_name: str | None = None
    sensor_topic: str | None = None
    output_topic: str | None = None
    error_topic: str | None = None
    writer_class_name: str | None = None
    error_writer_class_name: str | None = None
    read_metadata: bool | None = None
    merge_metadata: bool | None = None
    raw_message_strategy: str = "DEFAULT"
    raw_message_strategy_config: dict[str, Any] = {}
    parser_config: dict[str, Any] = {}
    field_transformations: list[Transformation] = []
    cache_config: dict[str, Any] = {}
    security_protocol: str | None = None
    num_workers: int | None = None
    num_ackers: int | None = None
    spout_parallelism: int = 1
    spout_num_tasks: int = 1
    parser_parallelism: int = 1
    parser_num_tasks: int = 1
    error_writer_parallelism: int = 1
    error_writer_num_tasks: int = 1
    spout_config: dict[str, Any] = {}
    storm_config: dict[str, Any] = {}


class Validation(_Model):
    """One entry of the global `fieldValidations`."""

    input: Names | None = None
    validation: str
    config: dict[str, Any] = {}


class GlobalConfig(BaseModel):
    """`global.json`: a free map, of which the validations are checked here."""

    model_config = ConfigDict(frozen=True, extra="allow")

    field_validations: list[Validation] = Field(default=[], alias="fieldValidations")

    @property
    def settings(self) -> dict[str, Any]:
        """All of it, as expressions see it."""
        return dict(self.model_extra or {})


def _score(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("score", "a score is a number or the text of an expression")
    return value


class RiskRule(_Model):
    """A rule of threat triage, and what it adds to the score of a record that it matches."""

    name: str | None = None
    comment: str | None = None
    rule: str
    score: Annotated[Any, BeforeValidator(_score)]
    reason: str | None = None


def _rules_by_place(value: object) -> object:
    """Both forms as one map: the index of a rule in the list, or its text in the older map form → the rule."""
    if isinstance(value, list):
        return dict(enumerate(value))
    if isinstance(value, dict):
        return {rule: {"rule": rule, "score": score} for rule, score in value.items()}
    raise PydanticCustomError("rules", "a list of rules is wanted, or a map from rule to score")


class TriageConfig(_Model):
    """How records are scored."""

    risk_level_rules: Annotated[dict[Any, RiskRule], BeforeValidator(_rules_by_place)] = {}
    aggregator: str = "MAX"
    aggregation_config: dict[str, Any] = {}


def _adapter(value: object) -> object:
    return {"config": value} if isinstance(value, list) else value


def _expressions_or_fields(value: object) -> object:
    if not isinstance(value, dict | list):
        raise PydanticCustomError("adapter_config", "a map or a list is wanted")
    return value


class AdapterConfig(_Model):
    """What an enrichment adapter does: for stellar its expressions, for the others the fields that they look up."""

    type: str | None = None
    config: Annotated[Any, BeforeValidator(_expressions_or_fields)] = {}

    _takes_a_list = model_validator(mode="before")(_adapter)


class StageConfig(_Model):
    """The enrichments of one stage."""

    field_map: dict[str, AdapterConfig] = {}
    field_to_type_map: dict[str, Names] = {}
    config: dict[str, Any] = {}


class ThreatIntelConfig(StageConfig):
    """The enrichments of the threat intelligence stage, and its triage."""

    triage_config: TriageConfig = TriageConfig()


class EnrichmentConfig(_Model):
    """`enrichments/<sensor>.json`."""

    enrichment: StageConfig = StageConfig()
    threat_intel: ThreatIntelConfig = ThreatIntelConfig()
    configuration: dict[str, Any] = {}


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class SensorConfig:
    """All that configures one sensor, and the files that it came from.

    directory: where the files are looked for, such as those that `grokPath` names; None for nowhere
    """

    sensor: str
    parser: ParserConfig
    enrichment: EnrichmentConfig = field(default_factory=EnrichmentConfig)
    globals: GlobalConfig = field(default_factory=GlobalConfig)
    directory: Path | None = None

    def _place(self, *parts: str) -> SourceLocation:
        return SourceLocation(str((self.directory or Path()).joinpath(*parts)))

    @property
    def parser_place(self) -> SourceLocation:
        return self._place("parsers", f"{self.sensor}.json")

    @property
    def enrichment_place(self) -> SourceLocation:
        return self._place("enrichments", f"{self.sensor}.json")

    @property
    def global_place(self) -> SourceLocation:
        return self._place("global.json")


def load(directory: Path, sensor: str, problems: ErrorCollector = FIRST) -> SensorConfig:
    """The configuration of a sensor from a directory laid out as Metron's: `global.json`, `parsers/`, `enrichments/`.

    Only the parser's file must be there.

    problems: takes what is wrong with the files; a file that can't be used is left out then

    Raises ConfigError for what is missing, cannot be read, or is not as it should be.
    """
    parser_file = directory / "parsers" / f"{sensor}.json"
    if not parser_file.is_file():
        raise ConfigError(str(parser_file), "", _no_such_sensor(directory, sensor))
    return SensorConfig(
        sensor,
        problems.attempt(lambda: read_parser(parser_file), json_parser()),
        _optional(read_enrichment, directory / "enrichments" / f"{sensor}.json", EnrichmentConfig(), problems),
        _optional(read_global, directory / "global.json", GlobalConfig(), problems),
        directory,
    )


def json_parser() -> ParserConfig:
    return ParserConfig.model_validate({"parserClassName": "JSONMap"})


def _optional(read: Callable[[Path], M], path: Path, default: M, problems: ErrorCollector) -> M:
    return problems.attempt(lambda: read(path), default) if path.exists() else default


def load_enrichment(directory: Path, sensor: str, problems: ErrorCollector = FIRST) -> SensorConfig:
    """The configuration of a sensor that is enriched here and parsed elsewhere: its parser reads JSON.

    Raises ConfigError.
    """
    enrichment_file = directory / "enrichments" / f"{sensor}.json"
    return SensorConfig(
        sensor,
        json_parser(),
        problems.attempt(lambda: read_enrichment(enrichment_file), EnrichmentConfig()),
        _optional(read_global, directory / "global.json", GlobalConfig(), problems),
        directory,
    )


def sensors(directory: Path) -> list[str]:
    """The sensors that a directory configures, by name.

    Raises ConfigError if there is none.
    """
    found = sorted(path.stem for path in (directory / "parsers").glob("*.json"))
    if not found:
        message = "configures no sensor: there is no parsers/<sensor>.json in it; check the path"
        raise ConfigError(str(directory), "", message)
    return found


def _no_such_sensor(directory: Path, sensor: str) -> str:
    return f"there is no configuration for the sensor {sensor!r}; {known_names(sensor, sensors(directory))}"


def read_parser(path: Path) -> ParserConfig:
    """A parser's configuration. Raises ConfigError."""
    return parser_in(read_text(path), SourceLocation(str(path)))


def parser_in(text: str, place: SourceLocation) -> ParserConfig:
    """A parser's configuration, of the text of its file. Raises ConfigError."""
    return _checked(ParserConfig, object_in(text, place.file), place)


def read_enrichment(path: Path) -> EnrichmentConfig:
    """An enrichment configuration, older spellings included. Raises ConfigError."""
    return enrichment_in(read_text(path), SourceLocation(str(path)))


def enrichment_in(text: str, place: SourceLocation) -> EnrichmentConfig:
    """The same, of the text of its file. Raises ConfigError."""
    return _checked(EnrichmentConfig, _modernised(object_in(text, place.file), place), place)


def read_global(path: Path) -> GlobalConfig:
    """The global configuration. Raises ConfigError."""
    return global_in(read_text(path), SourceLocation(str(path)))


def global_in(text: str, place: SourceLocation) -> GlobalConfig:
    """The global configuration, of the text of its file. Raises ConfigError."""
    return _checked(GlobalConfig, object_in(text, place.file), place)


def _checked(model: type[M], value: dict[str, Any], place: SourceLocation) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors()
        complaints = [_complaint(each, place) for each in errors]
        if any(each["type"] != "unknown_key" for each in errors):
            raise ConfigErrors(complaints) from error
        # What is unknown hides what else there is to complain of
        problems = ErrorCollector(complaints)
        raise ConfigErrors(
            complaints, problems.attempt(lambda: _checked(model, _without(value, errors), place), None)
        ) from error


def _without(value: dict[str, Any], errors: Sequence[ErrorDetails]) -> dict[str, Any]:
    """The same configuration without its unknown keys."""
    known = deepcopy(value)
    for error in errors:
        inner: Any = known
        for step in error["loc"]:
            inner = inner[step]
        del inner[error["ctx"]["key"]]
    return known


def _complaint(error: ErrorDetails, place: SourceLocation) -> ConfigError:
    for step in error["loc"]:
        place /= step
    match error["type"]:
        case "unknown_key":
            key: str = error["ctx"]["key"]
            return (place / key).error(f"unknown key {key!r}; {error['ctx']['known']}")
        case "missing":
            return place.error(_missing(str(error["loc"][-1])))
        case kind if kind in _WANTED:
            return place.error(f"{_WANTED[kind]} is wanted, not {_shown(error['input'])}")
    return place.error(f"{error['msg']}, not {_shown(error['input'])}")


_WANTED = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
}

_MISSING = {
    "parserClassName": 'name the parser, such as "Grok"',
    "transformation": 'name the transformation, such as "STELLAR"',
    "validation": 'name the validation, such as "STELLAR"',
    "rule": "risk level rules must contain both a rule and a score",
    "score": "risk level rules must contain both a rule and a score",
}


def _missing(key: str) -> str:
    return f"the key {key!r} is missing; {_MISSING.get(key, 'add it')}"


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, dict | list) else "a map" if isinstance(value, dict) else "a list"
    names = {"None": "null", "True": "true", "False": "false"}
    return names.get(text, text if len(text) <= 60 else f"{text[:57]}…")


# Where these stood before Metron's indexing had a configuration of its own
_MOVED = {"index", "batchSize"}


def _modernised(value: dict[str, Any], place: SourceLocation) -> dict[str, Any]:
    """The configuration as today's Metron writes it; each change is a warning."""
    modern: dict[str, Any] = {}
    for key, item in value.items():
        name = ENRICHMENT_PARTS.get(key.lower(), key)
        if key in _MOVED:
            log.warning("%s: belongs to indexing/, has no effect here", place / key)
            continue
        if name != key:
            log.warning("%s: read as %r", place / key, name)
        modern[name] = item
    _rename_comments(modern, place)
    return modern


def _rename_comments(config: dict[str, Any], place: SourceLocation) -> None:
    """Metron's documentation once calls a rule's `comment` `comments`."""
    inner: Any = config
    for step in ("threatIntel", "triageConfig", "riskLevelRules"):
        place /= step
        inner = inner.get(step) if isinstance(inner, dict) else None
    for index, rule in enumerate(inner if isinstance(inner, list) else ()):
        if isinstance(rule, dict) and "comments" in rule and "comment" not in rule:
            log.warning("%s: read as 'comment'", place / index / "comments")
            rule["comment"] = rule.pop("comments")
