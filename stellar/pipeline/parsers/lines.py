"""Lines of raw messages, as Java reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from stellar.language.conversions import JAVA_WHITESPACE
from stellar.pipeline.parsers.parser import Unreadable
from stellar.pipeline.records import Record

_LINE_END = re.compile(r"\r\n|\n|\r")


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a message, which end with \n, \r or \r\n only; a form feed or U+2028 ends none.

    The end of the last line starts no other one, so that an empty message has no lines.
    """
    if "\r" not in text:
        lines = text.split("\n")
    else:
        lines = _LINE_END.split(text)
    if not lines[-1]:
        lines.pop()
    return lines


def parse_lines(text: str, parse: Callable[[str], Record]) -> Iterator[Record | Unreadable]:
    """Yield the record of each line that is not blank, or the ValueError with which it was rejected.

    A message of blank lines only is parsed as a whole.
    """
    lines = [line for line in split_lines(text) if not is_blank(line)]
    for line in lines or [text]:
        try:
            yield parse(line)
        except ValueError as error:
            yield Unreadable(line, error)


def trim(text: str) -> str:
    """Return a string without the spaces and control characters at its ends, as Java's trim does."""
    return text.strip(JAVA_WHITESPACE)


def is_blank(text: str) -> bool:
    """Return True for a string of spaces and control characters only."""
    return not text.strip(JAVA_WHITESPACE)


def report_once(parsed: Iterable[Record | Unreadable]) -> Iterator[Record | Unreadable]:
    """Yield records and errors, but of equal lines with errors only the first: their error documents would be equal."""
    seen: set[str] = set()
    for each in parsed:
        if isinstance(each, Unreadable):
            if each.text in seen:
                continue
            seen.add(each.text)
        yield each
