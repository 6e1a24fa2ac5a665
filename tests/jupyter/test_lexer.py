"""The Pygments lexer has the tokens of the language's own lexer."""

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
    return [(kind, code) for _, kind, code in StellarLexer().get_tokens_unprocessed(text) if not code.isspace()]


def test_each_token_has_its_type():
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


FRAGMENTS = st.sampled_from([*"ax(1)'\"\n \t#%?:=,+é\r", "//", ":=", "\n  ", "%time ", "?TRIM", "if a then b"])


@given(st.lists(FRAGMENTS, max_size=30).map("".join))
def test_tokens_cover_the_whole_source(text):
    lexed = list(StellarLexer().get_tokens_unprocessed(text))
    assert "".join(code for _, _, code in lexed) == text
    assert [start for start, _, _ in lexed] == [sum(len(code) for _, _, code in lexed[:i]) for i in range(len(lexed))]


def test_the_lexer_is_an_entry_point():
    (entry,) = importlib.metadata.entry_points(group="pygments.lexers", name="stellar")
    assert entry.load() is StellarLexer
