"""Formatting changes the layout of a source and not its meaning."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.functions import SHELL_LIBRARY
from stellar.language.errors import ParseError
from stellar.language.nodes import outline
from stellar.language.parser import parse
from stellar.tooling import spec_lines
from stellar.tooling.formatter import StatementError, format_expression, format_file
from stellar.tooling.lexing import COMMENT, WHITESPACE, tokenize
from stellar.tooling.statements import read_statements

TESTS = Path(__file__).parents[1]
GOLDEN = sorted((TESTS / "spec" / "formatted").glob("*.txt"))


def comments(source: str) -> list[str]:
    return [source[each.start : each.end].rstrip() for each in tokenize(source) if each.kind == COMMENT]


def assert_only_layout_changes(source: str, width: int = 100) -> str:
    result = format_expression(source, width)
    assert outline(parse(result)) == outline(parse(source))
    assert format_expression(result, width) == result
    assert not any(line != line.rstrip() for line in result.split("\n") if "'" not in line and '"' not in line)
    return result


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in GOLDEN])
def test_a_source_has_the_expected_layout(file):
    source, expected = file.read_text().split("\n---\n")
    assert assert_only_layout_changes(source) == expected.removesuffix("\n")


# -- Expressions of other tests ---------------------------------------------------------------------------------------


def corpus() -> list[str]:
    sources = {line.expression for _, paragraph in spec_lines.read_library(SHELL_LIBRARY) for line in paragraph.lines}
    for file in (TESTS / "spec").glob("*.stellar"):
        sources |= {line.expression for paragraph in spec_lines.read(file.read_text()) for line in paragraph.lines}
    sample = random.Random(11)
    for name in ("language", "functions", "triage"):
        lines = (TESTS / "conformance" / "data" / f"{name}.jsonl").read_text().splitlines()
        sources |= {json.loads(line)["expr"] for line in sample.sample(lines, 400) if '"expr"' in line}
    return sorted(source for source in sources if is_stellar(source))


def is_stellar(source: str) -> bool:
    try:
        parse(source)
    except ParseError:
        return False
    return True


@pytest.mark.parametrize("width", [20, 40, 100])
def test_expressions_of_other_tests_keep_their_meaning(width):
    sources = corpus()
    assert len(sources) > 1500
    for source in sources:
        result = assert_only_layout_changes(source, width)
        assert comments(result) == comments(source)


# -- Comments anywhere ------------------------------------------------------------------------------------------------

WITHOUT_STRINGS = [text for text in corpus() if "'" not in text and '"' not in text and 5 < len(text) < 120]


@st.composite
def commented_expressions(draw) -> str:
    """An expression with comments, spaces and line ends between its tokens."""
    text = draw(st.sampled_from(WITHOUT_STRINGS))
    between = st.sampled_from([" ", " ", " ", "\n", "  \n ", " // a\n", "\n// b\n\n", "\n  // c\n// d\n"])
    tokens = [text[each.start : each.end] for each in tokenize(text) if each.kind != WHITESPACE]
    return draw(between) + "".join(token + draw(between) for token in tokens)


@given(commented_expressions(), st.sampled_from([20, 100]))
@settings(max_examples=300, deadline=None)
def test_comments_stay_in_their_order(text, width):
    if not is_stellar(text):
        return  # such as `not in`, which contains one space
    result = assert_only_layout_changes(text, width)
    # Two comments at the end of one line become one
    assert re.findall(r"// \w", result) == re.findall(r"// \w", text)


# -- Widths -----------------------------------------------------------------------------------------------------------

PARTS = st.recursive(
    st.sampled_from(["a", "bb.cc", "'text'", "12.5", "null"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(lambda items: f"F({', '.join(items)})"),
        st.lists(inner, min_size=1, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} == {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} and {pair[1]})"),
        st.tuples(inner, inner, inner).map(lambda parts: "(if {} then {} else {})".format(*parts)),
        st.tuples(inner, inner).map(lambda pair: "{{'key' : {}, 'other' : {}}}".format(*pair)),
        inner.map(lambda part: f"(x -> {part})"),
    ),
    max_leaves=25,
)


@given(PARTS)
@settings(max_examples=200, deadline=None)
def test_an_expression_that_fits_is_one_line_and_other_lines_are_short_enough(source):
    line = assert_only_layout_changes(source, 100_000)
    assert "\n" not in line
    assert assert_only_layout_changes(source, len(line)) == line
    narrow = assert_only_layout_changes(source, 40)
    # A longer line can't be broken: it is deep within brackets, or after an arrow
    deep = max(len(part) - len(part.lstrip()) for part in narrow.split("\n"))
    assert all(len(part) <= 40 for part in narrow.split("\n")) or deep > 10 or "->" in narrow


LARGE = {
    "a chain": "+".join(["1"] * 10_000),
    "brackets": "(" * 190 + "1" + ")" * 190,
    "lists": "[" * 190 + "]" * 190,
    "calls": "F(" * 190 + ")" * 190,
    "conditions": " and ".join(f"a{number} == {number}" for number in range(2000)),
    "branches": "if a then 1 else " * 2500 + "2",
    "ternaries": "a ? 1 : " * 190 + "2",
    "items": "[" + ",".join(["'aaaaaaa'"] * 5000) + "]",
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_expressions_are_formatted(text):
    result = format_expression(text)
    assert outline(parse(result)) == outline(parse(text))
    assert re.sub(r"\s", "", result) == re.sub(r"\s", "", text)


def test_an_expression_can_start_within_a_line_and_continue_indented():
    text = "FIRST(aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb)"
    assert format_expression(text, 50, column=9) == text
    assert (
        format_expression(text, 50, column=10, indentation=2)
        == "FIRST(\n    aaaaaaaaaaaaaaaa,\n    bbbbbbbbbbbbbbbb\n  )"
    )


def test_an_expression_that_would_become_too_long_is_rejected():
    with pytest.raises(ParseError, match=r"^formatted, the expression is longer than 65536 bytes"):
        format_expression("+".join(["1"] * 30_000))


def test_a_syntax_error_is_raised():
    with pytest.raises(ParseError, match="unexpected end of the"):
        format_expression("1 +")


# -- Files ------------------------------------------------------------------------------------------------------------

FILE = """\


  # The score of a record


