"""Python functions of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from stellar.language.context import NOTHING

# A function that returns the error to raise for an exception and the record
Fail = Callable[[Exception, Mapping[str, Any]], Exception]

_BUILTINS = {"Exception": Exception}
_DEFAULTS = (NOTHING,)


class FunctionCode(NamedTuple):
    """The code of the function of an expression, and what is known of the expression without its syntax tree.

    globals: the objects that the code refers to
    variables: the names of the free variables
    functions: the names of the functions called
    """

    code: CodeType
    globals: dict[str, Any]
    variables: frozenset[str]
    functions: frozenset[str]


def make_function(code: CodeType, names: dict[str, Any], fail: Fail) -> Callable[..., Any]:
    """Return the function `(record, context)` of code whose globals are these names, to which `fail` is added."""
    names["fail"] = fail
    names["__builtins__"] = _BUILTINS
    return FunctionType(code, names, code.co_name, _DEFAULTS)
