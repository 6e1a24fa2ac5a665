"""The Grok parser: the captures of a pattern become the fields of a record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator
from typing import ClassVar

from stellar.java.grok import (
    Grok,
    GrokError,
    NoMatch,
    find_ignored_lines,
    find_suspicious_syntax,
    parse_integer,
)
from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.lines import split_lines
from stellar.pipeline.parsers.options import read_match_timeout, read_text
from stellar.pipeline.parsers.parser import Settings, Unreadable
from stellar.pipeline.parsers.pattern_files import PatternFile, find_pattern_file, load_common_patterns
from stellar.pipeline.parsers.timestamps import (
    FEWEST_MILLISECONDS,
    MOST_MILLISECONDS,
    UNITS,
    convert_to_milliseconds,
    make_date_reader,
    parse_zone,
)
from stellar.pipeline.records import Record
from stellar.pipeline.warnings_relay import once
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

Captures = tuple[str | None, ...]

log = logging.getLogger(__name__)

_USUAL_DIGITS = 13  # of times in milliseconds from 2001 to 2286
_FIRST_LINES = 16


class GrokParser:
    """Parses lines with a Grok pattern."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({
        "grokPath", "patternLabel", "timestampField", "timestampUnit", "timeFields", "dateFormat", "timeZone",
        "timezone", "multiLine", "matchTimeoutMs",
    })  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        self.path = settings.text("grokPath")
        self.label = settings.text("patternLabel")
        self.file = find_pattern_file(self.path, settings)
        self.location = settings.location
        self.timestamp_field = read_text(settings, "timestampField", None)
        self.unit = _unit(settings)
        self.time_fields = settings.texts("timeFields") if settings.options.get("timeFields") is not None else []
        unread = {self.label}.difference((self.timestamp_field, *self.time_fields))
        self.grok = _compile(self.label, self.file, unread, settings)
        self._is_in_milliseconds = self.unit is None and self.timestamp_field not in self.time_fields
        self._finishes = self.label in self.grok.fields or type(self)._finish is not GrokParser._finish
        key = "timezone" if settings.options.get("timeZone") is None else "timeZone"  # the documentation has the former
        self.zone = parse_zone(read_text(settings, key, "UTC"), settings.location / key)
        pattern = read_text(settings, "dateFormat", "yyyy-MM-dd HH:mm:ss.S z")
        self.read_date = make_date_reader(pattern, self.zone, settings.location / "dateFormat")
        self.multi_line = settings.options.get("multiLine") not in (None, "") and settings.truth("multiLine")
        self._warned = False
        self._first_lines = _FIRST_LINES
        self._parse_line: Callable[[str], Record] = self._parse_first

    def __call__(self, text: str) -> Iterable[Record | Unreadable]:
        if self.multi_line:
            return map(self._parse_or_reject, split_lines(text))
        try:
            return (self._parse_line(text),)
        except NoMatch as error:
            return (Unreadable(text, error),)
        except ValueError as error:
            raise ValueError(f"Grok parser Error: {error} on {text}") from error

    def find_warnings(self) -> Iterator[tuple[SourceLocation, str]]:
        """Yield warnings about the options, the pattern file, and the definitions that the pattern consists of."""
        if self.timestamp_field == "":
            yield self.location / "timestampField", "the name of the field is empty, so all records will be rejected"
        for number, line in find_ignored_lines(self.file.content):
            yield (
                SourceLocation(self.file.path),
                f"line {number} is ignored: expected a name, whitespace and a regular expression, got {line[:60]!r}",
            )
        for name, definition in self.grok.used.items():
            if definition == self.file.definitions.get(name):
                for message in find_suspicious_syntax(definition):
                    yield SourceLocation(self.file.path, name), message

    def complaint(self, record: Record) -> str | None:
        """Check the timestamp, which must be a positive integer, in milliseconds since 1970."""
        timestamp = record.get("timestamp")
        if timestamp.__class__ is int and timestamp > 0:
            return None
        if timestamp is None and self.timestamp_field is None:
            return "record has no timestamp; set timestampField in parserConfig to the field with the time"
        return f"invalid timestamp {quote(timestamp)}: expected milliseconds since 1970, a positive integer"

    def _parse_or_reject(self, line: str) -> Record | Unreadable:
        try:
            return self._parse_line(line)
        except (ValueError, TimeoutError) as error:
            return Unreadable(line, error)

    def _parse_first(self, line: str) -> Record:
        """Parse one of the first lines; the function for usual lines is generated when there are some more."""
        self._first_lines -= 1
        if self._first_lines <= 0:
            self._parse_line = self._compile() or self._parse
        return self._parse(line)

    def _compile(self) -> Callable[[str], Record] | None:
        """Return the function for usual lines; None if there is none."""
        if self._finishes or self.time_fields:
            return None
        from stellar.pipeline.parsers.grok_lines import compile_line_parser  # not needed for few lines

        return compile_line_parser(
            self.grok,
            self._parse,
            self._parse_after_timeout,
            lambda line: self._explain(line, NoMatch(self.grok.name)),
            self.timestamp_field,
            self._read_timestamp,
            has_usual_times=self._is_in_milliseconds,
        )

    def _parse_after_timeout(self, line: str) -> Record:
        """Parse a line whose match by the generated function took too long."""
        record = self._parse(line, self.grok.find_after_timeout)
        if self.grok.quick is None:
            self._parse_line = self._parse
        return record

    def _parse(self, line: str, find: Callable[[str], Captures] | None = None) -> Record:
        try:
            captures = (find or self.grok.find)(line)
        except (NoMatch, TimeoutError) as error:
            raise self._explain(line, error) from error
        record: Record = self.grok.convert(captures)
        record["original_string"] = line
        for name in self.time_fields:
            if (value := record.get(name)) is not None:
                # A number, such as a year, is a date as it is written, with leading zeros
                record[name] = self.read_date(self._as_written(name, value, captures))
        if self.timestamp_field is not None:
            milliseconds = _read_seconds(record.get(self.timestamp_field)) if self._is_in_milliseconds else None
            record["timestamp"] = self._read_timestamp(record, captures) if milliseconds is None else milliseconds
        return self._finish(record) if self._finishes else record

    def _as_written(self, field: str, value: str | int, captures: Captures) -> str:
        """Return the capture of a field from its converted value."""
        return str(captures[self.grok.fields.index(field)]) if isinstance(value, int) else value

    def _explain(self, line: str, error: Exception) -> Exception:
        if isinstance(error, TimeoutError):
            return TimeoutError(f"{error}; simplify the pattern or increase matchTimeoutMs")
        return NoMatch(
            f"Grok statement produced a null message. Original message was: {line} "
            f"and the parsed message was: {{}} . Check the pattern at: {self.path}"
        )

    def _finish(self, record: Record) -> Record:
        """Return the record of a line from its captures; parsers that are based on this one extend it."""
        record.pop(self.label, None)
        return record

    def _read_timestamp(self, record: Record, captures: Captures) -> int:
        """Return the timestamp of a record, in milliseconds."""
        field = self.timestamp_field
        value = record.get(field)  # type: ignore[arg-type]
        if value is None:
            raise ValueError(f"{self.label} pattern does not include field {field}")
        if field in self.time_fields:
            return int(value)
        if self.unit is not None:
            return convert_to_milliseconds(self._as_written(str(field), value, captures), self.unit)
        timestamp: int = value if isinstance(value, int) else _read_digits(value)
        if not self._warned and _is_suspicious(value, timestamp):
            self._warn(value, timestamp)
        return timestamp

    def _warn(self, value: object, timestamp: int) -> None:
        self._warned = True
        log.warning(
            "%s is %s, which is interpreted as %d milliseconds since 1970; if it is in another unit, set "
            "timestampUnit to s, ms, us, ns or auto in parserConfig",
            self.timestamp_field,
            quote(value),
            timestamp,
            extra=once(self.label),
        )


