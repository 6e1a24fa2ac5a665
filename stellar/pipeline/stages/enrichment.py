"""Enrichment: fields worked out from others, in groups that do not see one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from stellar import Expression
from stellar.language.context import Context
from stellar.language.conversions import to_text
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, shortened, variables
from stellar.pipeline.config.embedded_expressions import ASSIGNMENT
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import AdapterConfig, StageConfig
from stellar.pipeline.records import Record, Report, Reporter, now

# What Metron has, stage by stage
ADAPTERS = {
    "enrich": ("geo", "host", "hbaseEnrichment", "stellar"),
    "threatIntel": ("hbaseThreatIntel", "stellar"),
}
# What an expression of the adapter stellar does in place of another adapter
_INSTEAD = {
    "geo": 'look an address up in an expression of the adapter stellar, such as "geo := GEO_GET(ip_dst_addr)"',
    "host": "give what is known of hosts in an expression of the adapter stellar, "
    "such as \"host := MAP_GET(ip_dst_addr, {'10.0.0.1': 'printer'})\"",
    "hbaseEnrichment": "look values up in an expression of the adapter stellar, "
    "such as \"user := ENRICHMENT_GET('user', ip_dst_addr, 'enrichment', 't')\"",
    "hbaseThreatIntel": "look values up in an expression of the adapter stellar, "
    "such as \"is_alert := ENRICHMENT_EXISTS('malicious_ip', ip_dst_addr, 'threatintel', 't')\"",
}
_METRON_NAMES = {"enrich": "ENRICHMENT", "threatIntel": "THREAT_INTEL"}


class FieldFailed(Exception):
    """The expression for a field failed; `__cause__` is why."""

    def __init__(self, field: str, cause: StellarError) -> None:
        super().__init__(field, cause)
        self.field = field
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Group:
    """Expressions that are worked out in order, each seeing those before it; `name` is empty for those in no group."""

    name: str
    steps: tuple[tuple[str, Expression], ...]

    def worked_out(self, known: Record, context: Context) -> Record:
        """The fields of this group. A map becomes a field for each of its members; null no field at all.

        Raises FieldFailed.
        """
        results: Record = {}
        for field, expression in self.steps:
            try:
                known[field] = results[field] = expression(known, context)
            except StellarError as error:
                raise FieldFailed(field, error) from error
        return _unfolded(results)

    def part_of(self, record: Record) -> Record:
        """What the group's expressions read of a record, and what kind of record it is."""
        read = {name for _, expression in self.steps for name in expression.variables} | {"source.type"}
        return record if "_" in read else {name: value for name, value in record.items() if name in read}


def _unfolded(results: Record) -> Record:
    fields: Record = {}
    for field, value in results.items():
        if isinstance(value, Mapping):
            fields.update({f"{field}.{to_text(key)}": member for key, member in value.items()})
        elif value is not None:
            fields[field] = value
    return fields


@dataclass(frozen=True)
class Enrich:
    """The Stellar enrichments of a stage. A group that fails is reported, and its record goes on without its fields."""

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
                joined.update(group.worked_out(variables(record, *self.defaults), self.context))
            except FieldFailed as failed:
                which = f"{failed.field} := {shortened(failed.cause.source)}"
                subject = f"{_METRON_NAMES[self.stage]} error with stellar failed: {which}"
                self.report(Report(group.part_of(record), self.stage, failed.cause, subject))
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


def enrichment(
    stage: str, config: StageConfig, settings: Mapping[str, Any], place: SourceLocation, workshop: BuildContext
) -> Enrich:
    """The enrichments that one stage of a configuration asks for.

    stage: enrich or threatIntel
    settings: the map `configuration`, whose members are variables behind those of the stage's own `config`

    Raises ConfigError for an adapter that is not known or not in this release, and for bad expressions.
    """
    groups: tuple[Group, ...] = ()
    for name, adapter in config.field_map.items():
        here = place / "fieldMap" / name
        groups += workshop.problems.attempt(partial(_adapted, stage, name, adapter, here, workshop), ())
    return Enrich(stage, groups, (config.config, settings), workshop.context, workshop.report)


def _adapted(
    stage: str, name: str, adapter: AdapterConfig, place: SourceLocation, workshop: BuildContext
) -> tuple[Group, ...]:
    if name not in ADAPTERS[stage]:
        possible = ", ".join(ADAPTERS[stage])
        raise place.error(f"Unable to find an adapter for {name}, possible adapters are: {possible}")
    if name == "stellar":
        return _groups(adapter, place, workshop)
    if adapter.config:
        raise place.error(f"the adapter {name} is not in this release; {_INSTEAD[name]}")
    return ()


def _groups(adapter: AdapterConfig, place: SourceLocation, workshop: BuildContext) -> tuple[Group, ...]:
    if adapter.type is not None and adapter.type.upper() != "STELLAR":
        raise (place / "type").error(f"the adapter stellar is of the type STELLAR, not {adapter.type!r}")
    config, place = adapter.config, place / "config"
    if isinstance(config, list):
        return (Group("", _listed(config, place, workshop)),) if config else ()
    ungrouped = {field: text for field, text in config.items() if not isinstance(text, dict | list)}
    groups = [
        Group(name, _steps(content, place / name, workshop))
        for name, content in config.items()
        if name not in ungrouped
    ]
    if ungrouped:
        groups.append(Group("", _mapped(ungrouped, place, workshop)))
    return tuple(groups)


Steps = tuple[tuple[str, Expression], ...]


def _steps(content: dict[str, Any] | list[Any], place: SourceLocation, workshop: BuildContext) -> Steps:
    if isinstance(content, list):
        return _listed(content, place, workshop)
    return _mapped(content, place, workshop)


def _mapped(content: Mapping[str, Any], place: SourceLocation, workshop: BuildContext) -> Steps:
    steps = [
        workshop.problems.attempt(partial(_step, field, text, place / field, workshop), None)
        for field, text in content.items()
    ]
    return tuple(step for step in steps if step is not None)


def _step(field: str, text: object, place: SourceLocation, workshop: BuildContext) -> tuple[str, Expression]:
    return field, workshop.expression(_expression_text(text, place), place)


def _listed(content: list[Any], place: SourceLocation, workshop: BuildContext) -> Steps:
    steps = [
        workshop.problems.attempt(partial(_assignment, text, place / index, workshop), None)
        for index, text in enumerate(content)
    ]
    return tuple(step for step in steps if step is not None)


def _assignment(text: object, place: SourceLocation, workshop: BuildContext) -> tuple[str, Expression]:
    match = ASSIGNMENT.fullmatch(_expression_text(text, place))
    if match is None:
        raise place.error(f'an assignment is wanted, such as "field := {str(text).strip()[:40] or "1"}"')
    return match[1], workshop.expression(match[2].strip(), place)


def _expression_text(value: object, place: SourceLocation) -> str:
    if isinstance(value, dict | list) or value is None:
        raise place.error("the text of an expression is wanted here")
    return to_text(value)
