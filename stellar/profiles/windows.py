"""The language that selects periods, such as `30 minute window every 24 hours from 14 days ago including weekdays`.

    window   = width [include] [exclude]                        the last part of the time until now
             | width every duration [include] [exclude]         repeated
             | duration                                         without gaps
    width    = interval ["window"]
    every    = ("every" | "for every") interval
    duration = ("from" | "starting from") interval ["ago"] [("to" | "until") interval ["ago"]]
    include  = "including" day {"," day}
    exclude  = "excluding" day {"," day}
    interval = number unit
    day      = name {":" argument}

A token needs no whitespace around it, as in Metron, where the longest token wins: `1hourwindow` is three tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from stellar.java.integers import LONG_MAX
from stellar.language.source import Span, snippet
from stellar.profiles.days import IsDay, make_is_day, on_same_weekday
from stellar.profiles.periods import MAX_PERIODS, Period, list_periods
from stellar.util.memoize import memoize_for

_UNITS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_PLURAL_DAYS = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "weekday", "weekend", "holiday",
)  # fmt: skip
_SAME_DAY = ("this day of week", "this day of the week")
_UNSUPPORTED_DAYS = ("current day of week", "current day of the week")


def _words(*words: str) -> list[str]:
    """Return words in lowercase and in uppercase: other spellings are not tokens."""
    return [*words, *(word.upper() for word in words)]


# Tokens by kind; for each kind the strings that are one
_TOKENS = {
    "window": ["window", "windows"],
    "include": _words("include", "includes", "including"),
    "exclude": _words("exclude", "excludes", "excluding"),
    "from": _words("from", "starting from"),
    "every": _words("every", "for every"),
    "to": _words("to", "until"),
    "ago": _words("ago"),
    "unit": [*_words(*(unit + end for unit in _UNITS for end in ("", "s", "(s)")))],
    "day": _words(*(day + end for day in _PLURAL_DAYS for end in ("", "s")), "date", *_SAME_DAY, *_UNSUPPORTED_DAYS),
    "comma": [","],
}
_KINDS = {word: kind for kind, words in _TOKENS.items() for word in words}
_TOKEN = re.compile(
    r"[ \r\t\f\n]*(?:(?P<number>[1-9][0-9]*)|(?P<argument>:[A-Za-z0-9][A-Za-z0-9_.\-/]*)|(?P<word>"
    + "|".join(re.escape(word) for word in sorted(_KINDS, key=len, reverse=True))
    + "))"
)
_SPACES = re.compile(r"[ \r\t\f\n]*")


class InvalidWindow(ValueError):
    """A window that cannot be read; the message has the selector, with carets below the error."""


class _Lexeme(NamedTuple):
    kind: str
    text: str
    span: Span


@dataclass(frozen=True)
class Window:
    """A selection of periods relative to a time.

    oldest, newest: the selected time, in milliseconds before that time
    width: of each interval in milliseconds
    step: from the start of an interval to that of the next one; None for a single interval
    includes: returns for a time the predicate of days; an interval counts if it starts on one of these days, or if
        there are none
    excludes: likewise, for days on which no interval may start
    """

    oldest: int
    newest: int
    width: int
    step: int | None = None
    includes: tuple[Callable[[int], IsDay], ...] = ()
    excludes: tuple[Callable[[int], IsDay], ...] = ()

    def find_intervals(self, now: int) -> list[tuple[int, int]]:
        """Return the intervals relative to a time, the oldest first: start and end, which both belong to it.

        Raises ValueError for more than 1,000,000 intervals.
        """
        start, end = now - self.oldest, now - self.newest
        step = self.step or max(self.oldest, 1)
        first = start if start >= 0 or self.step is None else start + -(start // step) * step
        count = (end - self.width - first) // step + 1 if self.step else 1
        if count > MAX_PERIODS:
            raise ValueError(f"the window has {count:,} intervals, more than {MAX_PERIODS:,}; repeat it less often")
        includes = [make(now) for make in self.includes]
        excludes = [make(now) for make in self.excludes]
        return [
            (left, left + self.width)
            for left in (first + index * step for index in range(count))
            if 0 <= left <= end - self.width
            and (not includes or any(is_day(left) for is_day in includes))
            and not any(is_day(left) for is_day in excludes)
        ]

    def select(self, now: int, duration: int) -> list[Period]:
        """Return the periods of a duration in milliseconds that start in an interval, the oldest first.

        Raises ValueError for a window that begins before 1970, and for more than 1,000,000 periods or intervals.
        """
        intervals = self.find_intervals(now)
        starts = [start for start, _ in intervals]

        def is_selected(time: int) -> bool:
            # All intervals have the same width, so the last one that starts before the time also ends last
            index = bisect_right(starts, time) - 1
            return index >= 0 and time <= intervals[index][1]

        return list_periods(now - self.oldest, now - self.newest, duration, is_selected)


@memoize_for(200)
def parse_window(selector: str) -> Window:
    """Return the window that a selector describes.

    Raises InvalidWindow for an invalid selector, and LookupError if it needs a package that is missing.
    """
    if not selector.strip():
        raise InvalidWindow("the window is empty; write one such as '1 hour' or 'from 2 days ago to 1 day ago'")
    return _WindowParser(selector).parse()


def _tokenize(selector: str) -> Iterator[_Lexeme]:
    at = 0
    while at < (end := len(selector)):
        match = _TOKEN.match(selector, at)
        if match is None:
            at = _SPACES.match(selector, at).end()  # type: ignore[union-attr]
            if at < end:
                word = re.match(r"[\w()]*", selector[at:])
                yield _Lexeme("", selector[at : at + 1], Span(at, at + max(1, word.end() if word else 1)))
                return
            break
        kind = match.lastgroup or ""
        text = match[kind]
        yield _Lexeme(_KINDS[text] if kind == "word" else kind, text, Span(match.start(kind), match.end(kind)))
        at = match.end()
    yield _Lexeme("end", "", Span(end, end))


class _WindowParser:
    """A recursive-descent parser of one selector."""

    def __init__(self, selector: str) -> None:
        self._selector = selector
        self._tokens = _tokenize(selector)
        self._next = next(self._tokens)

    def parse(self) -> Window:
        if self._next.kind == "from":
            oldest, newest = self._duration()
            self._expect("end", "the end: a window without a width takes no days")
            return Window(oldest, newest, oldest - newest)
        width = self._interval("a width such as '30 minutes', or 'from'")
        self._take("window")
        oldest, newest, step = width, 0, None
        if self._take("every"):
            step = self._interval("an interval such as '24 hours'")
            if self._next.kind != "from":
                self._reject("'from' and an interval, such as 'from 14 days ago'")
            oldest, newest = self._duration()
        includes = self._days() if self._take("include") else ()
        excludes = self._days() if self._take("exclude") else ()
        self._expect("end", "'every', 'including', 'excluding' or the end")
        return Window(oldest, newest, width, step, includes, excludes)

    def _duration(self) -> tuple[int, int]:
        """Return the limits of a duration, the oldest first, in whichever order they are written."""
        self._expect("from", "'from'")
        first, second = self._interval("an interval such as '14 days'"), 0
        self._take("ago")
        if self._take("to"):
            second = self._interval("an interval such as '1 hour'")
            self._take("ago")
        return max(first, second), min(first, second)

    def _interval(self, expected: str) -> int:
        number = self._expect("number", expected)
        if len(number.text) > 19 or int(number.text) > LONG_MAX:
            self._fail(number.span, f"a number up to {LONG_MAX}")
        unit = self._expect("unit", "a unit: seconds, minutes, hours or days")
        return min(int(number.text) * _UNITS[unit.text.lower().removesuffix("(s)").removesuffix("s")], LONG_MAX)

    def _days(self) -> tuple[Callable[[int], IsDay], ...]:
        days = [self._day()]
        while self._take("comma"):
            days.append(self._day())
        return tuple(days)

    def _day(self) -> Callable[[int], IsDay]:
        token = self._expect("day", "a day such as 'tuesdays', 'weekends', 'holidays:us' or 'date:2016/12/25'")
        arguments, last = [], token
        while self._next.kind in ("argument", "number"):
            last = self._advance()
            arguments.append(last.text.removeprefix(":"))
        name = token.text.lower()
        if name in _SAME_DAY:
            return on_same_weekday
        if name in _UNSUPPORTED_DAYS:
            self._fail(token.span, "'this day of the week'")
        try:
            is_day = make_is_day(name.removesuffix("s"), arguments)
        except ValueError as error:
            raise self._error(token.span | last.span, str(error)) from error
        return lambda _: is_day

    def _advance(self) -> _Lexeme:
        token = self._next
        self._next = next(self._tokens)
        return token

    def _take(self, kind: str) -> bool:
        if self._next.kind != kind:
            return False
        self._advance()
        return True

    def _expect(self, kind: str, expected: str) -> _Lexeme:
        if self._next.kind != kind:
            self._reject(expected)
        return self._next if kind == "end" else self._advance()

    def _reject(self, expected: str) -> NoReturn:
        self._fail(self._next.span, expected)

    def _fail(self, span: Span, expected: str) -> NoReturn:
        found = self._selector[span.start : span.end]
        raise self._error(span, f"expected {expected}, got {found[:40]!r}" if found else f"expected {expected}")

    def _error(self, span: Span, message: str) -> InvalidWindow:
        return InvalidWindow(f"invalid window: {message}\n{snippet(self._selector, span)}")
