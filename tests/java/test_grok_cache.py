"""Grok patterns whose groups are in the cache of the program."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stellar.java import regex as engine
from stellar.java.grok import Grok, GrokError, NoMatch
from stellar.java.match_timer import match_timer

DEFINITIONS = {"WORD": r"\w+", "INT": "[0-9]+", "PAIR": "%{WORD:key}=%{INT:value}"}
EXPRESSION = r"%{PAIR} (?<mine>[^ ]+)%{WORD:UNWANTED}?"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The expressions that were compiled by the `regex` package."""
    expressions: list[str] = []
    compile_ = engine._compile

    def note(translate: Callable[..., object]) -> object:
        found = compile_(translate)
        expressions.append(found[1].expression)
        return found

    monkeypatch.setattr(engine, "_compile", note)
    return expressions


def test_a_pattern_from_the_cache_is_compiled_when_a_string_needs_it(
    use_cache: Callable[[], None], compiled: list[str]
) -> None:
    expected = {"key": "a", "value": 1, "mine": "bc", "PAIR": "a=1"}
    use_cache()
    assert Grok(EXPRESSION, DEFINITIONS).match("a=1 bc") == expected
    use_cache()
    compiled.clear()
    grok = Grok(EXPRESSION, DEFINITIONS)
    assert set(grok.fields) == set(expected)
    with match_timer():
        assert grok.match("a=1 bc") == expected
        assert compiled == []
        assert grok.match("a=1 é") == {**expected, "mine": "é"}
        assert len(compiled) == 1
    with pytest.raises(NoMatch):
        grok.match("a=b")


def test_fields_that_are_not_read_are_part_of_the_key(use_cache: Callable[[], None]) -> None:
    for _ in range(2):
        use_cache()
        assert Grok(EXPRESSION, DEFINITIONS, unread={"value"}).match("a=1 bc") == {
            "key": "a",
            "mine": "bc",
            "PAIR": "a=1",
        }
        assert Grok(EXPRESSION, DEFINITIONS).match("a=1 bc")["value"] == 1


def test_an_invalid_pattern_is_an_error_each_time(use_cache: Callable[[], None]) -> None:
    for _ in range(2):
        use_cache()
        with pytest.raises(GrokError, match="invalid pattern"):
            Grok("(%{WORD:a}", DEFINITIONS)
