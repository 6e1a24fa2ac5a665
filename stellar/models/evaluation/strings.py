"""Built-in functions of strings, dates and times, by JPMML's rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from stellar.java.regex import compile_pattern, compile_replacer, match_in_time
from stellar.models.errors import NotScored
from stellar.models.evaluation.arithmetic import check_present, to_number
from stellar.models.values import describe, to_date, to_datetime, to_integer, to_string, to_time
from stellar.util.abbreviate import quote

Function = Callable[..., Any]
LONGEST_STRING = 100_000  # characters


def _string(value: Any, name: str) -> str:
    if isinstance(value, date | time):
        raise NotScored(f"function {quote(name)} expects a string, got the date {describe(value)}")
    return to_string(value)


def _check_length(string: str, name: str) -> str:
    if len(string) > LONGEST_STRING:
        raise NotScored(f"function {quote(name)} returned a string of more than {LONGEST_STRING} characters")
    return string


def _uppercase(value: Any) -> str:
    check_present("uppercase", (value,))
    return _string(value, "uppercase").upper()


def _lowercase(value: Any) -> str:
    check_present("lowercase", (value,))
    return _string(value, "lowercase").lower()


def _trim(value: Any) -> str:
    check_present("trimBlanks", (value,))
    return _string(value, "trimBlanks").strip()


def _length(value: Any) -> int:
    check_present("stringLength", (value,))
    return len(_string(value, "stringLength"))


def _substring(value: Any, start: Any, length: Any) -> str:
    check_present("substring", (value, start, length))
    string, first, count = _string(value, "substring"), to_integer(start), to_integer(length)
    if first < 1 or count < 0:
        raise NotScored(f"function 'substring' expects a start from 1 and a length from 0, got {first} and {count}")
    return string[first - 1 : first - 1 + count]


def _concatenate(*values: Any) -> str:
    return _check_length("".join(_string(value, "concat") for value in values if value is not None), "concat")


# -- Regular expressions ----------------------------------------------------------------------------------------------

_GROUP = re.compile(r"\\(.)|\$(\d)|\$\{(\w+)\}|([^\\$]+)", re.DOTALL)


def _expand(template: str) -> Callable[[Any], str]:
    """Return the replacement of a match: `$1` is a group, and a backslash takes the next character as it is."""
    if not set(template) & {"\\", "$"}:
        return lambda _: template
    parts = [match.groups() for match in _GROUP.finditer(template)]

    def replace(match: Any) -> str:
        try:
            return "".join(
                escaped or literal or match[int(number) if number else name] or ""
                for escaped, number, name, literal in parts
            )
        except IndexError:
            raise NotScored(f"unknown group in the replacement {quote(template, 80)}") from None

    return replace


def _replace(value: Any, pattern: Any, replacement: Any) -> str:
    check_present("replace", (value, pattern, replacement))
    string = _string(value, "replace")
    replace = compile_replacer(_string(pattern, "replace"))
    return _check_length(replace(_expand(_string(replacement, "replace")), string), "replace")


def check_pattern(pattern: str) -> None:
    """Raise ValueError for a regular expression that is invalid, or that cannot be matched in bounded time here."""
    compile_replacer(pattern)
    compile_pattern(pattern)


def _matches(value: Any, pattern: Any) -> bool:
    check_present("matches", (value, pattern))
    compiled = compile_pattern(_string(pattern, "matches"))
    return match_in_time(compiled.search, _string(value, "matches")) is not None


# -- Formats ----------------------------------------------------------------------------------------------------------

_FORMAT = re.compile(r"%([-+ 0,(#]*)(\d{1,3})?(?:\.(\d{1,2}))?([a-zA-Z%])")


def _format_number(value: Any, pattern: Any) -> str:
    check_present("formatNumber", (value, pattern))
    number = to_number(value) if isinstance(value, str) else value
    template = to_string(pattern)
    return _FORMAT.sub(lambda match: _format_one(match, number, template), template)


def _format_one(match: re.Match[str], number: Any, template: str) -> str:
    flags, width, precision, letter = match.groups()
    if letter == "%":
        return "%"
    is_integer = isinstance(number, int) and not isinstance(number, bool)
    if letter == "d" and is_integer and precision is None:
        digits = f"{abs(number):,}" if "," in flags else str(abs(number))
    elif letter in "feE" and isinstance(number, float):
        digits = _format_float(abs(number), letter, 6 if precision is None else int(precision), "," in flags)
    elif letter == "s":
        return to_string(number)[: None if precision is None else int(precision)].rjust(int(width or 0))
    else:
        raise NotScored(f"function 'formatNumber' does not accept {quote(template, 80)} for {describe(number)}")
    sign = "-" if number < 0 else "+" if "+" in flags else " " if " " in flags else ""
    return _pad(sign, digits, flags, int(width or 0))


def _format_float(number: float, letter: str, precision: int, grouped: bool) -> str:
    """Return the digits of a number, rounded half up as Java does."""
    exact = Decimal(repr(number))
    if letter == "f":
        rounded = exact.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP, Context(prec=400))
        return f"{rounded:,f}" if grouped else f"{rounded:f}"
    digits = exact.normalize(Context(prec=precision + 1, rounding=ROUND_HALF_UP))
    mantissa, _, exponent = f"{digits:.{precision}e}".partition("e")
    return f"{mantissa}{letter}{int(exponent):+03d}"


def _pad(sign: str, digits: str, flags: str, width: int) -> str:
    if "-" in flags:
        return (sign + digits).ljust(width)
    return sign + digits.rjust(width - len(sign), "0") if "0" in flags else (sign + digits).rjust(width)


_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
Moment = date | time

_DATE_LETTERS: dict[str, Callable[[Any], str]] = {
    "Y": lambda at: f"{at.year:04}",
    "y": lambda at: f"{at.year % 100:02}",
    "C": lambda at: f"{at.year // 100:02}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "e": lambda at: str(at.day),
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
    "a": lambda at: _DAYS[at.weekday()][:3],
    "A": lambda at: _DAYS[at.weekday()],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "h": lambda at: _MONTHS[at.month - 1][:3],
    "B": lambda at: _MONTHS[at.month - 1],
    "D": lambda at: f"{at.month:02}/{at.day:02}/{at.year % 100:02}",
    "F": lambda at: f"{at.year:04}-{at.month:02}-{at.day:02}",
}
_TIME_LETTERS: dict[str, Callable[[Any], str]] = {
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{(at.hour + 11) % 12 + 1:02}",
    "k": lambda at: str(at.hour),
    "l": lambda at: str((at.hour + 11) % 12 + 1),
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "p": lambda at: "am" if at.hour < 12 else "pm",
    "T": lambda at: f"{at.hour:02}:{at.minute:02}:{at.second:02}",
    "R": lambda at: f"{at.hour:02}:{at.minute:02}",
}


def _format_moment(value: Any, pattern: Any) -> str:
    check_present("formatDatetime", (value, pattern))
    if not isinstance(value, date | time):
        raise NotScored(f"function 'formatDatetime' expects a date or time, got {describe(value)}")
    template = to_string(pattern)
    return re.sub(r"%(.)", lambda match: _format_letter(match[1], value, template), template)


def _format_letter(letter: str, value: Moment, template: str) -> str:
    if letter == "%":
        return "%"
    if letter in _DATE_LETTERS and isinstance(value, date):
        return _DATE_LETTERS[letter](value)
    if letter in _TIME_LETTERS and isinstance(value, datetime | time):
        return _TIME_LETTERS[letter](value)
    raise NotScored(f"function 'formatDatetime' does not accept {quote(template, 80)} for {describe(value)}")


# -- Durations --------------------------------------------------------------------------------------------------------


def _days_since(value: Any, year: Any) -> int:
    check_present("dateDaysSinceYear", (value, year))
    return (to_date(value) - date(_year(year), 1, 1)).days


def _seconds_since(value: Any, year: Any) -> int:
    check_present("dateSecondsSinceYear", (value, year))
    if not isinstance(value, datetime | str):
        raise NotScored(f"function 'dateSecondsSinceYear' expects a date and time, got {describe(value)}")
    elapsed = to_datetime(value) - datetime(_year(year), 1, 1)
    return elapsed.days * 86400 + elapsed.seconds


def _year(value: Any) -> int:
    if not 1 <= (year := to_integer(value)) <= 9999:
        raise NotScored(f"expected a year of 1–9999, got {year}")
    return year


def _seconds_of_day(value: Any) -> int:
    check_present("dateSecondsSinceMidnight", (value,))
    if not isinstance(value, datetime | time | str):
        raise NotScored(f"function 'dateSecondsSinceMidnight' expects a time, got {describe(value)}")
    at = to_time(value)
    return at.hour * 3600 + at.minute * 60 + at.second


# name → function, least and most arguments
FUNCTIONS: dict[str, tuple[Function, int, int]] = {
    "uppercase": (_uppercase, 1, 1),
    "lowercase": (_lowercase, 1, 1),
    "trimBlanks": (_trim, 1, 1),
    "stringLength": (_length, 1, 1),
    "substring": (_substring, 3, 3),
    "concat": (_concatenate, 2, 10_000),
    "replace": (_replace, 3, 3),
    "matches": (_matches, 2, 2),
    "formatNumber": (_format_number, 2, 2),
    "formatDatetime": (_format_moment, 2, 2),
    "dateDaysSinceYear": (_days_since, 2, 2),
    "dateSecondsSinceYear": (_seconds_since, 2, 2),
    "dateSecondsSinceMidnight": (_seconds_of_day, 1, 1),
}
