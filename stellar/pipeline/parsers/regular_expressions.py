"""The parser by regular expressions: the named groups of expressions that depend on the type of a record."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stellar.java.regex import InvalidPattern, compile_pattern
from stellar.java.strings import is_blank
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.lines import trim
from stellar.pipeline.parsers.options import read_match_timeout
from stellar.pipeline.parsers.parser import Settings, find_missing_fields
from stellar.pipeline.records import Record
from stellar.util.abbreviate import quote
from stellar.util.clock import now

log = logging.getLogger(__name__)

_NAMED_GROUP = re.compile(r"\(\?<([a-zA-Z][a-zA-Z0-9]*)>")
_INNER_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_MOST_WARNINGS = 20
_CAPITAL = re.compile(r"[A-Z]")
_MOST_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class FieldExpression:
    """A regular expression of the configuration.

    location: its location, for messages
    names: the names of its groups
    """

    pattern: Any
    location: SourceLocation
    names: tuple[str, ...]


@dataclass(slots=True)
class Matching:
    """The matching of one record, in limited time.

    string: the record
    limit: the limit for all expressions, in milliseconds of the processor, as the `regex` package counts them
    """

    string: str
    limit: int
    deadline: float = 0

    def __post_init__(self) -> None:
        self.deadline = time.process_time() + self.limit / 1000

    def find(self, expression: FieldExpression) -> Any:
        """Return the first match of an expression within the record. Raises TimeoutError."""
        return self._match(expression, expression.pattern.search)

    def match(self, expression: FieldExpression) -> Any:
        """Return the match of an expression with the whole record. Raises TimeoutError."""
        return self._match(expression, expression.pattern.fullmatch)

    def _match(self, expression: FieldExpression, method: Any) -> Any:
        try:
            return method(self.string, timeout=max(self.deadline - time.process_time(), 1e-6))
        except TimeoutError:
            raise TimeoutError(
                f"{expression.location.path} did not match within {self.limit} ms for the record; "
                "simplify the regular expression or increase matchTimeoutMs"
            ) from None


class RegularExpressionsParser:
    """Parses records with the regular expressions of their type.

    The first match of `recordTypeRegex` is the type of a record. Its regular expressions must match the whole record;
    the first that does gives the fields.
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset({
        "recordTypeRegex", "messageHeaderRegex", "fields", "convertCamelCaseToUnderScore", "matchTimeoutMs",
    })  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        self.location = settings.location
        self.record_type = _record_type(settings)
        self.headers = _headers(settings)
        self.expressions, self.warnings = _expressions(settings)
        value = settings.options.get("convertCamelCaseToUnderScore")
        if not isinstance(value, bool | None):
            raise (settings.location / "convertCamelCaseToUnderScore").error(
                f"expected true or false, got {quote(value)}"
            )
        self.converts_names = bool(value)
        self.timeout_ms = read_match_timeout(settings)
        self._unknown: set[str] = set()

    def __call__(self, text: str) -> Iterator[Record]:
        text = trim(text)
        if not text:
            yield {"original_string": ""}
            return
        matching = Matching(text, self.timeout_ms)
        record = {**self._header(matching), **self._fields(matching), "original_string": text, "timestamp": now()}
        yield _convert_names(record) if self.converts_names else record

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def find_warnings(self) -> Iterator[tuple[SourceLocation, str]]:
        """Yield warnings about definitions of fields without effect."""
        yield from self.warnings

    def _header(self, matching: Matching) -> Record:
        for expression in self.headers:
            if match := matching.find(expression):
                groups = {name: match[name] for name in expression.names}
                return {name: trim(group) for name, group in groups.items() if group and not is_blank(group)}
        return {}

    def _fields(self, matching: Matching) -> Record:
        found = matching.find(self.record_type)
        if found is None:
            return {}
        fields: Record = {}
        for expression in self._of_type(found[0].lower()):
            if match := matching.match(expression):
                fields = _groups(expression, match)
                break
        return {**fields, **_groups(self.record_type, found)}

    def _of_type(self, record_type: str) -> list[FieldExpression]:
        """Return the regular expressions of a record type; warn of a type without definition, once."""
        expressions = self.expressions.get(record_type)
        if expressions is None and record_type not in self._unknown and len(self._unknown) < _MOST_WARNINGS:
            self._unknown.add(record_type)
            log.warning(
                "the record type %s has no definition in fields, so its records have few fields", quote(record_type)
            )
        return expressions or []


