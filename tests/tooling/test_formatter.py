"""Formatting changes how a text looks, and nothing else."""

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
from stellar.tooling import spec_lines as examples
from stellar.tooling.formatter import StatementError, formatted, formatted_file
from stellar.tooling.lexing import COMMENT, pieces
from stellar.tooling.statements import statements

TESTS = Path(__file__).parents[1]
GOLDEN = sorted((TESTS / "spec" / "formatted").glob("*.txt"))


def comments(text: str) -> list[str]:
    return [text[piece.start : piece.end].rstrip() for piece in pieces(text) if piece.kind == COMMENT]


def assert_only_the_looks_change(text: str, width: int = 100) -> str:
    shown = formatted(text, width)
    assert outline(parse(shown)) == outline(parse(text))
    assert formatted(shown, width) == shown
    assert not any(line != line.rstrip() for line in shown.split("\n") if "'" not in line and '"' not in line)
    return shown


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in GOLDEN])
def test_a_text_looks_as_it_should(file):
    text, wanted = file.read_text().split("\n---\n")
    assert assert_only_the_looks_change(text) == wanted.removesuffix("\n")


# -- What others have written -----------------------------------------------------------------------------------------


def corpus() -> list[str]:
    texts = {line.expression for _, paragraph in examples.of_library(SHELL_LIBRARY) for line in paragraph.lines}
    for file in (TESTS / "spec").glob("*.stellar"):
        texts |= {line.expression for paragraph in examples.read(file.read_text()) for line in paragraph.lines}
    sample = random.Random(11)
    for name in ("language", "functions", "triage"):
        lines = (TESTS / "conformance" / "data" / f"{name}.jsonl").read_text().splitlines()
        texts |= {json.loads(line)["expr"] for line in sample.sample(lines, 400) if '"expr"' in line}
    return sorted(text for text in texts if is_stellar(text))


def is_stellar(text: str) -> bool:
    try:
        parse(text)
    except ParseError:
        return False
    return True


@pytest.mark.parametrize("width", [20, 40, 100])
def test_what_others_have_written_means_the_same(width):
    texts = corpus()
    assert len(texts) > 1500
    for text in texts:
        shown = assert_only_the_looks_change(text, width)
        assert comments(shown) == comments(text)


# -- Comments anywhere ------------------------------------------------------------------------------------------------

WITHOUT_TEXTS = [text for text in corpus() if "'" not in text and '"' not in text and 5 < len(text) < 120]


@st.composite
def commented(draw) -> str:
    """A text with comments, blanks and line ends between its tokens."""
    text = draw(st.sampled_from(WITHOUT_TEXTS))
    between = st.sampled_from([" ", " ", " ", "\n", "  \n ", " // a\n", "\n// b\n\n", "\n  // c\n// d\n"])
    tokens = [text[piece.start : piece.end] for piece in pieces(text) if piece.kind != "blank"]
    return draw(between) + "".join(token + draw(between) for token in tokens)


@given(commented(), st.sampled_from([20, 100]))
@settings(max_examples=300, deadline=None)
def test_comments_are_kept_in_their_order(text, width):
    if not is_stellar(text):
        return  # such as `not in`, which has one blank
    shown = assert_only_the_looks_change(text, width)
    # Two that end one line are one in the end
    assert re.findall(r"// \w", shown) == re.findall(r"// \w", text)


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
def test_a_text_that_fits_stands_on_a_line_and_no_other_is_too_long(text):
    line = assert_only_the_looks_change(text, 100_000)
    assert "\n" not in line
    assert assert_only_the_looks_change(text, len(line)) == line
    narrow = assert_only_the_looks_change(text, 40)
    # What is too long has no place where it could break: it is deep within brackets, or behind an arrow
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
def test_large_texts_are_formatted_too(text):
    shown = formatted(text)
    assert outline(parse(shown)) == outline(parse(text))
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", text)


def test_a_text_may_begin_within_a_line_and_go_on_indented():
    text = "FIRST(aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb)"
    assert formatted(text, 50, column=9) == text
    assert formatted(text, 50, column=10, indentation=2) == "FIRST(\n    aaaaaaaaaaaaaaaa,\n    bbbbbbbbbbbbbbbb\n  )"


def test_a_text_that_would_become_too_long_is_refused():
    with pytest.raises(ParseError, match=r"^formatted, the expression is longer than 65536 bytes"):
        formatted("+".join(["1"] * 30_000))


