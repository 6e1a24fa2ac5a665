"""Evaluation and prediction of Grok patterns."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from stellar.java.grok import Grok, GrokError, NoMatch, load_common_definitions
from stellar.java.regex import TIMEOUT_MS
from stellar.language.conversions import to_string
from stellar.language.library import stellar
from stellar.language.literals import LiteralKind, check_strings
from stellar.language.runtime import describe
from stellar.util.abbreviate import quote
from stellar.util.memoize import memoize_for
from stellar.util.text_tables import text_table

log = logging.getLogger(__name__)

LONGEST_STRING = 65_536


def _validate(pattern: str) -> None:
    _compile(pattern)


GROK_PATTERN = LiteralKind(check_strings(_validate), "use known names, such as %{IP:source}")


@stellar("GROK_EVAL", literals={"grok": GROK_PATTERN})
def grok_eval(grok: str | None, data: object) -> str | None:
    """Match strings against a Grok pattern, and draw the captured values as a table: a column for each name, a row for
    each string.

    grok: The pattern, such as `%{IP:source} %{WORD:action}`; it may match anywhere in a string
    data: A string, or a list of strings
    returns: The table, a string of several lines, with MISSING for names that captured nothing; NO MATCH if nothing was
        captured at all; null if an argument is null, if data is neither a string nor a list, or if the pattern is
        invalid

        GROK_EVAL('%{INT:code}', ['a 200', 'b']) == GROK_EVAL('%{INT:code}', ['200', ''])  // true
        'MISSING' in GROK_EVAL('%{INT:code}', ['a 200', 'b'])  // true
        GROK_EVAL('%{INT:code}', 'b')  // 'NO MATCH'
        GROK_EVAL('%{NO_SUCH_PATTERN}', 'b')  // null
        GROK_EVAL('%{INT:code}', null)  // null
        GROK_EVAL('%{INT:code}', [1])  // error
    """
    strings = [data] if isinstance(data, str) else data
    if grok is None or not isinstance(strings, list):
        return None
    try:
        pattern = _compile(grok)
    except GrokError as error:
        log.warning("GROK_EVAL(%s): %s", quote(grok), error)
        return None
    rows = [_capture(pattern, string) for string in strings]
    names = sorted({name for row in rows for name in row})
    if not names:
        return "NO MATCH"
    return text_table(
        names, [["MISSING" if row.get(name) is None else to_string(row[name]) for name in names] for row in rows]
    )


@memoize_for(64)
def _compile(pattern: str) -> Grok:
    return Grok(pattern, load_common_definitions())


def _capture(pattern: Grok, string: object) -> dict[str, Any]:
    if string is None:
        return {}
    if not isinstance(string, str):
        raise ValueError(
            f"GROK_EVAL expected a string or a list of strings as data, got a list with {describe(string)}"
        )
    try:
        return pattern.match(string)
    except NoMatch:
        return {}
    except TimeoutError as error:
        raise ValueError(f"{error}; simplify the pattern") from error


@stellar("GROK_PREDICT")
def grok_predict(data: str | None) -> str | None:
    """Propose a Grok pattern that matches a string: known patterns replace what they match, and other characters are
    escaped.

    data: The string
    returns: The pattern; null for null

        GROK_PREDICT('10.0.0.1 GET /index.html 200')  // '%{IP} %{WORD} %{UNIXPATH} %{INT}'
        GROK_PREDICT('2019-10-15T18:20:20Z user=mary')  // '%{TIMESTAMP_ISO8601} %{WORD}=%{WORD}'
        GROK_PREDICT('')  // ''
        GROK_PREDICT(null)  // null
        GROK_PREDICT(5)  // error
    """
    if data is None:
        return None
    if len(data) > LONGEST_STRING:
        raise ValueError(f"GROK_PREDICT expected a string of at most {LONGEST_STRING} characters, got {len(data)}")
    try:
        return "".join(_propose(data))
    except TimeoutError:
        raise ValueError(f"GROK_PREDICT timed out after {TIMEOUT_MS} ms; shorten the string") from None


# The longest match is taken; of equally long ones, the first in this list
_CANDIDATES = (
    "TIMESTAMP_ISO8601", "HTTPDATE", "DATESTAMP_RFC2822", "DATESTAMP_RFC822", "SYSLOGTIMESTAMP", "DATESTAMP", "DATE",
    "TIME", "UUID", "MAC", "IP", "URI", "EMAILADDRESS", "QUOTEDSTRING", "UNIXPATH", "WINPATH", "INT", "NUMBER",
    "WORD", "HOSTNAME",
)  # fmt: skip


def _propose(string: str) -> Iterator[str]:
    """Yield the pieces of the pattern, each tested at its position, so that the whole pattern matches the string."""
    _load_candidates()  # which are compiled once; that is not part of the time limit
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    at = unmatched = 0
    while at < len(string):
        name, length = _find_longest(string, at, deadline)
        unmatched = 0 if name else unmatched + 1
        if name is not None:
            yield f"%{{{name}}}"
        elif length := len(_WHITESPACE.match(string, at)[0]):  # type: ignore[index]
            yield " " if string[at : at + length] == " " else r"\s+"
        else:
            literal = re.sub(r"[\\.^$*+?{}\[\]()|]", r"\\\g<0>", string[at])
            # Thousands of consecutive literals compile slowly, unless groups divide them
            yield literal if unmatched % 100 else f"(?>{literal})"
            length = 1
        at += length


_WHITESPACE = re.compile(r"[ \t\n\r\f\v]*")


def _find_longest(string: str, at: int, deadline: float) -> tuple[str | None, int]:
    """Return the pattern with the longest match at a position, and the length of the match."""
    longest, length = None, 0
    if at and string[at - 1].isalnum():  # within or directly after a word
        return longest, length
    for name, pattern in _load_candidates().items():
        match = pattern.match(string, at, timeout=max(deadline - time.monotonic(), 1e-9))
        if match is not None and match.end() - at > length:
            longest, length = name, match.end() - at
    return longest, length


@lru_cache(1)
def _load_candidates() -> dict[str, Any]:
    return {name: Grok(f"%{{{name}}}", load_common_definitions()).pattern for name in _CANDIDATES}
