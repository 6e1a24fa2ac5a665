"""The colours of Stellar in Pygments are those of the language's own lexer."""

from __future__ import annotations

import importlib.metadata

from hypothesis import given
from hypothesis import strategies as st
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, String

from stellar.jupyter.lexer import StellarLexer

CELL = """\
# first
x := TO_UPPER('a') // why
  # it's inside
  + 5

%time 1 and null
?TRIM
'open
"""


def tokens(text: str) -> list[tuple[object, str]]:
    return [(token, piece) for _, token, piece in StellarLexer().get_tokens_unprocessed(text) if not piece.isspace()]


def test_each_piece_has_its_colour():
    assert tokens(CELL) == [
        (Comment.Single, "# first\n"),
        (Name.Variable, "x := "),
        (Name.Function, "TO_UPPER"),
        (Operator, "("),
        (String, "'a'"),
        (Operator, ")"),
        (Comment.Single, "// why"),
        (Comment.Single, "\n  # it's inside\n  "),
        (Operator, "+"),
        (Number, "5"),
        (Name.Builtin, "%time"),
        (Number, "1"),
        (Keyword, "and"),
        (Keyword, "null"),
        (Name.Builtin, "?TRIM"),
        (String, "'open"),
    ]
    assert (Error, "&") in tokens("1 & 2")


PIECES = st.sampled_from([*"ax(1)'\"\n \t#%?:=,+é\r", "//", ":=", "\n  ", "%time ", "?TRIM", "if a then b"])


@given(st.lists(PIECES, max_size=30).map("".join))
def test_the_pieces_are_all_of_any_text(text):
    found = list(StellarLexer().get_tokens_unprocessed(text))
    assert "".join(piece for _, _, piece in found) == text
    assert [start for start, _, _ in found] == [sum(len(piece) for _, _, piece in found[:i]) for i in range(len(found))]


def test_pygments_finds_it():
    """By what the package declares, which an installed one has among its entry points."""
    (entry,) = importlib.metadata.entry_points(group="pygments.lexers", name="stellar")
    assert entry.load() is StellarLexer
