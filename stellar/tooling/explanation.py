"""The values of all subexpressions in one evaluation of an expression."""

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
class Subexpression:
    """A subexpression and its values.

    depth: level of nesting, 0 for the whole expression
    text: its source on one line
    values: one value per evaluation: any number within a lambda; empty if it was not reached or failed
    """

    depth: int
    text: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The subexpressions of an expression, outer before inner, and the error that ended the evaluation, if any."""

    parts: tuple[Subexpression, ...]
    error: StellarError | None


def explain_expression(expression: Expression, record: Mapping[str, Any], context: Context = NOTHING) -> Explanation:
    """Evaluate an expression once and return the values of its subexpressions, except literals.

    The expression is compiled without inline operators, which gives the same results. Errors are returned, not raised.
    """
    tracer = Tracer(expression)
    evaluate = link_function(tracer, expression.tree, expression.source, expression.to_error)
    error = None
    try:
        evaluate(record, context)
    except StellarError as raised:
        error = raised
    return Explanation(tuple(tracer.subexpressions(expression.tree, expression.source)), error)


@dataclass(slots=True)
class _Recorder:
    """Records each value of a node and passes it on."""

    values: list[Any] = field(default_factory=list)

    def __call__(self, value: Any) -> Any:
        self.values.append(value)
        return value


class Tracer(Compiler):
    """A compiler whose code records the value of each node."""

    def __init__(self, expression: Expression) -> None:
        super().__init__(expression.library, SourceMap(expression.source), strict=False, fast=False)
        self.recorders: dict[int, _Recorder] = {}

    def compile(self, node: n.Expr) -> Code:
        code = super().compile(node)
        return code if id(node) in self.recorders or isinstance(node, _UNRECORDED) else self._record(node, code)

    def compile_operation(self, node: n.Arithmetic, left: Code) -> Code:
        return self._record(node, super().compile_operation(node, left))

    def _record(self, node: n.Expr, code: Code) -> Code:
        at = self.source_map[node.span]
        recorder = self.recorders[id(node)] = _Recorder()
        return ast.Call(self.bind_global(recorder, self.new_name("recorder"), at), [code], [], **at)

    def subexpressions(self, tree: n.Expr, source: str) -> Iterator[Subexpression]:
        """Yield the subexpressions of a tree, outer before inner, except literals."""
        waiting = [(tree, 0, False)]
        while waiting:
            node, depth, is_link = waiting.pop()
            if shown := not (is_link or isinstance(node, _UNRECORDED) or _is_constant(node)):
                recorder = self.recorders.get(id(node), _Recorder())
                text = " ".join(source[node.span.start : node.span.end].split())
                yield Subexpression(depth, text, tuple(recorder.values))
            # The compiler handles a chain of `else if` as one node
            link = chain_link(node) if isinstance(node, n.Conditional) else None
            children = reversed(n.children(node))
            waiting.extend((child, depth + shown, link is not None and child is link) for child in children)


def _is_constant(node: n.Expr) -> bool:
    """Return True for a list or map of literals."""
    return isinstance(node, n.ListLiteral | n.MapLiteral) and all(isinstance(p, n.Literal) for p in n.children(node))


# Literals need no explanation; of lambdas only the bodies are evaluated
_UNRECORDED = (n.Literal, n.Lambda)
