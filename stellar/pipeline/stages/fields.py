"""Field transformations: what a sensor's configuration makes of a parsed record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import stellar
from stellar import Expression
from stellar.java.bounded_regex import compiled, found
from stellar.language.context import Context
from stellar.language.conversions import to_text
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, variables
from stellar.pipeline.config.locations import SourceLocation, imported
from stellar.pipeline.config.schema import Transformation
from stellar.pipeline.records import Record, Stage
from stellar.util.suggestions import known_names

log = logging.getLogger(__name__)

# What SELECT keeps in any case
ALWAYS_SELECTED = frozenset({"timestamp", "original_string", "source.type"})


class TransformationError(ValueError):
    """A field transformation that a record made fail."""


@dataclass(frozen=True, slots=True)
class Step:
    """An expression, and the name that its value gets.

    kept: whether that is a field of the record, or only a variable for later steps
    """

    name: str
    expression: Expression
    kept: bool


@dataclass(frozen=True)
class Assign:
    """STELLAR: set fields, each to the value of an expression over the record so far; null removes the field."""

    steps: tuple[Step, ...]
    input: tuple[str, ...] | None
    options: Mapping[str, Any]
    context: Context

    def __call__(self, record: Record) -> Record:
        seen = record if self.input is None else {name: record.get(name) for name in self.input}
        known = variables(seen, self.options)
        results: Record = {}
        for step in self.steps:
            try:
                value = step.expression(known, self.context)
            except StellarError as error:
                expression = step.expression.source
                message = f"Unable to process transformation: {expression} for {step.name} because {error}"
                raise TransformationError(message) from error
            if value is not None:  # a null does not hide what had the name before
                known[step.name] = value
            if step.kept:
                results[step.name] = value
        return updated(record, results)


@dataclass(frozen=True)
class Remove:
    """REMOVE: take fields away from records that a condition holds for."""

    fields: tuple[str, ...]
    condition: Expression
    options: Mapping[str, Any]
    context: Context

    def __call__(self, record: Record) -> Record:
        if not self.condition(variables(record, self.options), self.context):
            return record
        return {name: value for name, value in record.items() if name not in self.fields}


@dataclass(frozen=True)
class Select:
    """SELECT: keep these fields, and those that every record needs."""

    fields: frozenset[str]

    def __call__(self, record: Record) -> Record:
        return {name: value for name, value in record.items() if name in self.fields}


@dataclass(frozen=True)
class Rename:
    """RENAME: give fields other names, over whatever had those before."""

    names: Mapping[str, str]

    def __call__(self, record: Record) -> Record:
        results: Record = {}
        for old, new in self.names.items():
            if old in record:
                results.setdefault(old, None)
                results[new] = record[old]
        return updated(record, results)


@dataclass(frozen=True)
class IpProtocol:
    """IP_PROTOCOL: the name of a protocol number; a number without a name is removed, a text stays as it is."""

    input: str
    output: str
    name_of: Expression

    def __call__(self, record: Record) -> Record:
        value = record.get(self.input)
        if isinstance(value, int | float) and not isinstance(value, bool):
            name = self.name_of({"number": value})
            value = name if isinstance(name, str) else None
        return updated(record, {self.output: value})


@dataclass(frozen=True)
class RegexSelect:
    """REGEX_SELECT: the first value of which a regular expression is found in the input field."""

    input: str
    output: str
    choices: tuple[tuple[str, Any], ...]

    def __call__(self, record: Record) -> Record:
        text = record.get(self.input)
        if text is None:
            return record
        text = to_text(text)
        for value, pattern in self.choices:
            if found(pattern, text):
                return {**record, self.output: value}
        return record


def updated(record: Record, results: Mapping[str, Any]) -> Record:
    """A record with these fields set; null removes a field."""
    changed = {**record, **results}
    for name, value in results.items():
        if value is None:
            del changed[name]
    return changed


Factory = Callable[[Transformation, SourceLocation, BuildContext], Stage]


def _assign(config: Transformation, place: SourceLocation, workshop: BuildContext) -> Stage:
    outputs = _outputs(config)
    kept = set(config.config if outputs is None else outputs)
    steps = [
        Step(name, workshop.expression(to_text(text), place / "config" / name), name in kept)
        for name, text in config.config.items()
        if text is not None
    ]
    for name in config.output or ():
        if config.config.get(name) is None:
            log.warning("%s: %r has no expression in 'config', so it stays as it is", place / "output", name)
    if not steps:
        raise (place / "config").error("there is no expression; give a map from field to expression")
    return Assign(
        tuple(steps), tuple(config.input) if config.input is not None else None, workshop.options, workshop.context
    )


def _remove(config: Transformation, place: SourceLocation, workshop: BuildContext) -> Stage:
    condition = config.config.get("condition")
    if condition is not None and not isinstance(condition, str):
        raise (place / "config" / "condition").error(f"the text of an expression is wanted, not {condition!r}")
    predicate = workshop.predicate(condition or "true", place / "config" / "condition")
    return Remove(_wanted_outputs(config, place), predicate, workshop.options, workshop.context)


def _select(config: Transformation, place: SourceLocation, workshop: BuildContext) -> Stage:
    return Select(frozenset(_wanted_outputs(config, place)) | ALWAYS_SELECTED)


def _rename(config: Transformation, place: SourceLocation, workshop: BuildContext) -> Stage:
    for old, new in config.config.items():
        if not isinstance(new, str):
            raise (place / "config" / old).error(f"the new name is wanted, a text, not {new!r}")
    names = {old: new for old, new in config.config.items() if config.input is None or old in config.input}
    return Rename(names)


def _ip_protocol(config: Transformation, place: SourceLocation, workshop: BuildContext) -> Stage:
    field = _one_input(config, place)
    return IpProtocol(field, (_outputs(config) or [field])[0], stellar.compile("PROTOCOL_TO_NAME(number)"))


def _regex_select(config: Transformation, place: SourceLocation, workshop: BuildContext) -> Stage:
    field = _one_input(config, place)
    choices = [
        (value, pattern)
        for value, texts in config.config.items()
        for text in (texts if isinstance(texts, list) else [texts])
        if (pattern := _pattern_or_none(text, place / "config" / value)) is not None
    ]
    return RegexSelect(field, (_outputs(config) or [field])[0], tuple(choices))


def _pattern_or_none(text: object, place: SourceLocation) -> Any:
    """Metron takes what is no regular expression for one that is never found; so do we, but say so."""
    try:
        return compiled(to_text(text))
    except ValueError as error:
        log.warning("%s: %r is no regular expression, so it is never found: %s", place, text, error)
        return None


def _outputs(config: Transformation) -> list[str] | None:
    return config.input if config.output is None else config.output


def _wanted_outputs(config: Transformation, place: SourceLocation) -> tuple[str, ...]:
    outputs = _outputs(config)
    if not outputs:
        raise (place / "output").error(f"{config.transformation} needs the names of fields as 'output' or 'input'")
    return tuple(outputs)


def _one_input(config: Transformation, place: SourceLocation) -> str:
    if not config.input or len(config.input) > 1:
        raise (place / "input").error(f"{config.transformation} needs the name of one field as 'input'")
    return config.input[0]


TRANSFORMATIONS: dict[str, Factory] = {
    "STELLAR": _assign,
    "REMOVE": _remove,
    "SELECT": _select,
    "RENAME": _rename,
    "IP_PROTOCOL": _ip_protocol,
    "REGEX_SELECT": _regex_select,
    "REGEX_ROUTING": _regex_select,  # so called in Metron's documentation
}


def transformation(config: Transformation, place: SourceLocation, workshop: BuildContext) -> Stage:
    """The stage that a configuration asks for, by a name of the table or the dotted path of a Python function.

    Raises ConfigError for an unknown one, or one whose configuration is not as it should be.
    """
    name = config.transformation
    if (factory := TRANSFORMATIONS.get(name)) is None:
        if "." not in name or name.startswith("org.apache."):
            raise (place / "transformation").error(
                f"unknown transformation {name!r}; {known_names(name, TRANSFORMATIONS)}"
            )
        factory = imported(name, place / "transformation", "transformation")
    return factory(config, place, workshop)
