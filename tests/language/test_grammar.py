"""The parser's tables are made from the grammar, the grammar has no conflicts, and Lark agrees with the parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import stellar
from stellar.language import parser
from stellar.language.errors import ParseError
from stellar.language.nodes import Node, walk
from stellar.language.source import Span
from stellar.tooling import spec_lines

pytest.importorskip("lark", reason="some interpreters run these tests without the dependencies")
pytest.importorskip("interegular", reason="lark's strict mode compares the terminals with interegular")

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from scripts import tables

SPECIFICATION = Path(__file__).parent.parent / "spec"


def test_the_tables_are_those_of_the_grammar():
    built, stored = tables.build(), Path(tables.PACKAGE / "language" / "tables.py").read_text()
    assert built == stored, "stellar/language/tables.py is out of date: run python -m scripts.tables"


def test_strict_mode_rejects_a_conflict(tmp_path, monkeypatch):
    grammar = (tables.PACKAGE / "grammar.lark").read_text()
    (tmp_path / "grammar.lark").write_text(
        f"{grammar}\n?twice: atom\n".replace("?operand: sum", "?operand: sum | twice")
    )
    monkeypatch.setattr(tables, "PACKAGE", tmp_path)
    with pytest.raises(Exception, match="collision"):
        tables.build()


# -- Lark and the table driver ----------------------------------------------------------------------------------------

# Messages of rules that the grammar does not contain: limits, and keywords as names of parameters
BEYOND_THE_GRAMMAR = re.compile("can't name a parameter|nests deeper|longer than|of more than")


def expressions() -> Iterator[str]:
    """Yield the expressions of the specification, and those of the golden errors."""
    for file in sorted(SPECIFICATION.glob("*.stellar")):
        for paragraph in spec_lines.read(file.read_text()):
            yield from paragraph.variables.values()
            yield from (line.expression for line in paragraph.lines)
    for file in sorted((SPECIFICATION / "errors").glob("*.txt")):
        *_, expression, _ = re.split(r"^---\n", file.read_text(), flags=re.MULTILINE)
        yield expression.removesuffix("\n")


def build_node(tree: Tree | Token) -> object:
    """Build the node of a Lark tree with the parser's own table of constructors."""
    if isinstance(tree, Token):
        return str(tree)
    children = [build_node(child) for child in tree.children]
    if tree.data == "start":
        return children[0]
    return parser._BUILD[tree.data](Span(tree.meta.start_pos, tree.meta.end_pos), *children)


def parse(source: str) -> Node | ParseError:
    """Return the parser's tree, or its error."""
    try:
        return parser.parse(source)
    except ParseError as error:
        return error


def is_decided_by_the_grammar(source: str) -> bool:
    """Return True unless a limit or the name of a parameter is the reason of an error."""
    return not BEYOND_THE_GRAMMAR.search(getattr(parse(source), "message", ""))


@pytest.mark.parametrize("source", [each for each in dict.fromkeys(expressions()) if is_decided_by_the_grammar(each)])
def test_lark_agrees_with_the_parser(source):
    expected = parse(source)
    try:
        tree = stellar.grammar().parse(source)
    except UnexpectedInput:
        assert isinstance(expected, ParseError)
        return
    assert isinstance(expected, Node)
    actual = build_node(tree)
    assert repr(actual) == repr(expected)  # not ==, as NaN differs from itself
    assert [node.span for node in walk(actual)] == [node.span for node in walk(expected)]