def _compile(label: str, file: PatternFile, unread: Container[str], settings: Settings) -> Grok:
    """Return the pattern with a label. Raises ConfigError if it is not defined, or is invalid."""
    known = {**load_common_patterns(settings.directory), **file.definitions}
    if label not in known:
        message = f"unknown pattern {quote(label)} in {file.path}; {suggest_name(label, file.definitions or known)}"
        raise (settings.location / "patternLabel").error(message)
    try:
        return Grok(f"%{{{label}}}", known, read_match_timeout(settings), label, unread)
    except GrokError as error:
        raise SourceLocation(file.path, label).error(str(error)) from error


def _unit(settings: Settings) -> str | None:
    unit = read_text(settings, "timestampUnit", None)
    if unit is not None and unit not in UNITS:
        raise (settings.location / "timestampUnit").error(f"unknown unit {quote(unit)}; {suggest_name(unit, UNITS)}")
    return unit


def _read_seconds(value: object) -> int | None:
    """Return the milliseconds of a usual time in seconds with three decimals; None for any other value."""
    if value.__class__ is not str or value[-4:-3] != ".":
        return None
    digits: str = value.replace(".", "")
    is_usual = len(digits) == _USUAL_DIGITS and digits[0] != "0" and digits.isdecimal() and digits.isascii()
    return int(digits) if is_usual else None


def _read_digits(value: str) -> int:
    """Return the digits of a number as Metron does: seconds with three decimals become milliseconds.

    Raises ValueError if they are not an integer of 64 bits.
    """
    digits = value.replace(".", "")
    timestamp = parse_integer(digits)
    if timestamp is None or not LONG_MIN <= timestamp <= LONG_MAX:
        raise ValueError(f'For input string: "{digits}"')
    return timestamp


def _is_suspicious(value: object, timestamp: int) -> bool:
    """Return True if a timestamp is probably not in milliseconds."""
    if not FEWEST_MILLISECONDS <= timestamp < MOST_MILLISECONDS:
        return timestamp > 0
    # A number without three decimals is not in seconds and milliseconds
    return isinstance(value, str) and "." in value and value[-4] != "."
