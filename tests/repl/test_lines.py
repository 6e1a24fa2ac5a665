"""Lines as they are typed: whether they are finished, and their colours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.repl.lines import coloured_line, is_unfinished
from stellar.tooling.lexing import pieces

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
def test_a_line_goes_on(text):
    assert is_unfinished(text)


@pytest.mark.parametrize("text", FINISHED)
def test_a_line_has_ended(text):
    assert not is_unfinished(text)


COLOURED = {
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


@pytest.mark.parametrize("text", COLOURED)
def test_each_piece_has_its_colour(text):
    assert list(coloured_line(text)) == [(f"stellar.{kind}", piece) for kind, piece in COLOURED[text]]


@given(st.text(alphabet="aB1 '\"\\/()[]{}<>=!&|?:,.+-*%#\n\té😀", max_size=40))
def test_the_pieces_are_all_of_a_text(text):
    assert "".join(text[piece.start : piece.end] for piece in pieces(text)) == text
    assert "".join(piece for _, piece in coloured_line(text)) == text
