"""Resolution of the variables and functions of an expression, and checks of its calls."""

from __future__ import annotations

from typing import NamedTuple

from stellar.language import nodes as n
from stellar.language.errors import ResolutionError
from stellar.language.library import Function, Library
from stellar.language.source import Span

_READS = (n.Variable, n.Exists)


class Names(NamedTuple):
    """The names in an expression.

    reads: name and span of each read of a free variable; `exists(x)` reads x
    functions: the names of the functions called
    problems: an error for each call of an unknown function or with a wrong number of arguments
    """

    reads: tuple[tuple[str, Span], ...]
    functions: frozenset[str]
    problems: tuple[ResolutionError, ...]

    @property
    def variables(self) -> frozenset[str]:
        """The names of the free variables."""
        return frozenset(name for name, _ in self.reads)


def resolve(tree: n.Expr, library: Library, source: str, *, check_calls: bool = True) -> Names:
    """Collect the names in a tree. The parameters of a lambda are not free in its body.

    check_calls: report calls that can't succeed
    """
    reads: list[tuple[str, Span]] = []
    functions: set[str] = set()
    problems: list[ResolutionError] = []
    stack: list[tuple[n.Expr, frozenset[str]]] = [(tree, frozenset())]
    while stack:
        node, bound = stack.pop()
        if isinstance(node, n.Literal):
            continue
        if isinstance(node, _READS):
            if node.name not in bound:
                reads.append((node.name, node.span))
        elif isinstance(node, n.Lambda):
            stack.append((node.body, bound.union(node.parameters)))
        else:
            if isinstance(node, n.Call):
                functions.add(node.name)
                if check_calls and (problem := call_problem(node, library)):
                    problems.append(
                        ResolutionError(problem, source, problem_span(node, library), call_hint(node, library))
                    )
            for child in reversed(n.children(node)):
                stack.append((child, bound))  # a generator costs more than it saves for a few
    return Names(tuple(reads), frozenset(functions), tuple(problems))


def call_problem(call: n.Call, library: Library) -> str | None:
    """Return the reason why a call can't succeed, whatever its arguments are; None if it can."""
    function = library.get(call.name)
    return f"unknown function {call.name}" if function is None else arity_problem(function, len(call.arguments))


def problem_span(call: n.Call, library: Library) -> Span:
    """Return the span of what is wrong with a call that can't succeed: an unknown name, or the whole call."""
    start = call.span.start
    return Span(start, start + len(call.name)) if library.get(call.name) is None else call.span


def call_hint(call: n.Call, library: Library) -> str | None:
    """Return a hint how to fix a call that can't succeed."""
    function = library.get(call.name)
    return library.hint(call.name) if function is None else f"usage: {function.usage}"


def arity_problem(function: Function, count: int) -> str | None:
    """Return the problem with a number of arguments; None if it is valid."""
    if count < function.required:
        return f"{function.name} takes at least {_count(function.required)}, not {count}"
    if function.most is not None and count > function.most and not function.ignores_surplus:
        return f"{function.name} takes at most {_count(function.most)}, not {count}"
    return None


def _count(number: int) -> str:
    return f"{number} argument" if number == 1 else f"{number} arguments"
