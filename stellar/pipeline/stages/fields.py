"""Field transformations, which change a record after it is parsed."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import stellar
from stellar import Expression
from stellar.java.integers import INT_MAX, INT_MIN
from stellar.java.regex import TIMEOUT_MS, InvalidPattern, compile_pattern, search
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.pipeline.config.compile import BuildContext, merge_variables
from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Record, Stage
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import Transformation

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


def explain_failure(step: Step, error: StellarError) -> TransformationError:
    """Return the error of a transformation whose step failed."""
    return TransformationError(
        f"Unable to process transformation: {step.expression.source} for {step.name} because {error}"
    )


@dataclass(frozen=True)
class Assign:
    """STELLAR: set fields to the values of expressions, in order; null removes the field.

    input: the fields that expressions see; empty for all fields
    options: further variables: `parserConfig`
    metadata: returns the metadata of the record, which are variables as well
    """

    steps: tuple[Step, ...]
    input: tuple[str, ...]
    options: Mapping[str, Any]
    context: Context
    metadata: Callable[[], Mapping[str, Any]] = dict

    def __call__(self, record: Record) -> Record:
        seen = {name: record.get(name) for name in self.input} if self.input else record
        known = merge_variables(seen, self.options, self.metadata())
        results: Record = {}
        for step in self.steps:
            try:
                value = step.expression(known, self.context)
            except StellarError as error:
                raise explain_failure(step, error) from error
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
    """SELECT: remove all fields but the selected ones and those that every record needs. Null fields are removed, too.

    input: the only fields that may be removed; empty for all fields
    """

    fields: frozenset[str]
    input: frozenset[str] = frozenset()

    def __call__(self, record: Record) -> Record:
        return {name: value for name, value in record.items() if self._is_selected(name, value)}

    def _is_selected(self, name: str, value: object) -> bool:
        if name in ALWAYS_SELECTED or (self.input and name not in self.input):
            return True
        return name in self.fields and value is not None


@dataclass(frozen=True)
class Rename:
    """RENAME: rename fields; an existing field with the new name is overwritten.

    All values are read before any field is written, so that two fields can swap their names. Null fields are removed,
    as in Metron.

    input: the only fields that may be renamed or removed; empty for all fields
    """

    names: Mapping[str, str]
    input: tuple[str, ...] = ()

    def __call__(self, record: Record) -> Record:
        seen = {name: record.get(name) for name in self.input} if self.input else record
        results: Record = {name: None for name, value in seen.items() if name in self.names or value is None}
        results |= {new: seen[old] for old, new in self.names.items() if old in seen}
        # A field that is an input but missing is written last in Metron
        results |= {name: None for name in self.input if name not in record and name not in self.names}
        return set_fields(record, results)


@dataclass(frozen=True)
class IpProtocol:
    """IP_PROTOCOL: replace a protocol number by its name; remove unknown numbers, and leave strings unchanged."""

    input: str
    output: str
    name_of: Expression

    def __call__(self, record: Record) -> Record:
        value = record.get(self.input)
        if isinstance(value, bool | list | dict):
            return record
        if isinstance(value, int | float):
            name = self.name_of({"number": _to_java_int(value)})
            value = name if isinstance(name, str) else None
        return set_fields(record, {self.output: value})


def _to_java_int(value: float) -> int:
    """Convert a number as Java's `intValue` does."""
    if isinstance(value, float):
        return 0 if math.isnan(value) else int(min(max(value, INT_MIN), INT_MAX))
    return (value - INT_MIN) % 2**32 + INT_MIN


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
            try:
                found = search(pattern, text)
            except TimeoutError as error:
                raise TransformationError(
                    f"REGEX_SELECT: the regular expression for {quote(value)} took longer than {TIMEOUT_MS} ms for "
                    f"{self.input}; simplify it"
                ) from error
            if found:
                return {**record, self.output: value}
        return record


def set_fields(record: Record, results: Mapping[str, Any]) -> Record:
    """Return a copy of a record with fields set; null removes a field."""
    changed = {**record, **results}
    for name, value in results.items():
        if value is None:
            del changed[name]
    return changed


Factory = Callable[["Transformation", SourceLocation, BuildContext], Stage]


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
            log.warning("%s: %s has no expression in 'config' and is not changed", location / "output", quote(name))
    if not steps:
        raise (location / "config").error("missing expressions; specify a map from field to expression")
    return Assign(
        tuple(steps),
        tuple(config.input or ()),
        builder.options,
        builder.context,
        builder.metadata,
    )


def _remove(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    condition = config.config.get("condition")
    if condition is not None and not isinstance(condition, str):
        raise (location / "config" / "condition").error(f"expected an expression as a string, got {quote(condition)}")
    predicate = builder.predicate(condition or "true", location / "config" / "condition")
    return Remove(_require_outputs(config, location), predicate, builder.options, builder.context)


def _select(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    return Select(frozenset(_require_outputs(config, location)), frozenset(config.input or ()))


def _rename(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    for old, new in config.config.items():
        if not isinstance(new, str):
            raise (location / "config" / old).error(f"expected the new name as a string, got {quote(new)}")
    return Rename(config.config, tuple(config.input or ()))


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
        log.warning("%s: invalid regular expression %s never matches: %s", location, quote(text), error.problem)
        return None


def _outputs(config: Transformation) -> list[str] | None:
    return config.output or config.input or None


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


_JAVA = "org.apache.metron.common.field.transformation."
# The names of the transformation by expressions
STELLAR_NAMES = ("STELLAR", f"{_JAVA}StellarTransformation")
_CLASSES = {
    "StellarTransformation": "STELLAR",
    "RemoveTransformation": "REMOVE",
    "SelectTransformation": "SELECT",
    "RenameTransformation": "RENAME",
    "IPProtocolTransformation": "IP_PROTOCOL",
    "RegexSelectTransformation": "REGEX_SELECT",
}


def build_transformation(config: Transformation, location: SourceLocation, builder: BuildContext) -> Stage:
    """Build a field transformation, given by its name, Metron's Java class, or the path of a Python function.

    Raises ConfigError for an unknown name and for invalid options.
    """
    name = config.transformation
    short = name.removeprefix(_JAVA)
    name = _CLASSES.get(short, name) if short != name else name
    return find_factory(name, TRANSFORMATIONS, "transformation", location / "transformation")(config, location, builder)
