"""Stellar expressions in the configurations of parsers and enrichments.

The functions take and return configurations as JSON. They change nothing that is stored; CONFIG_PUT does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stellar.language.conversions import to_string
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.pipeline.config.metron_json import print_json, read_enrichment_json, read_parser_json
from stellar.pipeline.functions.arguments import read_argument, require_map, require_text
from stellar.pipeline.stages.fields import STELLAR_NAMES
from stellar.util.text_tables import text_table

Json = dict[str, Any]

# -- Parsers ----------------------------------------------------------------------------------------------------------


@stellar("PARSER_STELLAR_TRANSFORM_ADD")
def add_to_parser(config: str | None, transforms: dict[str, Any] | None) -> str | None:
    """Add expressions to the last STELLAR transformation of a parser's configuration, or to a new one.

    config: The configuration of a parser, as JSON
    transforms: A map of fields to expressions, such as the result of SHELL_VARS2MAP
    returns: The configuration with the expressions, as JSON; null for null

        'YEAR(a)' in PARSER_STELLAR_TRANSFORM_ADD('{"parserClassName": "CSV"}', {'year': 'YEAR(a)'})  // true
        PARSER_STELLAR_TRANSFORM_ADD('{"parserClassName": "CSV"}', {})  // '{"parserClassName": "CSV"}'
        PARSER_STELLAR_TRANSFORM_ADD(null, {'a': 'b'})  // null
        PARSER_STELLAR_TRANSFORM_ADD('{}', {'a': 'b'})  // error
    """
    if config is None:
        return None
    parser = read_argument("PARSER_STELLAR_TRANSFORM_ADD", read_parser_json, config)
    if not transforms:
        return config
    transformation = _find_last(parser)
    if transformation is None:
        transformation = {"input": [], "output": [], "transformation": "STELLAR", "config": {}}
        parser["fieldTransformations"].append(transformation)
    transformation["config"].update(_read_expressions("PARSER_STELLAR_TRANSFORM_ADD", transforms))
    _set_output(transformation)
    return print_json(parser)


@stellar("PARSER_STELLAR_TRANSFORM_REMOVE")
def remove_from_parser(config: str | None, fields: list[Any] | None) -> str | None:
    """Remove expressions from the last STELLAR transformation of a parser's configuration.

    config: The configuration of a parser, as JSON
    fields: The fields whose expressions are removed
    returns: The configuration without them, and without STELLAR transformations that are empty, as JSON; null for null

        'YEAR' in PARSER_STELLAR_TRANSFORM_REMOVE('{"parserClassName": "CSV"}', ['year'])  // false
        PARSER_STELLAR_TRANSFORM_REMOVE('{"parserClassName": "CSV"}', [])  // '{"parserClassName": "CSV"}'
        PARSER_STELLAR_TRANSFORM_REMOVE(null, ['a'])  // null
    """
    if config is None:
        return None
    parser = read_argument("PARSER_STELLAR_TRANSFORM_REMOVE", read_parser_json, config)
    if not fields:
        return config
    if (transformation := _find_last(parser)) is not None:
        _remove(transformation["config"], fields)
        _set_output(transformation)
    transformations = parser["fieldTransformations"]
    parser["fieldTransformations"] = [each for each in transformations if not _is_stellar(each) or each["config"]]
    return print_json(parser)


@stellar("PARSER_STELLAR_TRANSFORM_PRINT")
def print_parser(config: str | None) -> str | None:
    """Draw the expressions of the last STELLAR transformation of a parser's configuration as a table.

    config: The configuration of a parser, as JSON
    returns: The table, a string of several lines; null for null

        'Transformation' in PARSER_STELLAR_TRANSFORM_PRINT('{"parserClassName": "CSV"}')  // true
        PARSER_STELLAR_TRANSFORM_PRINT(null)  // null
        PARSER_STELLAR_TRANSFORM_PRINT('{')  // error
    """
    if config is None:
        return None
    transformation = _find_last(read_argument("PARSER_STELLAR_TRANSFORM_PRINT", read_parser_json, config))
    expressions = {} if transformation is None else transformation["config"]
    return text_table(("Field", "Transformation"), [(name, to_string(expressions[name])) for name in expressions])


def _is_stellar(transformation: Json) -> bool:
    return transformation["transformation"] in STELLAR_NAMES


def _find_last(parser: Json) -> Json | None:
    return next((each for each in reversed(parser["fieldTransformations"]) if _is_stellar(each)), None)


def _set_output(transformation: Json) -> None:
    transformation["output"] = list(transformation["config"])


# -- Enrichments ------------------------------------------------------------------------------------------------------

_STAGES = {"ENRICHMENT": "enrichment", "THREAT_INTEL": "threatIntel", "THREATINTEL": "threatIntel"}


@stellar("ENRICHMENT_STELLAR_TRANSFORM_ADD")
def add_to_enrichment(config: str | None, type_: str, transforms: dict[str, Any], group: str | None = None) -> str:
    """Add expressions to an enrichment configuration.

    config: The configuration of a sensor's enrichment, as JSON
    type: ENRICHMENT or THREAT_INTEL
    transforms: A map of fields to expressions, such as the result of SHELL_VARS2MAP
    group: The group that they are added to; by default none
    returns: The configuration with the expressions, as JSON

        'YEAR(a)' in ENRICHMENT_STELLAR_TRANSFORM_ADD('{}', 'ENRICHMENT', {'year': 'YEAR(a)'})  // true
        '"dates"' in ENRICHMENT_STELLAR_TRANSFORM_ADD('{}', 'THREAT_INTEL', {'year': 'YEAR(a)'}, 'dates')  // true
        ENRICHMENT_STELLAR_TRANSFORM_ADD('', 'ENRICHMENT', {'a': 'b'})  // error
        ENRICHMENT_STELLAR_TRANSFORM_ADD('{}', 'PARSER', {'a': 'b'})  // error
    """
    function = "ENRICHMENT_STELLAR_TRANSFORM_ADD"
    enrichment = read_argument(function, read_enrichment_json, require_text(function, config))
    expressions = _find_expressions(function, _find_stage(function, enrichment, type_), type_)
    target = expressions if group is None else _find_group(function, expressions, group)
    target.update(_read_expressions(function, transforms))
    _drop_if_empty(expressions, group)
    return print_json(enrichment)


@stellar("ENRICHMENT_STELLAR_TRANSFORM_REMOVE")
def remove_from_enrichment(config: str | None, type_: str, fields: list[Any], group: str | None = None) -> str:
    """Remove expressions from an enrichment configuration, and the group or the adapter if it is empty then.

    config: The configuration of a sensor's enrichment, as JSON
    type: ENRICHMENT or THREAT_INTEL
    fields: The fields whose expressions are removed
    group: The group that they are removed from; by default none
    returns: The configuration without them, as JSON

        'stellar' in ENRICHMENT_STELLAR_TRANSFORM_REMOVE('{}', 'ENRICHMENT', ['year'])  // false
        ENRICHMENT_STELLAR_TRANSFORM_REMOVE(null, 'ENRICHMENT', ['year'])  // error
        ENRICHMENT_STELLAR_TRANSFORM_REMOVE('{}', 'ENRICHMENT', null)  // error
    """
    function = "ENRICHMENT_STELLAR_TRANSFORM_REMOVE"
    enrichment = read_argument(function, read_enrichment_json, require_text(function, config))
    stage = _find_stage(function, enrichment, type_)
    expressions = _find_expressions(function, stage, type_)
    _remove(expressions if group is None else _find_group(function, expressions, group), fields)
    _drop_if_empty(expressions, group)
    if not expressions:
        del stage["fieldMap"]["stellar"]
    return print_json(enrichment)


@stellar("ENRICHMENT_STELLAR_TRANSFORM_PRINT")
def print_enrichment(config: str | None, type_: object) -> str:
    """Draw the expressions of an enrichment configuration as a table.

    config: The configuration of a sensor's enrichment, as JSON
    type: ENRICHMENT or THREAT_INTEL
    returns: The table, a string of several lines; an empty one for null and an empty string

        'Group' in ENRICHMENT_STELLAR_TRANSFORM_PRINT('{}', 'ENRICHMENT')  // true
        '(empty)' in ENRICHMENT_STELLAR_TRANSFORM_PRINT(null, 'ENRICHMENT')  // true
        ENRICHMENT_STELLAR_TRANSFORM_PRINT('{}', 'PARSER')  // error
    """
    function = "ENRICHMENT_STELLAR_TRANSFORM_PRINT"
    expressions: Json = {}
    if config:
        enrichment = read_argument(function, read_enrichment_json, config)
        expressions = _find_expressions(function, _find_stage(function, enrichment, type_), type_)
    return text_table(("Group", "Field", "Transformation"), list(_list_rows(expressions)))


def _list_rows(expressions: Json) -> Iterator[tuple[str, str, str]]:
    for name, value in expressions.items():
        if isinstance(value, Mapping):
            yield from ((name, field, to_string(source)) for field, source in value.items())
        else:
            yield "(default)", name, to_string(value)


def _find_stage(function: str, enrichment: Json, kind: object) -> Json:
    if not isinstance(kind, str) or kind not in _STAGES:
        raise ValueError(f"{function} expected ENRICHMENT or THREAT_INTEL as type, got {describe(kind)}")
    stage: Json = enrichment[_STAGES[kind]]
    return stage


def _find_expressions(function: str, stage: Json, kind: object) -> Json:
    """Return the expressions of a stage, by field or by group, which are created if they are missing."""
    path = f"{_STAGES[str(kind)]}.fieldMap.stellar"
    handler = require_map(function, stage["fieldMap"].setdefault("stellar", {}), path)
    return require_map(function, handler.setdefault("config", {}), f"{path}.config")


def _find_group(function: str, expressions: Json, group: str) -> Json:
    return require_map(function, expressions.setdefault(group, {}), f"the group {describe(group)}")


def _drop_if_empty(expressions: Json, group: str | None) -> None:
    if group is not None and not expressions[group]:
        del expressions[group]


# -- Both -------------------------------------------------------------------------------------------------------------


def _read_expressions(function: str, transforms: Mapping[Any, Any]) -> dict[str, str]:
    for name, source in transforms.items():
        if not isinstance(name, str) or not isinstance(source, str):
            raise ValueError(
                f"{function} expected a map of fields to expressions, got {describe(name)} with {describe(source)}"
            )
    return dict(transforms)


def _remove(expressions: Json, names: Iterable[Any]) -> None:
    for name in names:
        if isinstance(name, str):
            expressions.pop(name, None)
