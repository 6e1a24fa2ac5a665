"""Tests of source locations and excerpts."""

from __future__ import annotations

import pytest

from stellar.language.source import LONGEST_LINE, Span, position, snippet


def test_the_union_of_two_spans_contains_both():
    assert Span(3, 5) | Span(1, 2) == Span(1, 2) | Span(3, 5) == Span(1, 5)


@pytest.mark.parametrize(("offset", "expected"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 3)), (6, (3, 1))])
def test_lines_and_columns_are_counted_from_one(offset, expected):
    assert position("ab\ncd\n", offset) == expected


@pytest.mark.parametrize(
    ("source", "span", "expected"),
    [
        ("a + b", Span(4, 5), "1 | a + b\n        ^"),
        ("a + b", Span(5, 5), "1 | a + b\n         ^"),
        ("", Span(0, 0), "1 | \n    ^"),
        ("a\nbc\nd", Span(2, 4), "2 | bc\n    ^^"),
        ("a\nbc\nd", Span(3, 6), "2 | bc\n     ^"),
        ("a\r\nbc\r\n", Span(0, 1), "1 | a\n    ^"),
        ("\ta", Span(1, 2), "1 | \ta\n    \t^"),
        ("東京 x", Span(3, 4), "1 | 東京 x\n         ^"),
        ("東京 x", Span(0, 2), "1 | 東京 x\n    ^^^^"),
        ("e\u0301 x", Span(3, 4), "1 | e\u0301 x\n      ^"),
        ("\n" * 99 + "x", Span(99, 100), "100 | x\n      ^"),
    ],
)
def test_carets_are_below_the_span(source, span, expected):
    assert snippet(source, span) == expected


@pytest.mark.parametrize("start", [0, 10, 45, 500, 990, 999])
@pytest.mark.parametrize("width", [1, 200])
def test_only_the_surroundings_of_the_span_are_shown_of_a_long_line(start, width):
    source = "".join(chr(ord("a") + index % 26) for index in range(1000))
    line, carets = snippet(source, Span(start, min(1000, start + width))).split("\n")
    assert len(line) <= len("1 | ") + LONGEST_LINE
    assert line[carets.index("^")] == source[start]
    assert carets.count("^") == min(width, 1000 - start, len(line) - carets.index("^"))
