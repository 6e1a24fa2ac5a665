"""Lines of a shell: continuation and highlighting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.repl.lines import highlight_line, is_unfinished
from stellar.tooling.lexing import tokenize

UNFINISHED = [
    "1 +",
    "(1",
    "'abc",
    "TO_UPPER(",
    "[1, ",
    "{'a' : 1",
    "x := (1",
    "x := y := 1 +",
    "%time [1,",
    "%define a := 1 +",
    "x := %explain 1 +",
    "if a then 1",
    "x ? 1 :",
    "1 + // comment",
    "match { a => 1,",
    "x ->",
    "not",
]
FINISHED = [
    "",
    "  ",
    "1",
    "1 // (",
    "# (",
    "// (",
    "1)",
    "1 + + ",
    "?x",
    "x ?",
    "?(",
    "%vars (",
    "%define (",
    "%nonsense (",
    "x :=",
    "x := 1",
    "quit",
    "exit",
]


@pytest.mark.parametrize("text", UNFINISHED)
def test_an_unfinished_line_continues(text):
    assert is_unfinished(text)


@pytest.mark.parametrize("text", FINISHED)
def test_a_finished_or_invalid_line_does_not_continue(text):
    assert not is_unfinished(text)


HIGHLIGHTED = {
    "": [],
    "   ": [("name", "   ")],
    "# comment": [("comment", "# comment")],
    "?TO_UPPER": [("command", "?TO_UPPER")],
    "%vars": [("command", "%vars")],
    "%time 1": [("command", "%time"), ("operator", " "), ("number", "1")],
    "x := 1": [("name", "x := "), ("number", "1")],
    "TRIM(a)": [("function", "TRIM"), ("operator", "("), ("name", "a"), ("operator", ")")],
    "NaN<'b'": [("number", "NaN"), ("operator", "<"), ("text", "'b'")],
    "'a": [("text", "'a")],
    "1//b": [("number", "1"), ("comment", "//b")],
    "a&&true": [("name", "a"), ("keyword", "&&"), ("keyword", "true")],
    "x->x": [("name", "x->"), ("name", "x")],
    "a=>b": [("name", "a"), ("operator", "=>"), ("name", "b")],
    "é": [("wrong", "é")],
}


@pytest.mark.parametrize("text", HIGHLIGHTED)
def test_each_token_has_its_style(text):
    assert list(highlight_line(text)) == [(f"stellar.{style}", token) for style, token in HIGHLIGHTED[text]]


@given(st.text(alphabet="aB1 '\"\\/()[]{}<>=!&|?:,.+-*%#\n\té😀", max_size=40))
def test_tokens_cover_the_whole_line(text):
    assert "".join(text[each.start : each.end] for each in tokenize(text)) == text
    assert "".join(token for _, token in highlight_line(text)) == text
