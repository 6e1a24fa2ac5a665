"""Letters of SimpleDateFormat's patterns that are often confused with others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stellar.java.date_patterns import Letters, parse_pattern

_HOURS = frozenset("HkhK")
_DATES = frozenset("yYdDu")
_MONTHS = frozenset("ML")


def find_pitfalls(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the probable mistakes in a date pattern, each with a hint; nothing for an invalid pattern."""
    try:
        items = [item for item in parse_pattern(pattern) if isinstance(item, Letters)]
    except ValueError:
        return
    letters = {item.letter for item in items}
    yield from _find_wrong_years(letters)
    yield from _find_wrong_months(items, letters)
    if letters & {"h", "K"} and "a" not in letters:
        hour = "h" if "h" in letters else "K"
        yield (
            f"{hour} is the hour of half a day, and the pattern does not specify which half",
            "use H, or add a for AM/PM",
        )
    if "D" in letters and letters & _MONTHS:
        yield "D is the day of the year", "use d for the day of the month"
    for item in items:
        if item.letter == "S" and item.count > 3:
            written = "S" * item.count
            yield f"{written} is a number of milliseconds: .123456 is 123 s and 456 ms", "use SSS, for three digits"


def _find_wrong_years(letters: set[str]) -> Iterator[tuple[str, str]]:
    if "Y" in letters and "w" not in letters:
        yield "Y is the year of the week: 31 December 2018 is in 2019", "use y"
    if "u" in letters and letters & _MONTHS and not letters & {"y", "Y"}:
        yield "u is the number of the day of the week", "use y for the year"


def _find_wrong_months(items: Sequence[Letters], letters: set[str]) -> Iterator[tuple[str, str]]:
    for before, item, after in zip(("", *_names(items)), _names(items), (*_names(items)[1:], ""), strict=False):
        if item == "m" and not letters & _MONTHS and before not in _HOURS and {before, after} & _DATES:
            yield "m is the minute", "use M for the month"
        if item == "M" and before in _HOURS:
            yield "M is the month", "use m for the minute"


def _names(items: Sequence[Letters]) -> list[str]:
    return [item.letter for item in items]
