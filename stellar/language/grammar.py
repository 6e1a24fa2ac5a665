"""Stellar's grammar as a Lark object, for tools: the only module that imports lark.

Expressions are parsed by `stellar.language.parser`, which is several times faster; both accept the same expressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token
from lark.common import LexerConf
from lark.lexer import BasicLexer, Lexer, LexerState


@cache
def grammar() -> Lark:
    """Return the Lark object of grammar.lark; `grammar().parse(source)` returns a tree with source positions.

    A subtree is named after the node that its rule makes, such as `conjunction`. Invalid syntax raises
    `lark.exceptions.UnexpectedInput`. Limits of length and nesting, and keywords as parameters, are not checked.
    """
    source = files("stellar").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(source, parser="lalr", lexer=_StateAwareLexer, maybe_placeholders=False, propagate_positions=True)


class _StateAwareLexer(Lexer):
    """Lark's basic lexer, except that `not in` is read as `not` where no operand precedes it: `not index`."""

    __future_interface__ = 2  # so Lark passes the states of lexer and parser to `lex`

    def __init__(self, configuration: LexerConf) -> None:
        self._basic = BasicLexer(configuration)

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Token]:
        table = parser_state.parse_conf.parse_table.states
        for token in self._basic.lex(lexer_state, parser_state):
            if token.type == "_NOT_IN" and "_NOT_IN" not in table[parser_state.position]:
                yield self._shorten(lexer_state, token)
            else:
                yield token

    def _shorten(self, state: LexerState, token: Token) -> Token:
        """Return the `not` of a `not in`, and continue lexing after it."""
        surplus = len(token) - len("not")
        state.line_ctr.char_pos -= surplus
        state.line_ctr.column -= surplus
        state.last_token = Token(
            "_NOT", token[: len("not")], token.start_pos, token.line, token.column,
            token.line, state.line_ctr.column, state.line_ctr.char_pos,
        )  # fmt: skip
        return state.last_token
