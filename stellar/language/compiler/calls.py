"""Code of calls of functions: their arguments, with guards, and what is done once for arguments that are literals."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from typing import Any

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler import pyast as py
from stellar.language.compiler.analysis import accepts_every_value, constant_collection
from stellar.language.compiler.builder import CodeBuilder
from stellar.language.compiler.pyast import Code, HeldValue, Position
from stellar.language.library import UNKNOWN, Function, Written


class CallBuilder(CodeBuilder):
    """The part of the compiler that compiles calls of functions.

    fast: write operators inline
    """

    fast: bool

    def compile_plain_call(self, function: Function, arguments: tuple[n.Expr, ...], at: Position) -> Code:
        prepared = self.prepare_function(function, arguments)
        target = function.implementation if prepared is None else prepared
        name = f"f_{function.name}" if prepared is None else self.new_name(f"f_{function.name}_")
        code: list[Code] = [py.load("context", at)] if function.needs_context else []
        for index, argument in enumerate(arguments):  # a comprehension would need more of the stack in nested calls
            if prepared is None or not isinstance(argument, n.Literal):
                code.append(self.compile_argument(function, index, argument))
        return py.call(self.bind_global(target, name, at), code, at)

    def prepare_function(self, function: Function, arguments: tuple[n.Expr, ...]) -> Callable[..., Any] | None:
        """Return a function of the arguments that are not literals; None if the literals can't be processed now."""
        if not self.fast or function.prepare is None:
            return None
        literals = [argument.value if isinstance(argument, n.Literal) else UNKNOWN for argument in arguments]
        if all(value is UNKNOWN for value in literals):
            return None
        for index, value in enumerate(literals):
            if value is not UNKNOWN and not function.parameter_at(index).kind.accepts(value):
                return None
        return function.prepare(*literals)

    def compile_argument(self, function: Function, index: int, node: n.Expr) -> Code:
        """Compile an argument, with a guard unless the parameter accepts every value of the node."""
        kind = function.parameter_at(index).kind
        at = self.source_map[node.span]
        if Written in kind.classes and isinstance(node, n.Literal) and isinstance(node.value, str):
            return self.bind_global(Written(node.value), self.new_name("written"), at)
        if accepts_every_value(kind, node, self.library):
            constant = self.bind_constant(node) if function.borrows_at(index) else None
            return self.compile(node) if constant is None else constant
        if not self.fast:
            return py.call(self.bind_check(function, index, at), [self.compile(node)], at)
        held = self.hold(node)
        if kind.converted:
            is_own = self.test_own(held.first, at)
            return ast.IfExp(is_own, held.again, py.call(self.bind_check(function, index, at), [held.again], at), **at)
        classes = kind.classes[:2] if kind.classes[0] is float else kind.classes[:1]
        guard = self.test_classes(held, classes, at)
        return ast.IfExp(guard, held.again, py.call(self.bind_check(function, index, at), [held.again], at), **at)

    def bind_constant(self, node: n.Expr) -> Code | None:
        """Create the list or map of a literal of constants now; return None for any other node."""
        constant = constant_collection(node) if self.fast else None
        if constant is None:
            return None
        return self.bind_global(constant, self.new_name("constant"), self.source_map[node.span])

    def hold_borrowed(self, node: n.Expr) -> HeldValue:
        """Hold a value that is neither changed nor kept."""
        constant = self.bind_constant(node)
        return self.hold(node) if constant is None else HeldValue(constant, constant)

    def bind_check(self, function: Function, index: int, at: Position) -> Code:
        """Return the name of a function that checks an argument, or converts it if any value is accepted."""
        check = runtime.accept if function.parameter_at(index).kind.classes else runtime.read_argument
        return self.bind_global(partial(check, function, index), f"accept_{function.name}_{index}", at)
