"""Reading of spec lines, and reports of wrong results."""

from __future__ import annotations

from fractions import Fraction

import pytest

from stellar.language.context import Context
from stellar.language.library import Library, stellar
from stellar.tooling import spec_lines


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("1 + 1  // 2", ("1 + 1", "2")),
        ("'http://x'  // true", ("'http://x'", "true")),
        ("'a' // 'http://x'", ("'a'", "'http://x'")),
        ('"it\'s" // 1', ('"it\'s"', "1")),
        ("4 / 2 // 2", ("4 / 2", "2")),
        ("x -> 1 // lambda", ("x -> 1", "lambda")),
        ("x // x -> 1", ("x", "x -> 1")),
        ("5 % 2 // parse error", ("5 % 2", "parse error")),
        ("'abc // parse error", ("'abc", "parse error")),
        ("// A claim", ("", "A claim")),
        ("1 + 1", ("1 + 1", None)),
        ("", ("", None)),
    ],
)
def test_a_line_is_an_expression_and_its_result(line, parts):
    assert spec_lines.split(line) == parts


def test_a_source_has_paragraphs_of_claims_variables_and_lines():
    source = (
        "// One claim\n// in two lines\nx := 5 // five\ny := 'a := b'\nx  // 5\n\n1 +\n\n 1  // 2\n\n// Only a remark\n"
    )
    one, two = spec_lines.read(source)
    assert (one.claim, one.variables) == ("One claim in two lines", {"x": "5", "y": "'a := b'"})
    assert one.lines == [spec_lines.Line(5, "x", "5")]
    assert two == spec_lines.Paragraph("", {}, [spec_lines.Line(9, "1 +\n\n1", "2")])
    assert spec_lines.read("") == []


def test_a_missing_result_is_an_error():
    with pytest.raises(ValueError, match="line 2: missing result"):
        spec_lines.read("1  // 1\n1 + 1")


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("1 + 1  // 3", "but it is the integer 2"),
        ("1  // 1.0", "but it is the integer 1"),
        ("1  // true", "but it is the integer 1"),
        ("[1]  // [1.0]", "but it is the list [1]"),
        ("1 / 0  // 0", "but it is an error\ndivision by zero"),
        ("1 / 0  // parse error", "but it is an EvaluationError"),
        ("1 +  // error", "but it is a ParseError"),
        ("1 / 0  // error: by one", "but the message is: division by zero"),
        ("1  // error", "but it is the integer 1"),
        ("1  // lambda", "but it is the integer 1"),
        ("'a'  // opaque", "but it is the string 'a'"),
        ("x -> x  // opaque", "but it is a lambda"),
        ("null  // opaque", "but it is null"),
        ("[1]  // set[1]", "but it is the list [1]"),
        ("s  // set[2]", "but it is the set {1}"),
    ],
)
def test_a_wrong_result_is_reported(line, outcome):
    (paragraph,) = spec_lines.read(f"s := set[1]\n{line}")
    (failure,) = spec_lines.find_failures(paragraph)
    assert failure.startswith(f"line 2: {line}"[:8])
    assert outcome in failure


def test_opaque_values_sets_and_bytes_can_be_written():
    @stellar("HALF")
    def half(context: Context) -> Fraction:
        """Return one half."""
        return context[Fraction]

    text = (
        "s := set['a', 1]\nb := bytes[0, 255]\nHALF()  // opaque\n s  // set[1, 'a']\nb  // bytes[0, 255]\n[s]  // []"
    )
    (paragraph,) = spec_lines.read(text)
    (failure,) = spec_lines.find_failures(paragraph, Library.of(half), Context({Fraction: Fraction(1, 2)}))
    assert failure.startswith("line 6")


def test_the_examples_of_a_library_are_those_of_its_docstrings():
    @stellar("ONE")
    def one() -> int:
        """Return one.

        ONE()  // 1
        """
        return 1

    assert list(spec_lines.read_library(Library.of(one))) == [
        ("ONE", spec_lines.Paragraph("", {}, [spec_lines.Line(1, "ONE()", "1")]))
    ]
