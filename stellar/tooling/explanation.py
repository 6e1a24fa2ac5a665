"""What each part of an expression came to, in one evaluation of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stellar.language import nodes as n
from stellar.language.compiler.codegen import Compiler
from stellar.language.compiler.link import link_function
from stellar.language.compiler.pyast import Code
from stellar.language.compiler.source_map import SourceMap
from stellar.language.context import NOTHING, Context
from stellar.language.errors import StellarError
from stellar.language.expression import Expression
from stellar.language.parser import chain_link


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an expression and its values.

    depth: how many parts it is a part of
    text: as it stands in the expression
    values: what it came to each time it was evaluated: once, or within a lambda more or less often; none if it was not
        reached, or failed
    """

    depth: int
    text: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of an expression, each before its own parts; and the error that the evaluation ended with, if any."""

    parts: tuple[Part, ...]
    error: StellarError | None


def explain(expression: Expression, record: Mapping[str, Any], context: Context = NOTHING) -> Explanation:
    """Evaluate an expression once, and tell what each of its parts came to.

    Literals are left out, as they are what they say. The operators take the plain way, which gives the same answers as
    the quick one.
    """
    tracer = Tracer(expression)
    evaluate = link_function(tracer, expression.tree, expression.source, expression.to_error)
    error = None
    try:
        evaluate(record, context)
    except StellarError as refusal:
        error = refusal
    return Explanation(tuple(tracer.parts(expression.tree, expression.source)), error)


@dataclass(slots=True)
class _Noted:
    """Takes each value of a node on its way."""

    values: list[Any] = field(default_factory=list)

    def __call__(self, value: Any) -> Any:
        self.values.append(value)
        return value


class Tracer(Compiler):
    """Compiles a tree so that the value of each node is noted when it is evaluated."""

    def __init__(self, expression: Expression) -> None:
        super().__init__(expression.library, SourceMap(expression.source), strict=False, fast=False)
        self.noted: dict[int, _Noted] = {}

    def compile(self, node: n.Expr) -> Code:
        code = super().compile(node)
        return code if id(node) in self.noted or isinstance(node, _SILENT) else self._noting(node, code)

    def compile_operation(self, node: n.Arithmetic, left: Code) -> Code:
        return self._noting(node, super().compile_operation(node, left))

    def _noting(self, node: n.Expr, code: Code) -> Code:
        at = self.source_map[node.span]
        noted = self.noted[id(node)] = _Noted()
        return ast.Call(self.bind_global(noted, self.new_name("noted"), at), [code], [], **at)

    def parts(self, tree: n.Expr, source: str) -> Iterator[Part]:
        """The nodes below a tree that have values to be told, and it first."""
        waiting = [(tree, 0, False)]
        while waiting:
            node, depth, is_link = waiting.pop()
            if shown := not (is_link or isinstance(node, _SILENT) or _is_written_out(node)):
                noted = self.noted.get(id(node), _Noted())
                text = " ".join(source[node.span.start : node.span.end].split())
                yield Part(depth, text, tuple(noted.values))
            # The compiler goes along a chain of `else if` without a rule for each
            link = chain_link(node) if isinstance(node, n.Conditional) else None
            parts = reversed(n.children(node))
            waiting.extend((part, depth + shown, link is not None and part is link) for part in parts)


def _is_written_out(node: n.Expr) -> bool:
    """Whether it is a list or a map of literals."""
    return isinstance(node, n.ListLiteral | n.MapLiteral) and all(isinstance(p, n.Literal) for p in n.children(node))


# What is what it says, and lambdas, of which only the bodies are evaluated
_SILENT = (n.Literal, n.Lambda)
