"""Field transformations, which change a record after it is parsed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import stellar
from stellar import Expression
from stellar.java.regex import InvalidPattern, compile_pattern, search
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, merge_variables
from stellar.pipeline.config.locations import SourceLocation, import_factory
from stellar.pipeline.config.schema import Transformation
from stellar.pipeline.records import Record, Stage
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)

# Fields that SELECT never removes
ALWAYS_SELECTED = frozenset({"timestamp", "original_string", "source.type"})


class TransformationError(ValueError):
    """A field transformation failed for a record."""


@dataclass(frozen=True, slots=True)
class Step:
    """An expression, and the name that its value is assigned to.

    is_output: True for a field of the record, False for a variable of later steps
    """

    name: str
    expression: Expression
    is_output: bool


@dataclass(frozen=True)
class Assign:
    """STELLAR: set fields to the values of expressions, in order; null removes the field."""

    steps: tuple[Step, ...]
    input: tuple[str, ...] | None
    options: Mapping[str, Any]
    context: Context

    def __call__(self, record: Record) -> Record:
        seen = record if self.input is None else {name: record.get(name) for name in self.input}
        known = merge_variables(seen, self.options)
        results: Record = {}
        for step in self.steps:
            try:
                value = step.expression(known, self.context)
            except StellarError as error:
                expression = step.expression.source
                message = f"Unable to process transformation: {expression} for {step.name} because {error}"
                raise TransformationError(message) from error
            if value is not None:  # null does not hide an earlier value of that name
                known[step.name] = value
            if step.is_output:
                results[step.name] = value
        return set_fields(record, results)


@dataclass(frozen=True)
class Remove:
    """REMOVE: remove fields from records that match a condition."""

    fields: tuple[str, ...]
    condition: Expression
    options: Mapping[str, Any]
    context: Context

    def __call__(self, record: Record) -> Record:
        if not self.condition(merge_variables(record, self.options), self.context):
            return record
        return {name: value for name, value in record.items() if name not in self.fields}


@dataclass(frozen=True)
class Select:
    """SELECT: remove all fields but the selected ones and those that every record needs."""

    fields: frozenset[str]

    def __call__(self, record: Record) -> Record:
        return {name: value for name, value in record.items() if name in self.fields}


@dataclass(frozen=True)
class Rename:
    """RENAME: rename fields; an existing field with the new name is overwritten."""

    names: Mapping[str, str]

    def __call__(self, record: Record) -> Record:
        results: Record = {}
        for old, new in self.names.items():
            if old in record:
                results.setdefault(old, None)
                results[new] = record[old]
        return set_fields(record, results)


@dataclass(frozen=True)
class IpProtocol:
    """IP_PROTOCOL: replace a protocol number by its name; remove unknown numbers, and leave strings unchanged."""

    input: str
    output: str
    name_of: Expression

    def __call__(self, record: Record) -> Record:
        value = record.get(self.input)
        if isinstance(value, int | float) and not isinstance(value, bool):
            name = self.name_of({"number": value})
            value = name if isinstance(name, str) else None
        return set_fields(record, {self.output: value})


@dataclass(frozen=True)
class RegexSelect:
    """REGEX_SELECT: set a field to the first value whose regular expression matches part of the input field."""

    input: str
    output: str
    choices: tuple[tuple[str, Any], ...]

    def __call__(self, record: Record) -> Record:
        text = record.get(self.input)
        if text is None:
            return record
        text = to_string(text)
        for value, pattern in self.choices:
            if search(pattern, text):
                return {**record, self.output: value}
        return record


def set_fields(record: Record, results: Mapping[str, Any]) -> Record:
    """Return a copy of a record with fields set; null removes a field."""
    changed = {**record, **results}
    for name, value in results.items():
        if value is None:
            del changed[name]
    return changed


Factory = Callable[[Transformation, SourceLocation, BuildContext], Stage]


def _assign(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    outputs = _outputs(config)
    fields = set(config.config if outputs is None else outputs)
    steps = [
        Step(name, builder.expression(to_string(text), location / "config" / name), name in fields)
        for name, text in config.config.items()
        if text is not None
    ]
    for name in config.output or ():
        if config.config.get(name) is None:
            log.warning("%s: %r has no expression in 'config' and is not changed", location / "output", name)
    if not steps:
        raise (location / "config").error("missing expressions; specify a map from field to expression")
    return Assign(
        tuple(steps),
        tuple(config.input) if config.input is not None else None,
        builder.options,
        builder.context,
    )


def _remove(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    condition = config.config.get("condition")
    if condition is not None and not isinstance(condition, str):
        raise (location / "config" / "condition").error(f"expected an expression as a string, got {condition!r}")
    predicate = builder.predicate(condition or "true", location / "config" / "condition")
    return Remove(_require_outputs(config, location), predicate, builder.options, builder.context)


def _select(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    return Select(frozenset(_require_outputs(config, location)) | ALWAYS_SELECTED)


def _rename(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    for old, new in config.config.items():
        if not isinstance(new, str):
            raise (location / "config" / old).error(f"expected the new name as a string, got {new!r}")
    names = {old: new for old, new in config.config.items() if config.input is None or old in config.input}
    return Rename(names)


def _ip_protocol(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    field = _require_input(config, location)
    return IpProtocol(field, (_outputs(config) or [field])[0], stellar.compile("PROTOCOL_TO_NAME(number)"))


def _regex_select(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    field = _require_input(config, location)
    choices = [
        (value, pattern)
        for value, texts in config.config.items()
        for text in (texts if isinstance(texts, list) else [texts])
        if (pattern := _pattern_or_none(text, location / "config" / value)) is not None
    ]
    return RegexSelect(field, (_outputs(config) or [field])[0], tuple(choices))


def _pattern_or_none(text: object, location: SourceLocation) -> Any:
    """Compile a regular expression; an invalid one never matches, as in Metron, and is logged."""
    try:
        return compile_pattern(to_string(text))
    except InvalidPattern as error:
        log.warning("%s: invalid regular expression %r never matches: %s", location, text, error.problem)
        return None


def _outputs(config: Transformation) -> list[str] | None:
    return config.input if config.output is None else config.output


def _require_outputs(config: Transformation, location: SourceLocation) -> tuple[str, ...]:
    outputs = _outputs(config)
    if not outputs:
        raise (location / "output").error(f"{config.transformation} needs the names of fields as 'output' or 'input'")
    return tuple(outputs)


def _require_input(config: Transformation, location: SourceLocation) -> str:
    if not config.input or len(config.input) > 1:
        raise (location / "input").error(f"{config.transformation} needs the name of one field as 'input'")
    return config.input[0]


TRANSFORMATIONS: dict[str, Factory] = {
    "STELLAR": _assign,
    "REMOVE": _remove,
    "SELECT": _select,
    "RENAME": _rename,
    "IP_PROTOCOL": _ip_protocol,
    "REGEX_SELECT": _regex_select,
    "REGEX_ROUTING": _regex_select,  # the name in Metron's documentation
}


def build_transformation(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    """Build a field transformation, given by a name in the table or the dotted path of a Python function.

    Raises ConfigError for an unknown name and for invalid options.
    """
    name = config.transformation
    if (factory := TRANSFORMATIONS.get(name)) is None:
        if "." not in name or name.startswith("org.apache."):
            raise (location / "transformation").error(
                f"unknown transformation {name!r}; {suggest_name(name, TRANSFORMATIONS)}"
            )
        factory = import_factory(name, location / "transformation", "transformation")
    return factory(config, location, builder)
