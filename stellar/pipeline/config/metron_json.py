"""Configurations in the form in which Metron writes them: with all defaults, printed as its JSON library does.

Two spaces of indentation, ` : ` after keys, lists on one line, no nulls.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stellar.language.conversions import to_string
from stellar.pipeline.config.loading import (
    modernize_enrichment,
    parse_enrichment,
    parse_indexing,
    parse_parser,
    parse_profiler,
)
from stellar.pipeline.config.locations import SourceLocation, parse_object
from stellar.pipeline.config.schema import ParserConfig, Transformation
from stellar.util.abbreviate import describe_type

Json = dict[str, Any]

# -- Printing ---------------------------------------------------------------------------------------------------------

_ESCAPED = re.compile(r'[\x00-\x1f"\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def print_json(value: object) -> str:
    """Return a value as JSON. Raises ValueError for a value without a JSON form, and for one nested too deeply."""
    try:
        return "".join(_write(value, ""))
    except RecursionError:
        raise ValueError("the value is nested too deeply for JSON") from None


def _write(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _write_map({name: item for name, item in value.items() if item is not None}, indent)
    elif isinstance(value, list | tuple | set | frozenset):
        yield from _write_list(list(value), indent)
    else:
        yield _write_scalar(value)


def _write_map(value: Mapping[Any, Any], indent: str) -> Iterator[str]:
    inner = f"{indent}  "
    for index, (name, item) in enumerate(value.items()):
        yield f"{',' if index else '{'}\n{inner}{_quote(to_string(name))} : "
        yield from _write(item, inner)
    yield f"\n{indent}}}" if value else "{ }"


def _write_list(value: list[Any], indent: str) -> Iterator[str]:
    for index, item in enumerate(value):
        yield ", " if index else "[ "
        yield from _write(item, indent)
    yield " ]" if value else "[ ]"


def _write_scalar(value: object) -> str:
    if isinstance(value, str):
        return _quote(value)
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return to_string(value)
    raise ValueError(f"cannot write {describe_type(value)} as JSON; convert it, for example with TO_STRING")


def _quote(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04X}"


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
    config = parse_parser(text, location)
    return _complete_parser(config)


def make_empty_parser() -> Json:
    """Return the configuration of a parser with defaults only."""
    completed = _complete_parser(ParserConfig.model_validate(_NO_PARSER))
    del completed["parserClassName"]
    return completed


def _complete_parser(config: ParserConfig) -> Json:
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
    parse_enrichment(text, location)
    value = modernize_enrichment(parse_object(text, location.file), location)
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
    parse_indexing(text, location)
    return parse_object(text, location.file)


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