def _groups(expression: FieldExpression, match: Any) -> Record:
    return {name: trim(match[name]) for name in expression.names if match[name] is not None}


def _convert_names(record: Record) -> Record:
    """Return a record with names such as `ip_src_addr` instead of `ipSrcAddr`; every capital starts a word."""
    renamed = {name: value for name, value in record.items() if not _CAPITAL.search(name)}
    for name, value in record.items():
        if _CAPITAL.search(name):
            renamed[_INNER_CAPITAL.sub("_", name).lower()] = value
    return renamed


def _record_type(settings: Settings) -> FieldExpression:
    location = settings.location / "recordTypeRegex"
    text = settings.options.get("recordTypeRegex")
    if text is not None and not isinstance(text, str):
        raise location.error(f"expected a string, got {quote(text)}")
    if text is None or is_blank(text):
        raise location.error(
            "Invalid config :recordTypeRegex is missing in parserConfig; specify a regular expression that finds the "
            "type of a record"
        )
    return _compile(text, location)


def _headers(settings: Settings) -> list[FieldExpression]:
    value = settings.options.get("messageHeaderRegex")
    location = settings.location / "messageHeaderRegex"
    if value is None or (isinstance(value, str) and is_blank(value)):
        return []
    return _compile_all(value, location)


def _expressions(settings: Settings) -> tuple[dict[str, list[FieldExpression]], list[tuple[SourceLocation, str]]]:
    """Return the regular expressions of each record type, and warnings about definitions without effect."""
    location = settings.location / "fields"
    value = settings.options.get("fields")
    if not isinstance(value, list):
        raise location.error(f"expected a list of objects with recordType and regex, got {quote(value)}")
    result: dict[str, list[FieldExpression]] = {}
    warnings = []
    for index, definition in enumerate(value):
        where = location / index
        record_type, regex = _definition(definition, where)
        if record_type is None or regex is None:
            missing = "recordType" if record_type is None else "regex"
            warnings.append((where, f"ignored, because it has no {missing}"))
            continue
        if record_type.lower() in result:
            warnings.append((where, f"replaces the other regular expressions of the record type {quote(record_type)}"))
        compiled = _compile_all(regex, where / "regex")
        warnings += [(each.location, "ignored, because it has no named groups") for each in compiled if not each.names]
        result[record_type.lower()] = [each for each in compiled if each.names]
    return result, warnings


def _definition(value: object, location: SourceLocation) -> tuple[str | None, Any]:
    if not isinstance(value, Mapping):
        raise location.error(f"expected an object with recordType and regex, got {quote(value)}")
    record_type = value.get("recordType")
    if record_type is not None and not isinstance(record_type, str):
        raise (location / "recordType").error(f"expected a string, got {quote(record_type)}")
    return record_type, value.get("regex")


def _compile_all(value: object, location: SourceLocation) -> list[FieldExpression]:
    if isinstance(value, str):
        return [_compile(value, location)]
    if not isinstance(value, list):
        raise location.error(f"expected a regular expression or a list of them, got {quote(value)}")
    return [_compile(each, location / index) for index, each in enumerate(value)]


def _compile(text: object, location: SourceLocation) -> FieldExpression:
    if not isinstance(text, str):
        raise location.error(f"expected a regular expression, got {quote(text)}")
    try:
        pattern = compile_pattern(text)
    except InvalidPattern as error:
        raise location.error(f"Invalid config : {error}\n{text}\n{' ' * error.position}^") from error
    names = tuple(sorted(set(_NAMED_GROUP.findall(text))))
    if unknown := [name for name in names if name not in pattern.groupindex]:
        raise location.error(f"invalid group (?<{unknown[0]}>: its parenthesis is escaped or quoted")
    return FieldExpression(pattern, location, names)
