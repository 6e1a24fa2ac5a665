"""The adapter stellar: groups of expressions, evaluated in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from stellar import Expression
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, merge_variables, shorten
from stellar.pipeline.config.embedded_expressions import ASSIGNMENT
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.models import RECORD_CONTEXT, RecordContext
from stellar.pipeline.records import Record
from stellar.pipeline.stages import enrichment_cache
from stellar.pipeline.stages.enrichment_tasks import NotCached
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import AdapterConfig

# Functions that wait, and whose results are cached with the group. Others that wait have caches and promises of their
# own (models), or effects (REST_POST).
_CACHED = frozenset({"REST_GET", "ENRICHMENT_GET", "ENRICHMENT_EXISTS"})
# Functions that wait but so shortly that a thread would take longer
_SHORT = frozenset({"ENRICHMENT_GET", "ENRICHMENT_EXISTS", "OBJECT_GET", "ENRICHMENT_OBJECT_GET"})
# Functions whose result depends on the clock, some of them only without an argument
_CLOCK = frozenset(
    {"NOW", "DAY_OF_WEEK", "DAY_OF_MONTH", "DAY_OF_YEAR", "WEEK_OF_MONTH", "WEEK_OF_YEAR", "MONTH", "YEAR"}
)


class FieldError(Exception):
    """The expression of a field failed; `cause` is the error."""

    def __init__(self, field: str, cause: StellarError) -> None:
        super().__init__(field, cause)
        self.field = field
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Group:
    """Expressions evaluated in order, each with the previous results.

    name: empty for the expressions without a group
    defaults: maps of variables, each with precedence over the next
    waits: True if it calls models, services or files
    is_cached: True if it waits only in functions whose results are cached
    generation: returns a number that changes with the stores that it reads
    """

    name: str
    steps: tuple[tuple[str, Expression], ...]
    defaults: tuple[Mapping[str, Any], ...]
    context: Context
    waits: bool = False
    is_cached: bool = False
    generation: Callable[[], int] = int

    adapter = "stellar"
    input_fields: ClassVar[frozenset[str]] = frozenset()

    def has_input(self, record: Record) -> bool:
        """See EnrichmentTask."""
        return True

    def make_key(self, record: Record) -> Hashable | None:
        """See EnrichmentTask."""
        inputs = self._select_inputs(record)
        key = enrichment_cache.make_key([*inputs, *inputs.values()])
        return None if key is None else (self.generation(), key)

    def run(self, record: Record) -> Record:
        """Return the fields of this group. A map becomes one field per member, and null becomes no field.

        Raises FieldError if an expression fails.
        """
        known = merge_variables(record, *self.defaults)
        results: Record = {}
        reports = len(_get_reports()) if self.is_cached else 0
        for field, expression in self.steps:
            try:
                known[field] = results[field] = expression(known, self.context)
            except StellarError as error:
                raise FieldError(field, error) from error
        fields = _flatten(results)
        if self.is_cached and len(_get_reports()) > reports:
            raise NotCached(fields)
        return fields

    def _select_inputs(self, record: Record) -> Record:
        read = {name for _, expression in self.steps for name in expression.variables}
        return record if "_" in read else {name: value for name, value in record.items() if name in read}

    def describe_input(self, record: Record) -> Record:
        """See EnrichmentTask."""
        return {self.name: dict(self._select_inputs(record))}

    def describe_failure(self, error: Exception) -> str:
        """See EnrichmentTask."""
        return f"{error.field} := {shorten(error.cause.source)}" if isinstance(error, FieldError) else self.name


def _get_reports() -> list[Any]:
    return RECORD_CONTEXT.get(_NO_RECORD).reports


_NO_RECORD = RecordContext()


def _flatten(results: Record) -> Record:
    fields: Record = {}
    for field, value in results.items():
        flatten_into(fields, field, value)
    return fields


def flatten_into(fields: Record, field: str, value: object) -> None:
    """Add the result of an expression: a map becomes one field per member, and null becomes no field."""
    if isinstance(value, Mapping):
        fields.update({f"{field}.{to_string(key)}": member for key, member in value.items()})
    elif value is not None:
        fields[field] = value


Steps = tuple[tuple[str, Expression], ...]


def compile_groups(
    adapter: AdapterConfig, location: SourceLocation, builder: BuildContext, defaults: tuple[Mapping[str, Any], ...]
) -> tuple[Group, ...]:
    """Return the groups of the adapter stellar.

    Raises ConfigError for an invalid configuration or expression.
    """
    is_list = adapter.type == "LIST" and isinstance(adapter.config, list)  # short for a map with the list as `config`
    if adapter.type is not None and adapter.type.upper() != "STELLAR" and not is_list:
        raise (location / "type").error(f"expected the type STELLAR for the adapter stellar, got {quote(adapter.type)}")
    return tuple(
        _make_group(name, steps, builder, defaults)
        for name, steps in _compile_all(adapter.config, location / "config", builder)
    )


def _make_group(name: str, steps: Steps, builder: BuildContext, defaults: tuple[Mapping[str, Any], ...]) -> Group:
    functions = {each: expression.library for _, expression in steps for each in expression.functions}
    waiting = {each for each, library in functions.items() if each in library and _waits(library[each])}
    variables = {each for _, expression in steps for each in expression.variables}
    is_cached = bool(waiting) and waiting <= _CACHED and _CLOCK.isdisjoint(functions) and "_" not in variables
    generation = _watch_store(builder.context) if is_cached and waiting != {"REST_GET"} else int
    defaults = tuple(each for each in defaults if each)
    return Group(name, steps, defaults, builder.context, bool(waiting - _SHORT), is_cached, generation)


def _watch_store(context: Context) -> Callable[[], int]:
    from stellar.pipeline.stages.lookups import StoreWatch  # it loads clients of stores

    return StoreWatch(context)


def _waits(function: Any) -> bool:
    return bool(function.blocks or function.cooperative)


def _compile_all(config: Any, location: SourceLocation, builder: BuildContext) -> list[tuple[str, Steps]]:
    if isinstance(config, list):
        return [("", _compile_list(config, location, builder))] if config else []
    ungrouped = {field: text for field, text in config.items() if not isinstance(text, dict | list)}
    groups = []
    for name, content in config.items():
        if name not in ungrouped:
            if not name.strip():
                raise location.error("expected a name for each group, got an empty one")
            groups.append((name, _compile_group(content, location / name, builder)))
    if ungrouped:
        groups.append(("", _compile_map(ungrouped, location, builder)))
    return groups


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
    if not field:
        raise location.error("expected a field before the expression, got an empty name")
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
    if not isinstance(value, str):
        hint = "" if isinstance(value, dict | list) or value is None else f', such as "{json.dumps(value)}"'
        raise location.error(f"expected an expression as a string{hint}")
    return value
