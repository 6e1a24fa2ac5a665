"""The compiled form of the Grok parser returns the records and errors of the parser itself."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stellar.java.match_timer import match_timer
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.parsers import Settings, Unreadable
from stellar.pipeline.parsers.grok import GrokParser

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")

PATTERNS = (
    "LINE %{NUMBER:timestamp} %{WORD:a} %{INT:b} %{NOTSPACE:c}( %{QUOTEDSTRING:d})?",
    "LINE %{NUMBER:time} (?:%{IP:a}|%{WORD:b})",
    "LINE %{WORD:a} %{GREEDYDATA:timestamp}",
    "LINE (?<timestamp>[0-9.]+) (?<a>\\S*) (?<b>.*)",
    "LINE %{WORD:UNWANTED} %{NUMBER:timestamp} %{WORD:a}",
    "LINE %{WORD:a} (?:%{INT:b})?",
)
TIMES = (
    "1571163620.277",
    "0571163620.277",
    "1571163620",
    "1571163620.2",
    "15711636.277",
    "x",
    "1571163620277",
    "12.3.4",
)
WORDS = (
    "a",
    "-12",
    "+7",
    "'x'",
    '"y z"',
    "2147483648",
    "0012",
    "99999999999999999999",
    "10.0.0.1",
    "::1",
    "é",
    "",
    "_1",
)


@pytest.fixture
def timer() -> Iterator[None]:
    with match_timer():
        yield


def make_parser(directory: Path, pattern: str, options: dict[str, Any]) -> GrokParser:
    (directory / "patterns").write_text(pattern, encoding="utf-8")
    known = {"grokPath": "patterns", "patternLabel": "LINE", **options}
    return GrokParser(Settings(known, SourceLocation("x"), directory))


def make_line(rnd: random.Random) -> str:
    words = [rnd.choice(TIMES), *(rnd.choice(WORDS) for _ in range(rnd.randint(0, 4)))]
    return rnd.choice(("", "", "", " ", "\t", "a ")) + " ".join(words) + rnd.choice(("", "", "", "\r", "\n", "\x00"))


def describe(parser: GrokParser, line: str) -> object:
    try:
        (parsed,) = parser(line)
    except ValueError as error:
        return type(error), str(error)
    if isinstance(parsed, Unreadable):
        return parsed.text, type(parsed.error), str(parsed.error)
    assert isinstance(parsed, dict)
    return list(parsed.items())


@pytest.mark.usefixtures("timer")
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("field", ["timestamp", "time", None])
@pytest.mark.parametrize("unit", [None, "auto"])
def test_both_forms_agree(pattern: str, field: str | None, unit: str | None, tmp_path: Path) -> None:
    rnd = random.Random(pattern)
    options = {"timestampField": field, "timestampUnit": unit}
    compiled, slow = make_parser(tmp_path, pattern, options), make_parser(tmp_path, pattern, options)
    records = 0
    for _ in range(600):
        line = make_line(rnd)
        slow._parse_line = slow._parse
        expected = describe(slow, line)
        assert describe(compiled, line) == expected, line
        records += isinstance(expected, list)
    has_quick_form = compiled.grok.quick is not None
    assert (compiled._parse_line not in (compiled._parse, compiled._parse_first)) == has_quick_form
    assert records or unit or field not in compiled.grok.fields


def test_most_patterns_have_a_compiled_form(tmp_path: Path) -> None:
    parsers = [make_parser(tmp_path, pattern, {}) for pattern in PATTERNS]
    assert [parser.grok.quick is not None for parser in parsers].count(True) >= 4


def test_other_threads_and_programs_without_a_timer_get_the_same_records(tmp_path: Path) -> None:
    parser = make_parser(tmp_path, PATTERNS[0], {"timestampField": "timestamp"})
    line = "1571163620.277 GET 5 x"
    with match_timer():
        expected = [describe(parser, line) for _ in range(40)][-1]
        in_thread: list[object] = []
        thread = threading.Thread(target=lambda: in_thread.append(describe(parser, line)))
        thread.start()
        thread.join()
    assert [describe(parser, line), *in_thread] == [expected, expected]


@pytest.mark.usefixtures("timer")
def test_a_line_that_takes_too_long_is_rejected_and_the_standard_library_is_given_up(tmp_path: Path) -> None:
    parser = make_parser(tmp_path, r"LINE ^(?<a>(?:[a-z]+)+)(?<b>[0-9])(?<c>x|\1y)$", {"matchTimeoutMs": 100})
    usual, bomb = "abc1x", "a" * 40 + "!"
    for _ in range(40):
        assert describe(parser, usual) == [("a", "abc"), ("b", 1), ("c", "x"), ("original_string", usual)]
    seen = {str(describe(parser, bomb)) for _ in range(4)}
    assert len(seen) == 1
    assert parser._parse_line == parser._parse
    assert describe(parser, usual) == [("a", "abc"), ("b", 1), ("c", "x"), ("original_string", usual)]