x:=1+
# within
  // and this
   1
   # after it

// more
long.name  :=  MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : domain}, 'more'))
a==1 // why


%define a.b :=   5+5
? TRIM
empty :=
   'text'
nothing:=

"""
FORMATTED = """\
# The score of a record

x := 1
    +
    // within
    // and this
    1
# after it

// more
long.name := MAP_GET(
    'is_malicious',
    MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : domain}, 'more')
  )
a == 1  // why

%define a.b :=   5+5
? TRIM
empty := 'text'
nothing:=
"""


def test_the_statements_of_a_file_are_formatted():
    assert format_file(FILE) == FORMATTED
    assert format_file(FORMATTED) == FORMATTED
    before, after = (list(read_statements(text.split("\n"))) for text in (FILE, FORMATTED))
    assert [statement.name for statement in before] == [statement.name for statement in after]


def meanings(text: str) -> list[object]:
    return [(each.name, outline(parse(each.expression))) for each in read_statements(text.split("\n"))]


@st.composite
def files(draw) -> str:
    """A file of statements with comments, spaces and line ends between their tokens."""
    between = st.sampled_from(
        ["", "", "", " ", "\n  ", "  // a\n  ", "\n  # b\n  ", "\n\n\t", "\n# it's (\n\t", " // c\n//d\n "]
    )
    after = st.sampled_from(["\n", "\n\n\n", "\n# e\n", "\n  // f\n\n"])
    head = st.sampled_from(["", "", "x := ", "y:=", "z.a :=\n  ", "w := // g\n "])
    text = ""
    for source in draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=3)):
        tokens = [source[each.start : each.end] for each in tokenize(source)]
        text += draw(head) + "".join(token + draw(between) for token in tokens) + draw(after)
    return text


SHORT = [text for text in corpus() if len(text) < 80]


@given(files())
@settings(max_examples=300, deadline=None)
def test_the_statements_of_a_file_keep_their_meaning(file):
    try:
        before = meanings(file)
    except ParseError:
        return  # such as `not in`, which contains one space
    result = format_file(file)
    assert meanings(result) == before
    assert format_file(result) == result
    assert re.findall(r"(?://|#) ?(\w)", result) == re.findall(r"(?://|#) ?(\w)", file)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("- // c\n  x", "// c\n-x"),
        ("not // c\n  // d\n  x", "// c\nnot\n  // d\n  x"),
        ("F // c\n  (1)", "// c\nF(1)"),
        ("(x, // c\n  y) -> x", "// c\n(x, y) -> x"),
        ("y := - // c\n  x", "y := // c\n  -x"),
    ],
)
def test_a_comment_before_the_first_token_does_not_join_a_statement_to_the_one_before(statement, expected):
    assert format_file(f"a\n{statement}\n") == f"a\n{expected}\n"


def test_many_comments_can_precede_a_statement():
    inside = "\n  // c" * 5000
    assert format_file(f"a\n(x,{inside}\n  y) -> x") == "a\n" + "// c\n" * 5000 + "(x, y) -> x\n"


@pytest.mark.parametrize("line", ["  # b", "# b", "  // b", "  # it's"])
def test_a_string_with_a_line_that_resembles_a_comment_is_not_formatted(line):
    statement = f"x:='a \n{line}\n  c'\n"
    assert format_file(f"y:=1\n{statement}") == f"y := 1\n{statement}"


@pytest.mark.parametrize("comment", ["", " // long"])
def test_a_statement_that_would_become_too_long_is_reported_with_its_line(comment):
    with pytest.raises(StatementError, match=r"^line 2: formatted, the expression is longer"):
        format_file(f"a\n{'+'.join(['1'] * 30_000)}{comment}\n")


@pytest.mark.parametrize(("name", "replacement"), [("render", "1"), ("_format_after_name", "1"), ("render", "x := a")])
def test_a_result_with_another_meaning_is_not_returned(name, replacement, monkeypatch):
    monkeypatch.setattr(f"stellar.tooling.formatter.{name}", lambda *_, **__: replacement)
    with pytest.raises(AssertionError, match=r"^formatting would change the meaning of"):
        format_file("a\n")


def test_a_formatted_expression_with_another_meaning_is_not_returned(monkeypatch):
    monkeypatch.setattr("stellar.tooling.formatter.render", lambda *_, **__: "1")
    with pytest.raises(AssertionError, match=r"^formatting would change the meaning of: a"):
        format_expression("a")


def test_a_result_that_is_not_stellar_is_not_returned(monkeypatch):
    monkeypatch.setattr("stellar.tooling.formatter.render", lambda *_, **__: "1 +")
    with pytest.raises(StatementError, match=r"^line 2: formatted, unexpected end of the expression"):
        format_file("# one\na\n")


@pytest.mark.parametrize(
    ("source", "parsed"),
    [
        ("a&&b\n", ["a&&b\n", "a and b\n"]),
        ("x:=a&&b\ny :=\n\n%define z := 1\n", ["   a&&b", "     a and b"]),
        ("a&&\n  b\n# end\nc", ["a&&\n  b\n     ", "c", "a and b\n     ", "c\n"]),
    ],
)
def test_each_text_is_parsed_once(source, parsed, monkeypatch):
    texts = []
    monkeypatch.setattr("stellar.tooling.formatter.parse", lambda text: texts.append(text) or parse(text))
    format_file(source)
    assert texts == parsed


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_a_file_without_statements_becomes_empty(text):
    assert format_file(text) == ""


def test_comments_without_statements_stay():
    assert format_file("\n# a\n\n\n  // b") == "# a\n\n// b\n"


def test_a_syntax_error_in_a_statement_is_reported_with_its_line():
    with pytest.raises(StatementError, match=r"^line 3: unexpected /") as refusal:
        format_file("a\n\nb := 1 +\n  / 2\n")
    assert refusal.value.statement.line == 3
    assert refusal.value.error.span.start == len("b := 1 +\n  ")
