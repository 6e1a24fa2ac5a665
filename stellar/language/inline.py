"""Inline forms of functions: Python expressions that compiled code contains instead of a call.

A function declares them beside its implementation, which has the complete rule and is called for all other arguments:

    @stellar("TO_UPPER", inline=Inline("input_.upper()", {"input_": str}))

becomes, in effect,

    s.upper() if s.__class__ is str else to_upper(s)

An expression is a constant of the program, never of an expression of a user. It is parsed once.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stellar.util.cached_properties import cached_property

Classes = type | tuple[type, ...] | None


@dataclass(frozen=True)
class Inline:
    """A Python expression with the result of a function for arguments of certain classes.

    expression: the expression, of the names in `classes` and `values`; it may assign to other names. An error that it
        raises is that of the function
    classes: for each argument, in their order: the class, or the classes, that it must have exactly; None for any
        literal
    when: a further condition of the arguments
    values: other names in the expressions; strings and integers become constants
    result: the class that the result has exactly, if it is always the same
    """

    expression: str
    classes: Mapping[str, Classes]
    when: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    result: type | None = None

    @cached_property
    def tree(self) -> ast.expr:
        """The syntax tree of the expression."""
        return ast.parse(self.expression, mode="eval").body

    @cached_property
    def reads(self) -> Counter[str]:
        """The number of times that the expression reads each name."""
        return Counter(node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name))

    @cached_property
    def condition(self) -> ast.expr | None:
        """The syntax tree of the further condition; None without one."""
        return ast.parse(self.when, mode="eval").body if self.when else None


def list_classes(classes: type | tuple[type, ...]) -> tuple[type, ...]:
    """Return the classes of an argument, also if there is one."""
    return classes if isinstance(classes, tuple) else (classes,)


class Prepared(NamedTuple):
    """A function of the arguments of a call that are not literals, and its inline forms."""

    function: Callable[..., Any]
    inline: tuple[Inline, ...] = ()


def describe_forms(forms: Iterable[Inline]) -> tuple[Any, ...]:
    """Return what code that contains inline forms has of them: all but the values that it refers to."""
    return tuple(
        (
            form.expression,
            form.when,
            repr(form.classes),
            repr(form.result),
            tuple((name, value if isinstance(value, str | int) else None) for name, value in form.values.items()),
        )
        for form in forms
    )
