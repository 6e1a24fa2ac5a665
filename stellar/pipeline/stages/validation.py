"""Validation: which records are as the global configuration wants them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import stellar
from stellar import Expression
from stellar.java.bounded_regex import compiled, fits
from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.language.conversions import to_text
from stellar.language.errors import EvaluationError
from stellar.pipeline.config.compile import BuildContext, variables
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.config.schema import Validation
from stellar.pipeline.records import Invalid, Record
from stellar.util.suggestions import known_names

# Whether a record passes; the fields are those that the validation names, or all
Check = Callable[[Record], bool]


@dataclass(frozen=True)
class Named:
    """A check, what it is called, and the fields that are to blame if it fails."""

    name: str
    fields: tuple[str, ...]
    check: Check

    def passes(self, record: Record) -> bool:
        return self.check({name: record.get(name) for name in self.fields} if self.fields else record)


@dataclass(frozen=True)
class Validate:
    """Run all checks, so that a record that fails names every field that is to blame."""

    checks: tuple[Named, ...]

    def __call__(self, record: Record) -> Record:
        failed = [check for check in self.checks if not check.passes(record)]
        if failed:
            fields = dict.fromkeys(name for check in failed for name in check.fields)
            names = ", ".join(f"{check.name}({', '.join(check.fields)})" for check in failed)
            raise Invalid(f"not valid: {names}", tuple(fields))
        return record


def _each(passes: Callable[[Any], bool]) -> Check:
    """Every value that is not null passes."""
    return lambda record: all(value is None or passes(value) for value in record.values())


def _by_expression(text: str) -> Callable[[Validation, SourceLocation, BuildContext], Check]:
    def make(config: Validation, place: SourceLocation, workshop: BuildContext) -> Check:
        expression = stellar.compile(text, predicate=True)
        return _each(lambda value: bool(expression({"value": value})))

    return make


def _stellar(config: Validation, place: SourceLocation, workshop: BuildContext) -> Check:
    condition = config.config.get("condition")
    if not isinstance(condition, str):
        raise (place / "config" / "condition").error(
            'the validation STELLAR needs a condition here, such as "exists(ip_src_addr)"'
        )
    predicate = workshop.predicate(condition, place / "config" / "condition")
    settings, context = workshop.settings, workshop.context
    return lambda record: bool(predicate(variables(record, config.config, settings), context))


_KINDS = ("IPV4", "IPV6")


def _ip(config: Validation, place: SourceLocation, workshop: BuildContext) -> Check:
    kinds = config.config.get("type") or list(_KINDS)
    kinds = kinds if isinstance(kinds, list) else [kinds]
    for kind in kinds:
        if to_text(kind).upper() not in _KINDS:
            raise (place / "config" / "type").error(f"unknown type {kind!r}; known are {', '.join(_KINDS)}")
    expression = stellar.compile("IS_IP(value, type)", predicate=True)
    # Metron is content with one good address among several; "all" asks for every one
    enough: Callable[[Iterable[object]], bool] = all if config.config.get("all") is True else any

    def good(value: object) -> bool:
        return value is None or any(expression({"value": value, "type": kind.upper()}) for kind in kinds)

    return lambda record: enough(good(value) for value in record.values())


def _date(config: Validation, place: SourceLocation, workshop: BuildContext) -> Check:
    pattern = config.config.get("format")
    if not isinstance(pattern, str):
        raise (place / "config" / "format").error('the validation DATE needs a date pattern here, such as "yyyy-MM-dd"')
    expression = stellar.compile("IS_DATE(value, format)", predicate=True)
    _check_date_pattern(expression, pattern, place / "config" / "format")

    def check(record: Record) -> bool:
        for value in record.values():
            if value is None:  # Metron looks at no field behind a null
                return True
            if not expression({"value": value, "format": pattern}):
                return False
        return True

    return check


def _check_date_pattern(expression: Expression, pattern: str, place: SourceLocation) -> None:
    try:
        expression({"value": "x", "format": pattern})
    except EvaluationError as error:
        raise place.error(f"{pattern!r} is no date pattern: {error.__cause__ or error.message}") from error


def _integer(config: Validation, place: SourceLocation, workshop: BuildContext) -> Check:
    def whole(value: object) -> bool:
        text = to_text(value)
        return bool(re.fullmatch(r"[+-]?[0-9]{1,19}", text)) and LONG_MIN <= int(text) <= LONG_MAX

    return _each(whole)


def _regex(config: Validation, place: SourceLocation, workshop: BuildContext) -> Check:
    text = config.config.get("pattern")
    if not isinstance(text, str):
        raise (place / "config" / "pattern").error("the validation REGEX_MATCH needs a regular expression here")
    try:
        pattern = compiled(text)
    except ValueError as error:
        raise (place / "config" / "pattern").error(f"no regular expression: {error}") from error
    return _each(lambda value: fits(pattern, to_text(value)))


def _not_empty(config: Validation, place: SourceLocation, workshop: BuildContext) -> Check:
    return lambda record: all(value is not None and to_text(value).strip() for value in record.values())


VALIDATIONS: dict[str, Callable[[Validation, SourceLocation, BuildContext], Check]] = {
    "STELLAR": _stellar,
    "IP": _ip,
    "DOMAIN": _by_expression("IS_DOMAIN(value)"),
    "EMAIL": _by_expression("IS_EMAIL(value)"),
    "URL": _by_expression("IS_URL(value)"),
    "INTEGER": _integer,
    "DATE": _date,
    "REGEX_MATCH": _regex,
    "NOT_EMPTY": _not_empty,
}


def validation(configs: Sequence[Validation], place: SourceLocation, workshop: BuildContext) -> Validate:
    """The stage for the global `fieldValidations`. Raises ConfigError for what is unknown or not as it should be."""
    attempt = workshop.problems.attempt
    checks = [attempt(partial(_named, config, place / index, workshop), None) for index, config in enumerate(configs)]
    return Validate(tuple(check for check in checks if check is not None))


def _named(config: Validation, place: SourceLocation, workshop: BuildContext) -> Named:
    name = config.validation
    if name not in VALIDATIONS:
        raise (place / "validation").error(f"unknown validation {name!r}; {known_names(name, VALIDATIONS)}")
    return Named(name, tuple(config.input or ()), VALIDATIONS[name](config, place, workshop))