def test_what_is_not_stellar_is_refused_with_its_place():
    with pytest.raises(ParseError, match="unexpected end of the expression"):
        formatted("1 +")


# -- Files ------------------------------------------------------------------------------------------------------------

FILE = """\


  # What a record is worth


x:=1+
# within
  // and this
   1
   # behind it

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
# What a record is worth

x := 1
    +
    // within
    // and this
    1
# behind it

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


def test_a_file_is_formatted_statement_by_statement():
    assert formatted_file(FILE) == FORMATTED
    assert formatted_file(FORMATTED) == FORMATTED
    before, after = (list(statements(text.split("\n"))) for text in (FILE, FORMATTED))
    assert [statement.name for statement in before] == [statement.name for statement in after]


def meanings(text: str) -> list[object]:
    return [(each.name, outline(parse(each.expression))) for each in statements(text.split("\n"))]


@st.composite
def files(draw) -> str:
    """A file of statements with comments, blanks and line ends between their tokens."""
    between = st.sampled_from(
        ["", "", "", " ", "\n  ", "  // a\n  ", "\n  # b\n  ", "\n\n\t", "\n# it's (\n\t", " // c\n//d\n "]
    )
    behind = st.sampled_from(["\n", "\n\n\n", "\n# e\n", "\n  // f\n\n"])
    head = st.sampled_from(["", "", "x := ", "y:=", "z.a :=\n  ", "w := // g\n "])
    text = ""
    for source in draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=3)):
        tokens = [source[piece.start : piece.end] for piece in pieces(source)]
        text += draw(head) + "".join(token + draw(between) for token in tokens) + draw(behind)
    return text


SHORT = [text for text in corpus() if len(text) < 80]


@given(files())
@settings(max_examples=300, deadline=None)
def test_the_statements_of_a_file_mean_the_same(file):
    try:
        before = meanings(file)
    except ParseError:
        return  # such as `not in`, which has one blank
    shown = formatted_file(file)
    assert meanings(shown) == before
    assert formatted_file(shown) == shown
    assert re.findall(r"(?://|#) ?(\w)", shown) == re.findall(r"(?://|#) ?(\w)", file)


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("- // c\n  x", "// c\n-x"),
        ("not // c\n  // d\n  x", "// c\nnot\n  // d\n  x"),
        ("F // c\n  (1)", "// c\nF(1)"),
        ("(x, // c\n  y) -> x", "// c\n(x, y) -> x"),
        ("y := - // c\n  x", "y := // c\n  -x"),
    ],
)
def test_a_comment_before_the_first_token_does_not_join_a_statement_to_the_one_before(statement, wanted):
    assert formatted_file(f"a\n{statement}\n") == f"a\n{wanted}\n"


def test_many_comments_can_come_before_a_statement():
    inside = "\n  // c" * 5000
    assert formatted_file(f"a\n(x,{inside}\n  y) -> x") == "a\n" + "// c\n" * 5000 + "(x, y) -> x\n"


@pytest.mark.parametrize("line", ["  # b", "# b", "  // b", "  # it's"])
def test_a_text_with_a_line_that_looks_like_a_comment_stays_as_it_is(line):
    statement = f"x:='a \n{line}\n  c'\n"
    assert formatted_file(f"y:=1\n{statement}") == f"y := 1\n{statement}"


def test_a_statement_that_would_become_too_long_is_told_with_its_line():
    with pytest.raises(StatementError, match=r"^line 2: formatted, the expression is longer"):
        formatted_file(f"a\n{'+'.join(['1'] * 30_000)}\n")


@pytest.mark.parametrize(("name", "replacement"), [("laid_out", "1"), ("_laid_out", "1"), ("_laid_out", "1 +")])
def test_what_would_mean_something_else_is_not_returned(name, replacement, monkeypatch):
    monkeypatch.setattr(f"stellar.tooling.formatter.{name}", lambda *_, **__: replacement)
    with pytest.raises(AssertionError, match=r"^formatted, .* would mean something else"):
        formatted_file("a\n")


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_nothing_stays_nothing(text):
    assert formatted_file(text) == ""


def test_only_comments_stay():
    assert formatted_file("\n# a\n\n\n  // b") == "# a\n\n// b\n"


def test_a_statement_that_is_not_stellar_is_told_with_its_line():
    with pytest.raises(StatementError, match=r"^line 3: unexpected /") as refusal:
        formatted_file("a\n\nb := 1 +\n  / 2\n")
    assert refusal.value.statement.line == 3
    assert refusal.value.error.span.start == len("b := 1 +\n  ")
