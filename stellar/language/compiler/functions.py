"""Python functions of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from stellar.language.context import NOTHING

if TYPE_CHECKING:
    import ast

# A function that returns the error to raise for an exception and the record
Fail = Callable[[Exception, Mapping[str, Any]], Exception]

# No other function or class of Python can be reached by its name
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


def define_function(module: ast.Module, name: str, names: dict[str, Any], file: str) -> Any:
    """Return the function of this name that a module defines, with these names as globals.

    file: the name of the file that represents the source in tracebacks
    """
    namespace = {**names, "__builtins__": _BUILTINS}
    exec(compile(module, file, "exec"), namespace)
    return namespace[name]
