"""Grok patterns, tried on texts and proposed for them."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from stellar.java.bounded_regex import TIMEOUT_MS
from stellar.java.grok import Grok, GrokError, NoMatch, common
from stellar.language.conversions import to_text
from stellar.language.library import stellar
from stellar.language.runtime import described
from stellar.util.text_tables import text_table

log = logging.getLogger(__name__)

# What a pattern without a name goes by, as in Metron
LABEL = "pattern"
LONGEST_TEXT = 65_536


@stellar("GROK_EVAL")
def grok_eval(grok: str | None, data: object) -> str | None:
    """What a Grok pattern captures in texts, drawn as a table: a column for each name, and a row for each text.

    grok: The pattern, such as `%{IP:source} %{WORD:action}`, which is looked for anywhere in a text
    data: A text, or a list of texts
    returns: The table, a text of several lines, with MISSING where nothing was captured; NO MATCH if nothing was
        captured at all; null if an argument is null, if data is neither a text nor a list, or if the pattern can't be
        used

        GROK_EVAL('%{INT:code}', ['a 200', 'b']) == GROK_EVAL('%{INT:code}', ['200', ''])  // true
        'MISSING' in GROK_EVAL('%{INT:code}', ['a 200', 'b'])  // true
        GROK_EVAL('%{INT:code}', 'b')  // 'NO MATCH'
        GROK_EVAL('%{NO_SUCH_PATTERN}', 'b')  // null
        GROK_EVAL('%{INT:code}', null)  // null
        GROK_EVAL('%{INT:code}', [1])  // error
    """
    texts = [data] if isinstance(data, str) else data
    if grok is None or not isinstance(texts, list):
        return None
    try:
        pattern = _compiled(grok)
    except GrokError as error:
        log.warning("GROK_EVAL(%r): %s", grok, error)
        return None
    rows = [_captured(pattern, text) for text in texts]
    names = sorted({name for row in rows for name in row})
    if not names:
        return "NO MATCH"
    return text_table(
        names, [["MISSING" if row.get(name) is None else to_text(row[name]) for name in names] for row in rows]
    )


@lru_cache(64)
def _compiled(pattern: str) -> Grok:
    return Grok(LABEL, {**common(), LABEL: pattern})


def _captured(pattern: Grok, text: object) -> dict[str, Any]:
    if text is None:
        return {}
    if not isinstance(text, str):
        raise ValueError(f"GROK_EVAL takes a text or a list of texts as data, not a list with {described(text)}")
    try:
        return pattern.match(text)
    except NoMatch:
        return {}
    except TimeoutError as error:
        raise ValueError(f"{error}; make it simpler") from error


@stellar("GROK_PREDICT")
def grok_predict(data: str | None) -> str | None:
    """A Grok pattern that fits a text: known patterns in place of what they fit, and the rest as it stands.

    data: The text
    returns: The pattern; null for null

        GROK_PREDICT('10.0.0.1 GET /index.html 200')  // '%{IP} %{WORD} %{UNIXPATH} %{INT}'
        GROK_PREDICT('2019-10-15T18:20:20Z user=mary')  // '%{TIMESTAMP_ISO8601} %{WORD}=%{WORD}'
        GROK_PREDICT('')  // ''
        GROK_PREDICT(null)  // null
        GROK_PREDICT(5)  // error
    """
    if data is None:
        return None
    if len(data) > LONGEST_TEXT:
        raise ValueError(f"GROK_PREDICT takes a text of {LONGEST_TEXT} characters at most, not of {len(data)}")
    try:
        return "".join(_proposed(data))
    except TimeoutError:
        raise ValueError(f"GROK_PREDICT needs more than {TIMEOUT_MS} ms for this text") from None


# Where several fit, the one that fits most; of those that fit as much, the first
_CANDIDATES = (
    "TIMESTAMP_ISO8601", "HTTPDATE", "DATESTAMP_RFC2822", "DATESTAMP_RFC822", "SYSLOGTIMESTAMP", "DATESTAMP", "DATE",
    "TIME", "UUID", "MAC", "IP", "URI", "EMAILADDRESS", "QUOTEDSTRING", "UNIXPATH", "WINPATH", "INT", "NUMBER",
    "LOGLEVEL", "WORD", "HOSTNAME",
)  # fmt: skip


def _proposed(text: str) -> Iterator[str]:
    """The parts of the pattern. Each takes what it is found to take here, so that the whole fits the text."""
    end = time.monotonic() + TIMEOUT_MS / 1000
    at = in_a_row = 0
    while at < len(text):
        name, length = _best(text, at, end)
        in_a_row = 0 if name else in_a_row + 1
        if name is not None:
            yield f"%{{{name}}}"
        elif length := len(_BLANKS.match(text, at)[0]):  # type: ignore[index]
            yield " " if text[at : at + length] == " " else r"\s+"
        else:
            itself = re.sub(r"[\\.^$*+?{}\[\]()|]", r"\\\g<0>", text[at])
            # A pattern with thousands of such characters in a row takes long to prepare
            yield itself if in_a_row % 100 else f"(?>{itself})"
            length = 1
        at += length


_BLANKS = re.compile(r"[ \t\n\r\f\v]*")


def _best(text: str, at: int, end: float) -> tuple[str | None, int]:
    """The pattern that fits most from a place on, and how much that is."""
    best, length = None, 0
    if at and text[at - 1].isalnum():  # within a word, and a sign behind a word belongs to neither
        return best, length
    for name, pattern in _candidates().items():
        found = pattern.match(text, at, timeout=max(end - time.monotonic(), 1e-9))
        if found is not None and found.end() - at > length:
            best, length = name, found.end() - at
    return best, length


@lru_cache(1)
def _candidates() -> dict[str, Any]:
    return {name: Grok(name, common()).pattern for name in _CANDIDATES}
