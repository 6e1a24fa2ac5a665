"""Validation of records by the `fieldValidations` of the global configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import stellar
from stellar import Expression
from stellar.java.hash_order import sort_in_hash_order
from stellar.java.regex import TIMEOUT_MS, InvalidPattern, compile_pattern, is_full_match
from stellar.language.context import Context
from stellar.language.conversions import to_string
from stellar.language.errors import EvaluationError
from stellar.pipeline.config.compile import BuildContext, merge_variables, shorten
from stellar.pipeline.config.factories import find_factory
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Invalid, Record
from stellar.util.abbreviate import quote

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import Validation

# The characters that Java's `trim` removes
JAVA_WHITESPACE = "".join(map(chr, range(33)))

# Returns True if a record is valid; it gets the input fields of the validation, or all fields
Check = Callable[[Record], bool]


@dataclass(frozen=True)
class ValueCheck:
    """A check of single values.

    passes: returns True for a valid value; it depends on the value alone
    enough: `all` if all values must be null or valid, `any` if one of them is enough
    """

    passes: Callable[[Any], bool]
    enough: Callable[[Iterable[object]], bool] = all

    def __call__(self, record: Record) -> bool:
        return self.enough(value is None or self.passes(value) for value in record.values())


@dataclass(frozen=True)
class Condition:
    """A check by an expression, with further variables in layers."""

    predicate: Expression
    layers: tuple[Mapping[str, Any], ...]
    context: Context

    def __call__(self, record: Record) -> bool:
        return bool(self.predicate(merge_variables(record, *self.layers), self.context))


@dataclass(frozen=True)
class NamedCheck:
    """A check with its name and its input fields, which an error document lists if it fails."""

    name: str
    fields: tuple[str, ...]
    check: Check

    def is_passed(self, record: Record) -> bool:
        return self.check({name: record.get(name) for name in self.fields} if self.fields else record)


@dataclass(frozen=True)
class Validate:
    """Run all checks, so that the error of an invalid record lists every invalid field."""

    checks: tuple[NamedCheck, ...]

    def __call__(self, record: Record) -> Record:
        failed = [check for check in self.checks if not check.is_passed(record)]
        if failed:
            fields = dict.fromkeys(name for check in failed for name in check.fields)
            names = ", ".join(f"{check.name}({', '.join(check.fields)})" for check in failed)
            raise Invalid(f"invalid record: failed {names}", tuple(fields))
        return record


def _by_expression(text: str) -> Callable[[Validation, SourceLocation, BuildContext], Check]:
    def make(config: Validation, location: SourceLocation, builder: BuildContext) -> Check:
        expression = stellar.compile(text, predicate=True)
        return ValueCheck(lambda value: bool(expression({"value": value})))

    return make


def _stellar(config: Validation, location: SourceLocation, builder: BuildContext) -> Check:
    condition = config.config.get("condition")
    if not isinstance(condition, str):
        raise (location / "config" / "condition").error(
            'missing condition of the validation STELLAR; specify one, such as "exists(ip_src_addr)"'
        )
    predicate = builder.start_condition(condition, location / "config" / "condition")
    return Condition(predicate, (config.config, builder.settings), builder.context)


_KINDS = ("IPV4", "IPV6")


def _kinds(value: object, location: SourceLocation) -> list[str]:
    """Return the versions of IP that are valid; both if none is specified."""
    kinds = _KINDS if value is None else value if isinstance(value, list) else [value]
    for kind in kinds:
        if kind not in _KINDS:
            raise location.error(f"unknown type {quote(kind)}; known are {', '.join(_KINDS)}")
    if not kinds:
        raise location.error(f"expected at least one type; known are {', '.join(_KINDS)}")
    return list(kinds)


def _ip(config: Validation, location: SourceLocation, builder: BuildContext) -> Check:
    kinds = _kinds(config.config.get("type"), location / "config" / "type")
    expression = stellar.compile("IS_IP(value, type)", predicate=True)
    # In Metron one valid address among several is enough; the option "all" requires that all are valid
    enough: Callable[[Iterable[object]], bool] = all if config.config.get("all") is True else any

    def is_valid(value: object) -> bool:
        for kind in kinds:  # noqa: SIM110 (a generator would cost as much as the test)
            if expression({"value": value, "type": kind}):
                return True
        return False

    return ValueCheck(is_valid, enough)


def _date(config: Validation, location: SourceLocation, builder: BuildContext) -> Check:
    pattern = config.config.get("format")
    if not isinstance(pattern, str):
        raise (location / "config" / "format").error(
            'missing pattern of the validation DATE; specify one, such as "yyyy-MM-dd"'
        )
    expression = stellar.compile("IS_DATE(value, format)", predicate=True)
    _check_date_pattern(expression, pattern, location / "config" / "format")

    def check(record: Record) -> bool:
        for name in sort_in_hash_order(record):
            if (value := record[name]) is None:  # Metron ignores the fields after a null
                return True
            if not expression({"value": value, "format": pattern}):
                return False
        return True

    return check


def _check_date_pattern(expression: Expression, pattern: str, location: SourceLocation) -> None:
    try:
        expression({"value": "x", "format": pattern})
    except EvaluationError as error:
        raise location.error(f"invalid date pattern {quote(pattern)}: {error.__cause__ or error.message}") from error


# Digits of any script, with or without commas between them, as Java's number format for English reads them
_INTEGER = re.compile(r"-?,*\d(,*\d)*")


def _integer(config: Validation, location: SourceLocation, builder: BuildContext) -> Check:
    return ValueCheck(lambda value: _INTEGER.fullmatch(to_string(value).strip(JAVA_WHITESPACE)) is not None)


def _regex(config: Validation, location: SourceLocation, builder: BuildContext) -> Check:
    text = config.config.get("pattern")
    if not isinstance(text, str):
        raise (location / "config" / "pattern").error("missing regular expression of the validation REGEX_MATCH")
    try:
        pattern = compile_pattern(text)
    except InvalidPattern as error:
        raise (location / "config" / "pattern").error(f"invalid regular expression: {error.problem}") from error

    def matches(value: object) -> bool:
        try:
            return is_full_match(pattern, to_string(value))
        except TimeoutError as error:
            raise TimeoutError(
                f"REGEX_MATCH: the regular expression {quote(shorten(text))} took longer than "
                f"{TIMEOUT_MS} ms; simplify it"
            ) from error

    return ValueCheck(matches)


def _not_empty(config: Validation, location: SourceLocation, builder: BuildContext) -> Check:
    return lambda record: all(
        value is not None and to_string(value).strip(JAVA_WHITESPACE) for value in record.values()
    )


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


def build_validation(configs: Sequence[Validation], location: SourceLocation, builder: BuildContext) -> Validate:
    """Build the stage for the global `fieldValidations`.

    Raises ConfigError for an unknown name and for invalid options.
    """
    attempt = builder.problems.attempt
    checks = [
        attempt(partial(_build_check, config, location / index, builder), None) for index, config in enumerate(configs)
    ]
    return Validate(tuple(check for check in checks if check is not None))


def _build_check(config: Validation, location: SourceLocation, builder: BuildContext) -> NamedCheck:
    name = config.validation
    known = _CLASSES.get(name.rpartition(".")[2], name) if name.startswith(_JAVA) else name
    factory = find_factory(known, VALIDATIONS, "validation", location / "validation")
    return NamedCheck(name, tuple(config.input or ()), factory(config, location, builder))


_JAVA = "org.apache.metron.common.field.validation."
_CLASSES = {
    "QueryValidation": "STELLAR",
    "IPValidation": "IP",
    "DomainValidation": "DOMAIN",
    "EmailValidation": "EMAIL",
    "URLValidation": "URL",
    "DateValidation": "DATE",
    "IntegerValidation": "INTEGER",
    "RegexValidation": "REGEX_MATCH",
    "NotEmptyValidation": "NOT_EMPTY",
}
