"""What CEF and LEEF have in common: the syslog header, the pairs of an extension, labels, ports and times."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from stellar.java.calendar import MS_A_DAY, LocalDateTime, day_number
from stellar.java.date_patterns import MONTHS, parse_date
from stellar.java.integers import INT_MAX, INT_MIN, LONG_MAX
from stellar.java.timezones import DEFAULT
from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.parsers.syslog_time import TOLERANCE_MS, parse_syslog_time
from stellar.pipeline.records import Record
from stellar.pipeline.warnings_relay import once
from stellar.util.abbreviate import quote
from stellar.util.clock import now

log = logging.getLogger(__name__)

_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" if name[3:] else name for name in MONTHS)
_TIME = (
    rf"(?:{_MONTH}) +(?:0[1-9]|[12]\d|3[01]|[1-9]) (?:2[0-3]|[01]?\d):[0-5]\d:[0-5]\d(?:\.\d{{1,9}})?"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
)
_SYSLOG_HEADER = re.compile(rf"(?:<\d+>)?({_TIME})(?:\s+(\S+)|\s*\Z)?(?=\s|\Z)", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+")


def read_syslog_header(header: str) -> tuple[str | None, str | None]:
    """Return the time and the host in the text before a CEF or LEEF header; None for what it does not contain."""
    match = _SYSLOG_HEADER.match(header)
    return (match[1], match[2]) if match else (None, None)


def to_int(text: str) -> int | None:
    """Return the integer of 32 bits that a string contains, or None."""
    if not _INTEGER.fullmatch(text) or len(text) > 20:
        return None
    number = int(text)
    return number if INT_MIN <= number <= INT_MAX else None


# -- Pairs ------------------------------------------------------------------------------------------------------------

_EQUALS = re.compile(r"(?<!\\)=")


def read_extension(text: str) -> list[tuple[str, str]]:
    r"""Return the keys and values of `key=value key=value`, in which a value may contain spaces.

    A value ends at the last space or tab before the next `=`. An `=` after `\`, or with no space between it and the
    value's start, is part of the value. Metron does not see a pair directly after an empty value; so it is here.
    """
    key, *pieces = _EQUALS.split(text) if "\\" in text else text.split("=")
    has_tabs = "\t" in text
    pairs = []
    value: list[str] = []  # what precedes the piece, if the `=` before it is part of the value
    for piece in pieces[:-1]:
        end = piece.rfind(" ") if not has_tabs else max(piece.rfind(" "), piece.rfind("\t"))
        if end > 0 or (end == 0 and value):
            value.append(piece[:end])
            pairs.append((key, "=".join(value).strip(JAVA_WHITESPACE)))
            key = piece[end:].strip(JAVA_WHITESPACE)
            value = []
        elif end < 0:
            value.append(piece)
    if pieces:
        pairs.append((key, "=".join((*value, pieces[-1]))))
    return pairs


def add_labelled(pairs: Iterable[tuple[str, str]], record: Record) -> None:
    """Add pairs to a record. `xLabel=name` names the value of `x`, if the record has one."""
    labels = {}
    for key, value in pairs:
        if key.endswith("Label"):
            labels[key.removesuffix("Label")] = value
        else:
            record[key] = value
    for key, label in labels.items():
        rename(record, key, label)


def rename(record: Record, old: str, new: str) -> None:
    """Rename a field, if the record has it."""
    if old in record:
        record[new] = record.pop(old)


class PortReader:
    """Renames fields with a port and converts them to integers. Another value remains a string, with one warning."""

    def __init__(self) -> None:
        self._warned = False

    def __call__(self, record: Record, old: str, new: str) -> None:
        rename(record, old, new)
        text = record.get(new)
        if not isinstance(text, str):
            return
        number = to_int(text)
        if number is not None:
            record[new] = number
        elif not self._warned:
            self._warned = True
            message = "invalid port %s in %s: expected an integer; it remains a string"
            log.warning(message, quote(text), old, extra=once("port"))


# -- Times ------------------------------------------------------------------------------------------------------------


# The usual form, which the patterns `MMM dd yyyy HH:mm:ss[.SSS][ zzz]` read to the same time
_USUAL_TIME = re.compile(
    r"([A-Za-z]{3}) (\d{1,2}) (\d{4}) (\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?(?: (?:UTC|GMT))?", re.ASCII
)


def parse_usual_time(text: str) -> int | None:
    """Return the epoch milliseconds of a time such as `Apr 07 2017 00:10:10 UTC`; None for another form.

    A time more than 4 days ahead is one of the year before.
    """
    match = _USUAL_TIME.fullmatch(text)
    if match is None:
        return None
    try:
        month = _MONTH_NUMBERS[match[1].lower()]
        day, year, hour, minute, second = (int(each) for each in match.groups()[1:6])
        time = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (KeyError, ValueError):  # lenient patterns may accept it
        return None
    if year == 1970:
        return None
    epoch = (time - _EPOCH) // _SECOND * 1000 + int(match[7] or 0)
    return _correct_year(epoch)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MONTH_NUMBERS = {name[:3].lower(): number for number, name in enumerate(MONTHS, 1)}


def parse_device_time(text: str, patterns: Sequence[str]) -> int | None:
    """Return the epoch milliseconds of a time: digits, or the first pattern that matches; None for another form.

    A year of 1970 means that the string has none: it is the current year. A time that is more than 4 days ahead is one
    of the year before.
    """
    if text.isdecimal():
        number = int(text[:20])
        if len(text) > 20 or number > LONG_MAX:
            raise ValueError(f"invalid time {text[:40]!r}: expected milliseconds since 1970, up to {LONG_MAX}")
        return number
    for pattern in patterns:
        epoch = parse_date(pattern, text, DEFAULT)
        if epoch is not None:
            return _correct_year(epoch)
    return None


_END_OF_1970 = 365 * MS_A_DAY


def _correct_year(epoch: int) -> int:
    current = now()
    if _END_OF_1970 <= epoch <= current + TOLERANCE_MS:
        return epoch
    local = LocalDateTime(epoch)

    def instant(year: int) -> int:
        return day_number(year, local.month, local.day) * MS_A_DAY + local.millisecond_of_day

    year = local.astronomical_year
    if year == 1970:
        year = LocalDateTime(current).astronomical_year
    elif epoch <= current + TOLERANCE_MS:
        return epoch
    return instant(year) if instant(year) <= current + TOLERANCE_MS else instant(year - 1)


def parse_header_time(text: str | None) -> int:
    """Return the epoch milliseconds of the time in a syslog header; now if there is none."""
    return now() if text is None else parse_syslog_time(text, UTC)
