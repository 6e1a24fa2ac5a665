"""Constructors of Python's syntax nodes, each at the position of a Stellar node."""

from __future__ import annotations

import ast
from collections.abc import Callable, Container
from typing import Any, NamedTuple

from stellar.language import runtime

LOAD, STORE, NOT, AND, OR = ast.Load(), ast.Store(), ast.Not(), ast.And(), ast.Or()
IS, IS_NOT, IN, NOT_IN, LESS, GREATER = ast.Is(), ast.IsNot(), ast.In(), ast.NotIn(), ast.Lt(), ast.Gt()

# Python's compiler processes nested nodes by recursion
LONGEST_NESTED_CHAIN = 16

Position = dict[str, int]
Code = ast.expr


class HeldValue(NamedTuple):
    """A value that is used more than once.

    first: code that evaluates it and assigns it to a local
    again: code that reads the local
    """

    first: Code
    again: Code


def guard(test: Code, body: Code, orelse: Code, cls: type | None, at: Position) -> ast.IfExp:
    """`body if test else orelse`, where the value of `body` has exactly a class, or None if it is unknown.

    An operation on it is compiled to `operation(body) if test else helper(orelse)`, without a test of its own.
    """
    code = conditional(test, body, orelse, at)
    code.body_class = cls  # type: ignore[attr-defined]
    return code


def find_guarded(held: HeldValue, classes: Container[type]) -> ast.IfExp | None:
    """Return the code of a value if it is guarded for one of some classes; then it need not be held."""
    match held.first:
        case ast.NamedExpr(value=ast.IfExp() as code) if getattr(code, "body_class", None) in classes:
            return code
    return None


# Constructors of nodes set each attribute by itself. The most frequent nodes are made without them, which takes two
# thirds of the time, and on Python 3.13 less than half
new_node = ast.AST.__new__


def load(name: str, at: Position) -> ast.Name:
    """`name`"""
    node = new_node(ast.Name)
    node.__dict__ = {"id": name, "ctx": LOAD, **at}
    return node


def parameter(name: str, at: Position) -> ast.arg:
    return ast.arg(name, None, None, **at)


def constant(value: Any, at: Position) -> ast.Constant:
    node = new_node(ast.Constant)
    node.__dict__ = {"value": value, "kind": None, **at}
    return node


def call(function: Code, arguments: list[Code], at: Position) -> ast.Call:
    """`function(arguments)`"""
    node = new_node(ast.Call)
    node.__dict__ = {"func": function, "args": arguments, "keywords": [], **at}
    return node


def class_of(code: Code, at: Position) -> ast.Attribute:
    """`code.__class__`"""
    node = new_node(ast.Attribute)
    node.__dict__ = {"value": code, "attr": "__class__", "ctx": LOAD, **at}
    return node


def compare(left: Code, operator: ast.cmpop, right: Code, at: Position) -> ast.Compare:
    """`left operator right`"""
    node = new_node(ast.Compare)
    node.__dict__ = {"left": left, "ops": [operator], "comparators": [right], **at}
    return node


def conditional(test: Code, body: Code, orelse: Code, at: Position) -> ast.IfExp:
    """`body if test else orelse`"""
    node = new_node(ast.IfExp)
    node.__dict__ = {"test": test, "body": body, "orelse": orelse, **at}
    return node


def all_of(tests: list[Code], at: Position) -> ast.BoolOp:
    """`test and test and …`"""
    node = new_node(ast.BoolOp)
    node.__dict__ = {"op": AND, "values": tests, **at}
    return node


def any_of(tests: list[Code], at: Position) -> ast.BoolOp:
    """`test or test or …`"""
    node = new_node(ast.BoolOp)
    node.__dict__ = {"op": OR, "values": tests, **at}
    return node


def assign(local: str, code: Code, at: Position) -> ast.NamedExpr:
    """`(local := code)`"""
    target = new_node(ast.Name)
    target.__dict__ = {"id": local, "ctx": STORE, **at}
    node = new_node(ast.NamedExpr)
    node.__dict__ = {"target": target, "value": code, **at}
    return node


def define(name: str, parameters: list[str], body: list[ast.stmt], at: Position) -> ast.Module:
    """Return a module that defines a function."""
    arguments = ast.arguments([], [parameter(each, at) for each in parameters], None, [], [], None, [])
    return ast.Module([ast.FunctionDef(name, arguments, body, [], None, None, **at)], [])


def read_field(name: str, at: Position) -> Code:
    """`record.get(name)`"""
    return call(ast.Attribute(load("record", at), "get", LOAD, **at), [constant(name, at)], at)


def compare_is(code: Code, value: bool | None, at: Position, *, negated: bool = False) -> Code:
    """`code is value`"""
    if isinstance(code, ast.Constant):  # Python warns about `is` with a literal
        return constant((code.value is value) is not negated, at)
    return compare(code, IS_NOT if negated else IS, constant(value, at), at)


def replace_operand(comparison: ast.Compare, held: HeldValue) -> ast.Compare:
    """Evaluate a held value inside a comparison instead of before it."""
    sides = [held.first if side is held.again else side for side in (comparison.left, *comparison.comparators)]
    comparison.left, comparison.comparators = sides[0], sides[1:]
    return comparison


def chain_conditionals(branches: list[tuple[Code, Code, Position]], otherwise: Code) -> Code:
    """`then if test else then if test else … otherwise`

    A long chain becomes `(test and (then,) or test and (then,) or … or (otherwise,))[0]`, whose nesting does not grow
    with its length. Each test returns a boolean.
    """
    if len(branches) <= LONGEST_NESTED_CHAIN:
        for test, then, at in reversed(branches):
            otherwise = conditional(test, then, otherwise, at)
        return otherwise
    choices: list[Code] = [all_of([test, ast.Tuple([then], LOAD, **at)], at) for test, then, at in branches]
    at = branches[0][2]
    chosen = any_of([*choices, ast.Tuple([otherwise], LOAD, **at)], at)
    return ast.Subscript(chosen, constant(0, at), LOAD, **at)


def fold_constants(helper: Callable[..., Any], left: Code, right: Code, at: Position) -> ast.Constant | None:
    """Return the result of an operation on two constant numbers; None for other operands, or if it is an error."""
    if not (isinstance(left, ast.Constant) and isinstance(right, ast.Constant)):
        return None
    if not (runtime.is_number(left.value) and runtime.is_number(right.value)):
        return None
    try:
        return constant(helper(left.value, right.value), at)
    except ValueError:
        return None
