"""Enrichment: new fields computed by expressions, in groups that are independent of each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from stellar import Expression
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, merge_variables, shorten
from stellar.pipeline.config.embedded_expressions import ASSIGNMENT
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import AdapterConfig, StageConfig
from stellar.pipeline.records import Record, Report, Reporter, now

# Metron's adapters, by stage
ADAPTERS = {
    "enrich": ("geo", "host", "hbaseEnrichment", "stellar"),
    "threatIntel": ("hbaseThreatIntel", "stellar"),
}
# How an expression of the adapter stellar replaces another adapter
_REPLACEMENTS = {
    "geo": 'look up an address in an expression of the adapter stellar, such as "geo := GEO_GET(ip_dst_addr)"',
    "host": "define known hosts in an expression of the adapter stellar, "
    "such as \"host := MAP_GET(ip_dst_addr, {'10.0.0.1': 'printer'})\"",
    "hbaseEnrichment": "look values up in an expression of the adapter stellar, "
    "such as \"user := ENRICHMENT_GET('user', ip_dst_addr, 'enrichment', 't')\"",
    "hbaseThreatIntel": "look values up in an expression of the adapter stellar, "
    "such as \"is_alert := ENRICHMENT_EXISTS('malicious_ip', ip_dst_addr, 'threatintel', 't')\"",
}
_METRON_NAMES = {"enrich": "ENRICHMENT", "threatIntel": "THREAT_INTEL"}


class FieldError(Exception):
    """The expression of a field failed; `cause` is the error."""

    def __init__(self, field: str, cause: StellarError) -> None:
        super().__init__(field, cause)
        self.field = field
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Group:
    """Expressions evaluated in order, each with the previous results; `name` is empty for the default group."""

    name: str
    steps: tuple[tuple[str, Expression], ...]

    def evaluate(self, known: Record, context: Context) -> Record:
        """Return the fields of this group. A map becomes one field per member, and null becomes no field.

        Raises FieldError if an expression fails.
        """
        results: Record = {}
        for field, expression in self.steps:
            try:
                known[field] = results[field] = expression(known, context)
            except StellarError as error:
                raise FieldError(field, error) from error
        return _flatten(results)

    def select_inputs(self, record: Record) -> Record:
        """Return the fields that the expressions of the group read, and `source.type`."""
        read = {name for _, expression in self.steps for name in expression.variables} | {"source.type"}
        return record if "_" in read else {name: value for name, value in record.items() if name in read}


def _flatten(results: Record) -> Record:
    fields: Record = {}
    for field, value in results.items():
        if isinstance(value, Mapping):
            fields.update({f"{field}.{to_string(key)}": member for key, member in value.items()})
        elif value is not None:
            fields[field] = value
    return fields


@dataclass(frozen=True)
class Enrich:
    """The Stellar enrichments of a stage. If a group fails, it is reported, and the record gets none of its fields."""

    stage: str
    groups: tuple[Group, ...]
    defaults: tuple[Mapping[str, Any], ...]
    context: Context
    report: Reporter

    def __call__(self, record: Record) -> Record:
        begin = _timing()
        joined = dict(record)
        for group in self.groups:
            try:
                joined.update(group.evaluate(merge_variables(record, *self.defaults), self.context))
            except FieldError as failed:
                assignment = f"{failed.field} := {shorten(failed.cause.source)}"
                subject = f"{_METRON_NAMES[self.stage]} error with stellar failed: {assignment}"
                self.report(Report(group.select_inputs(record), self.stage, failed.cause, subject))
        end = _timing()
        if self.groups:
            joined = {name: value for name, value in joined.items() if value is not None and value != ""}
            joined["adapter.stellaradapter.begin.ts"] = begin
            joined["adapter.stellaradapter.end.ts"] = end
        joined["parallelenricher.splitter.begin.ts"] = begin
        joined["parallelenricher.splitter.end.ts"] = begin
        joined["parallelenricher.enrich.begin.ts"] = begin
        joined["parallelenricher.enrich.end.ts"] = end
        return joined


def _timing() -> str:
    return str(now())


def build_enrichment(
    stage: str, config: StageConfig, settings: Mapping[str, Any], location: SourceLocation, builder: BuildContext
) -> Enrich:
    """Build the enrichments of a stage.

    stage: `enrich` or `threatIntel`
    settings: the map `configuration`, whose members are variables; those of the stage's own `config` take precedence

    Raises ConfigError for an unknown or unsupported adapter, and for an invalid expression.
    """
    groups: tuple[Group, ...] = ()
    for name, adapter in config.field_map.items():
        here = location / "fieldMap" / name
        groups += builder.problems.attempt(partial(_compile_adapter, stage, name, adapter, here, builder), ())
    return Enrich(stage, groups, (config.config, settings), builder.context, builder.report)


def _compile_adapter(
    stage: str, name: str, adapter: AdapterConfig, location: SourceLocation, builder: BuildContext
) -> tuple[Group, ...]:
    if name not in ADAPTERS[stage]:
        possible = ", ".join(ADAPTERS[stage])
        raise location.error(f"Unable to find an adapter for {name}, possible adapters are: {possible}")
    if name == "stellar":
        return _compile_groups(adapter, location, builder)
    if adapter.config:
        raise location.error(f"unsupported adapter {name}; {_REPLACEMENTS[name]}")
    return ()


def _compile_groups(adapter: AdapterConfig, location: SourceLocation, builder: BuildContext) -> tuple[Group, ...]:
    if adapter.type is not None and adapter.type.upper() != "STELLAR":
        raise (location / "type").error(f"expected the type STELLAR for the adapter stellar, got {adapter.type!r}")
    config, location = adapter.config, location / "config"
    if isinstance(config, list):
        return (Group("", _compile_list(config, location, builder)),) if config else ()
    ungrouped = {field: text for field, text in config.items() if not isinstance(text, dict | list)}
    groups = [
        Group(name, _compile_group(content, location / name, builder))
        for name, content in config.items()
        if name not in ungrouped
    ]
    if ungrouped:
        groups.append(Group("", _compile_map(ungrouped, location, builder)))
    return tuple(groups)


Steps = tuple[tuple[str, Expression], ...]


def _compile_group(content: dict[str, Any] | list[Any], location: SourceLocation, builder: BuildContext) -> Steps:
    if isinstance(content, list):
        return _compile_list(content, location, builder)
    return _compile_map(content, location, builder)


def _compile_map(content: Mapping[str, Any], location: SourceLocation, builder: BuildContext) -> Steps:
    steps = [
        builder.problems.attempt(partial(_compile_field, field, text, location / field, builder), None)
        for field, text in content.items()
    ]
    return tuple(step for step in steps if step is not None)


def _compile_field(field: str, text: object, location: SourceLocation, builder: BuildContext) -> tuple[str, Expression]:
    return field, builder.expression(_read_expression(text, location), location)


def _compile_list(content: list[Any], location: SourceLocation, builder: BuildContext) -> Steps:
    steps = [
        builder.problems.attempt(partial(_compile_assignment, text, location / index, builder), None)
        for index, text in enumerate(content)
    ]
    return tuple(step for step in steps if step is not None)


def _compile_assignment(text: object, location: SourceLocation, builder: BuildContext) -> tuple[str, Expression]:
    match = ASSIGNMENT.fullmatch(_read_expression(text, location))
    if match is None:
        raise location.error(f'expected an assignment, such as "field := {str(text).strip()[:40] or "1"}"')
    return match[1], builder.expression(match[2].strip(), location)


def _read_expression(value: object, location: SourceLocation) -> str:
    if isinstance(value, dict | list) or value is None:
        raise location.error("expected an expression as a string")
    return to_string(value)
