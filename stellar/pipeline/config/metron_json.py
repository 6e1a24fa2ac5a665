"""Configurations in the form in which Metron writes them: with all defaults, printed as its JSON library does.

See `stellar.java.jackson` for the form. There are no nulls in maps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stellar.java.jackson import to_indented
from stellar.language.conversions import to_string
from stellar.pipeline.config.loading import (
    modernize_enrichment,
    parse_parser,
    parse_profiler,
    validate,
)
from stellar.pipeline.config.locations import SourceLocation, parse_object
from stellar.pipeline.config.schema import EnrichmentConfig, IndexingConfig, ParserConfig, Transformation
from stellar.util.abbreviate import describe_type

Json = dict[str, Any]

# -- Printing ---------------------------------------------------------------------------------------------------------


def print_json(value: object) -> str:
    """Return a value as JSON without nulls in maps; sets become lists.

    Raises ValueError for a value without a JSON form, and for one nested too deeply.
    """
    try:
        return to_indented(_to_json(value))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _to_json(value: object) -> Any:
    if isinstance(value, Mapping):
        return {to_string(name): _to_json(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_json(item) for item in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"cannot write {describe_type(value)} as JSON; convert it, for example with TO_STRING")


# -- Defaults ---------------------------------------------------------------------------------------------------------

_PARSER_KEYS = (
    "parserClassName",
    "filterClassName",
    "sensorTopic",
    "outputTopic",
    "errorTopic",
    "writerClassName",
    "errorWriterClassName",
    "readMetadata",
    "mergeMetadata",
    "numWorkers",
    "numAckers",
    "spoutParallelism",
    "spoutNumTasks",
    "parserParallelism",
    "parserNumTasks",
    "errorWriterParallelism",
    "errorWriterNumTasks",
    "spoutConfig",
    "securityProtocol",
    "stormConfig",
    "parserConfig",
    "fieldTransformations",
    "cacheConfig",
    "rawMessageStrategy",
    "rawMessageStrategyConfig",
)
# A configuration of a parser without any key, which Metron accepts until the parser is started
_NO_PARSER: Json = {"parserClassName": ""}


def read_parser_json(text: str, location: SourceLocation) -> Json:
    """Return the configuration of a parser with all keys. Raises ConfigError."""
    return complete_parser(parse_parser(text, location))


def make_empty_parser() -> Json:
    """Return the configuration of a parser with defaults only."""
    completed = complete_parser(ParserConfig.model_validate(_NO_PARSER))
    del completed["parserClassName"]
    return completed


def complete_parser(config: ParserConfig) -> Json:
    """Return the configuration of a parser with all keys."""
    values = config.model_dump(by_alias=True)
    is_envelope = config.raw_message_strategy == "ENVELOPE"
    for key in ("readMetadata", "mergeMetadata"):
        values[key] = is_envelope if values[key] is None else values[key]
    values["fieldTransformations"] = [_complete_transformation(each) for each in config.field_transformations]
    return {key: values[key] for key in _PARSER_KEYS if values[key] is not None}


def _complete_transformation(config: Transformation) -> Json:
    """Return a transformation as Metron does: a missing output is the input, and both are missing if both are empty."""
    output = config.output or config.input or None
    fields = {} if output is None else {"input": list(config.input or ()), "output": list(output)}
    return {**fields, "transformation": config.transformation, "config": dict(config.config)}


def read_enrichment_json(text: str, location: SourceLocation) -> Json:
    """Return the configuration of an enrichment with all keys. Raises ConfigError."""
    value = modernize_enrichment(parse_object(text, location.file), location)
    validate(EnrichmentConfig, value, location)
    threat_intel = value.get("threatIntel", {})
    return {
        "enrichment": _complete_stage(value.get("enrichment", {})),
        "threatIntel": {
            **_complete_stage(threat_intel),
            "triageConfig": _complete_triage(threat_intel.get("triageConfig", {})),
        },
        "configuration": value.get("configuration", {}),
    }


def _complete_stage(value: Json) -> Json:
    types = value.get("fieldToTypeMap", {}).items()
    return {
        "fieldMap": value.get("fieldMap", {}),
        "fieldToTypeMap": {field: [names] if isinstance(names, str) else names for field, names in types},
        "config": value.get("config", {}),
    }


def _complete_triage(value: Json) -> Json:
    return {
        "riskLevelRules": merge_rules(value.get("riskLevelRules", [])),
        "aggregator": value.get("aggregator", "MAX"),
        "aggregationConfig": value.get("aggregationConfig", {}),
    }


_RULE_KEYS = ("name", "comment", "rule", "score", "reason")


def merge_rules(*lists: list[Json] | dict[str, Any]) -> list[Json]:
    """Return the rules of lists, or of older maps from rule to score; of rules with the same condition, the first one.

    Scores become strings.
    """
    merged: dict[str, Json] = {}
    for rules in lists:
        listed = [{"rule": rule, "score": rules[rule]} for rule in rules] if isinstance(rules, dict) else rules
        for rule in listed:
            values = {**rule, "score": to_string(rule["score"])}
            known = {key: values[key] for key in _RULE_KEYS if values.get(key) is not None}
            merged.setdefault(rule["rule"], known)
    return list(merged.values())


def read_indexing_json(text: str, location: SourceLocation) -> Json:
    """Return the configuration of indexing. Raises ConfigError."""
    value = parse_object(text, location.file)
    validate(IndexingConfig, value, location)
    return value


_PROFILE_KEYS = ("profile", "foreach", "result", "onlyif", "init", "update", "groupBy", "expires")


def read_profiler_json(text: str, location: SourceLocation) -> Json:
    """Return the configuration of the profiler with all keys. Raises ConfigError."""
    config = parse_profiler(text, location)
    profiles = [_complete_profile(each.model_dump(by_alias=True)) for each in config.profiles]
    return {"profiles": profiles, "timestampField": config.timestamp_field}


def _complete_profile(values: Json) -> Json:
    result = values["result"] if isinstance(values["result"], dict) else {"profile": values["result"]}
    values["result"] = {"profile": result.get("profile"), "triage": result.get("triage") or {}}
    values["onlyif"] = "true" if values["onlyif"] is None else values["onlyif"]
    return {key: values[key] for key in _PROFILE_KEYS}
