"""The CSV parser: a raw message is a row, with a field for each named column.

The dialect is that of opencsv 3.7, which differs from the one of Python's csv module wherever a quote or a backslash
is not where it belongs. Most rows have none, or quote whole values, and are split without looking at each character.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from stellar.java.date_patterns import parse_date, parse_pattern
from stellar.java.integers import LONG_MAX, LONG_MIN
from stellar.java.timezones import Zone
from stellar.language.conversions import JAVA_WHITESPACE, to_string
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers.lines import trim
from stellar.pipeline.parsers.parser import Settings, Unreadable, find_missing_fields
from stellar.pipeline.parsers.syslog_time import zone_option
from stellar.pipeline.records import Record
from stellar.pipeline.warnings_relay import once
from stellar.util.abbreviate import quote
from stellar.util.clock import now

log = logging.getLogger(__name__)

QUOTE, ESCAPE = '"', "\\"
_FIRST_ROWS = 16
# Whitespace by Java, which does not count characters that forbid a line break
_WHITESPACE = re.compile(r"[^\S\x85\xa0\u2007\u202f]*")
_LONG = re.compile(r"-?\d+", re.ASCII)


class CsvParser:
    """Parses separated values. A message is one row; an empty one, or one that starts with `#`, is ignored."""

    OPTIONS: ClassVar[frozenset[str]] = frozenset({"columns", "separator", "timestampFormat", "timeZone"})

    def __init__(self, settings: Settings) -> None:
        self.columns = read_columns(settings)
        self.split = RowSplitter(read_separator(settings))
        self.pattern = _date_pattern(settings)
        self.zone = Zone(zone_option(settings, "timeZone"))
        self._warned = False
        self._first_rows = _FIRST_ROWS
        self._parse_row: Callable[[str], Record] = self._parse_first

    def __call__(self, text: str) -> Iterable[Record | Unreadable]:
        line = text.lstrip(JAVA_WHITESPACE)
        return (self._parse_row(text),) if line and line[0] != "#" else ()

    def complaint(self, record: Record) -> str | None:
        return find_missing_fields(record)

    def _parse_first(self, text: str) -> Record:
        """Parse one of the first rows; the function for usual rows is generated when there are some more."""
        self._first_rows -= 1
        if self._first_rows <= 0:
            from stellar.pipeline.parsers.csv_rows import compile_row_parser  # not needed for few rows

            self._parse_row = compile_row_parser(
                self.columns,
                self.split.separator,
                self._record,
                self._timestamp,
                is_number=self.pattern is None,
            )
        return self._record(text)

    def _record(self, text: str) -> Record:
        try:
            row = self.split(text)
            record: Record = {name: row[index].strip(JAVA_WHITESPACE) for name, index in self.columns}
        except ValueError as error:
            raise ValueError(f"Unable to parse {text}: {error}") from error
        except IndexError:
            missing = next(index for _, index in self.columns if index >= len(row))
            reason = f"Index {missing} out of bounds for length {len(row)}"
            raise ValueError(f"Unable to parse {text}: {reason}; expected at least {missing + 1} values") from None
        record["timestamp"] = self._timestamp(record["timestamp"]) if "timestamp" in record else now()
        record["original_string"] = text
        return record

    def _timestamp(self, value: str) -> int | str:
        """Return epoch milliseconds, or the value itself if it is no timestamp."""
        if self.pattern is None:
            if not _LONG.fullmatch(value) or len(value) > 20:
                return value
            number = int(value)
            return number if LONG_MIN <= number <= LONG_MAX else value
        milliseconds = parse_date(self.pattern, value, self.zone)
        if milliseconds is not None:
            return milliseconds
        if not self._warned:
            self._warned = True
            log.warning(
                "timestamp is not converted: invalid date %s: expected the form %s",
                quote(value),
                quote(self.pattern),
                extra=once(self.pattern),
            )
        return value


class RowSplitter:
    """Splits a row into its values, as opencsv does.

    A backslash outside quotes is dropped, and protects nothing but a quote in the middle of a value. Within quotes it
    protects a quote or a backslash. A quote in the middle of a value is kept, and whitespace before an opening quote
    is dropped with it.
    """

    def __init__(self, separator: str) -> None:
        self.separator = separator
        special = re.escape(separator)
        # Each character that has a meaning, and each run of others
        self._tokens = re.compile(rf'[^"\\{special}]+|["\\{special}]').finditer

    def __call__(self, row: str) -> list[str]:
        """Return the values. Raises ValueError for a quote that is not closed."""
        if ESCAPE in row:
            return self._split_any(row)
        if QUOTE not in row:
            return row.split(self.separator)
        values = self._split_ordinary(row)
        return self._split_any(row) if values is None else values

    def _split_ordinary(self, row: str) -> list[str] | None:
        """Return the values of a row in which each quoted value is between separators; None for other rows."""
        separator = self.separator
        before, *pieces, after = row.split(QUOTE)  # every other piece is quoted, from the first one on
        if len(pieces) % 2 == 0 or (before and before[-1] != separator) or (after and after[0] != separator):
            return None
        values = before[:-1].split(separator) if before else []
        parts = []  # of a quoted value, between the quotes in it
        for quoted, between in zip(pieces[::2], pieces[1::2], strict=False):
            parts.append(quoted)
            if between:
                if between[0] != separator or between[-1] != separator:
                    return None
                values.append(QUOTE.join(parts))
                parts = []
                values += between[1:-1].split(separator) if len(between) > 1 else ()
        parts.append(pieces[-1])
        values.append(QUOTE.join(parts))
        if after:
            values += after[1:].split(separator)
        return values

    def _split_any(self, row: str) -> list[str]:
        values: list[str] = []
        value: list[str] = []  # pieces of the current value
        in_quotes = in_field = False
        skip = -1  # the offset of a character that the one before has consumed
        for token in self._tokens(row):
            at, text = token.start(), token[0]
            if at == skip:
                continue
            following = row[at + 1 : at + 2]
            if text == ESCAPE:
                if (in_quotes or in_field) and following in (QUOTE, ESCAPE) and following:
                    value.append(following)
                    skip = at + 1
            elif text == QUOTE:
                if (in_quotes or in_field) and following == QUOTE:
                    value.append(QUOTE)
                    skip = at + 1
                else:
                    in_quotes = not in_quotes
                    self._take_quote(row, at, value)
                in_field = not in_field
            elif text == self.separator and not in_quotes:
                values.append("".join(value))
                value.clear()
                in_field = False
            else:
                value.append(text)
                in_field = True
        if in_quotes:
            raise ValueError("Un-terminated quoted field at end of CSV line")
        return [*values, "".join(value)]

    def _take_quote(self, row: str, at: int, value: list[str]) -> None:
        """Keep a quote in the middle of a value; drop one at its ends, and only whitespace before it."""
        units = at if at >= 3 else len(row[:at].encode("utf-16-le", "surrogatepass")) // 2  # before it, as Java counts
        if units < 3 or row[at - 1] == self.separator or row[at + 1 : at + 2] in ("", self.separator):
            return
        if value and all(map(_WHITESPACE.fullmatch, value)):
            value.clear()
        else:
            value.append(QUOTE)


def read_separator(settings: Settings) -> str:
    separator = settings.text("separator", ",")[:1]
    if not separator or separator in (QUOTE, ESCAPE):
        value = settings.options["separator"]
        raise (settings.location / "separator").error(
            f"invalid separator {quote(value)}: expected one character other than '\"' and '\\', such as ','"
        )
    return separator


def _date_pattern(settings: Settings) -> str | None:
    pattern = settings.text("timestampFormat", "")
    if not pattern:
        return None
    try:
        parse_pattern(pattern)
    except ValueError as error:
        raise (settings.location / "timestampFormat").error(str(error)) from error
    return pattern


def read_columns(settings: Settings) -> list[tuple[str, int]]:
    """Return the name and the index of each column.

    The option `columns` is a map from name to index, a list of names, or a string of names with commas. A name may have
    the form `name:index`. Of equal names the last one counts.
    """
    value = settings.options.get("columns")
    location = settings.location / "columns"
    if value is None:
        raise location.error('missing key \'columns\'; specify names, such as ["timestamp", "ip"]')
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, dict):
        columns = {trim(name): _index(index, location) for name, index in value.items()}
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        columns = dict(_column(item, index, location) for index, item in enumerate(value))
    else:
        raise location.error("expected a list of column names, or a map from name to index")
    if not columns:
        raise location.error("expected at least one column")
    return list(columns.items())


def _column(item: str, position: int, location: SourceLocation) -> tuple[str, int]:
    name, colon, rest = item.partition(":")
    return trim(name), _index(rest.rpartition(":")[2], location) if colon else position


def _index(value: Any, location: SourceLocation) -> int:
    text = trim(to_string(value))
    if not re.fullmatch(r"\+?\d{1,9}", text, re.ASCII):
        raise location.error(f"invalid index {quote(text)} of a column: expected an integer, counted from 0")
    return int(text)
