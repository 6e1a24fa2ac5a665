"""Names: which variables an expression reads, which functions it calls, and whether these can be called so."""

from __future__ import annotations

from dataclasses import dataclass

from stellar.language import nodes as n
from stellar.language.errors import ResolutionError
from stellar.language.library import Function, Library
from stellar.language.source import Span


@dataclass(frozen=True, slots=True)
class Names:
    """The names in an expression.

    reads: each read of a free variable, and where; `exists(x)` is a read of x
    functions: the functions called
    problems: the calls that can't succeed
    """

    reads: tuple[tuple[str, Span], ...]
    functions: frozenset[str]
    problems: tuple[ResolutionError, ...]

    @property
    def variables(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.reads)


def resolve(tree: n.Expr, library: Library, source: str, *, judge: bool = True) -> Names:
    """Find the names in a tree. A lambda's parameters are not free in its body.

    judge: look for calls that can't succeed
    """
    reads: list[tuple[str, Span]] = []
    functions: set[str] = set()
    problems: list[ResolutionError] = []
    nothing: frozenset[str] = frozenset()
    waiting: list[tuple[n.Expr, frozenset[str]]] = [(tree, nothing)]
    while waiting:
        node, bound = waiting.pop()
        if isinstance(node, n.Variable | n.Exists):
            if node.name not in bound:
                reads.append((node.name, node.span))
        elif isinstance(node, n.Lambda):
            waiting.append((node.body, bound.union(node.parameters)))
        else:
            if isinstance(node, n.Call):
                functions.add(node.name)
                if judge and (problem := call_problem(node, library)):
                    problems.append(ResolutionError(problem, source, node.span, call_hint(node, library)))
            waiting.extend((part, bound) for part in reversed(n.children(node)))
    return Names(tuple(reads), frozenset(functions), tuple(problems))


def call_problem(call: n.Call, library: Library) -> str | None:
    """Why a call can't succeed, whatever its arguments are; None if it may."""
    function = library.get(call.name)
    return f"unknown function {call.name}" if function is None else arity_problem(function, len(call.arguments))


def call_hint(call: n.Call, library: Library) -> str | None:
    """How to mend a call that can't succeed."""
    function = library.get(call.name)
    return library.hint(call.name) if function is None else f"its form is {function.usage}"


def arity_problem(function: Function, given: int) -> str | None:
    """What is wrong with this number of arguments, if something is."""
    if given < function.required:
        return f"{function.name} takes at least {_count(function.required)}, not {given}"
    if function.most is not None and given > function.most and not function.ignores_surplus:
        return f"{function.name} takes at most {_count(function.most)}, not {given}"
    return None


def _count(number: int) -> str:
    return f"{number} argument" if number == 1 else f"{number} arguments"
