"""Construction of a Python function from syntax nodes: its statements, and the objects that it refers to."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

LOAD, STORE = ast.Load(), ast.Store()


def load(name: str) -> ast.expr:
    """`name`"""
    return ast.Name(name, LOAD)


def constant(value: object) -> ast.expr:
    """The literal of a string, number, boolean or null."""
    return ast.Constant(value)  # type: ignore[arg-type]


def call(function: ast.expr, *arguments: ast.expr) -> ast.expr:
    """`function(arguments)`"""
    return ast.Call(function, list(arguments), [])


def call_method(owner: str, method: str, *arguments: ast.expr) -> ast.expr:
    """`owner.method(arguments)`"""
    return call(ast.Attribute(load(owner), method, LOAD), *arguments)


def is_none(value: ast.expr, *, negated: bool = False) -> ast.expr:
    """`value is None`"""
    return ast.Compare(value, [ast.IsNot() if negated else ast.Is()], [constant(None)])


class FunctionBuilder:
    """The function that is built.

    parameters: the names of its parameters
    """

    def __init__(self, *parameters: str) -> None:
        self.names: dict[str, Any] = {}
        self._arguments = [ast.arg(name) for name in parameters]
        self._statements: list[ast.stmt] = []
        self._body = self._statements
        self._count = 0

    # -- Names --------------------------------------------------------------------------------------------------------

    def bind(self, value: object, hint: str) -> ast.expr:
        """Return a global name of the function that refers to an object."""
        name = self.new_name(hint)
        self.names[name] = value
        return load(name)

    def new_name(self, hint: str) -> str:
        """Return a name that the function does not use yet."""
        self._count += 1
        return f"{hint}_{self._count}"

    # -- Statements ---------------------------------------------------------------------------------------------------

    def add(self, statement: ast.stmt) -> None:
        """Append a statement to the current block."""
        self._body.append(statement)

    @contextmanager
    def block(self) -> Iterator[list[ast.stmt]]:
        """Collect the statements that are added within the context in a block of their own."""
        outer, self._body = self._body, []
        try:
            yield self._body
        finally:
            self._body = outer

    def assign(self, name: str, value: ast.expr) -> None:
        """`name = value`"""
        self.add(ast.Assign([ast.Name(name, STORE)], value))

    def assign_new(self, hint: str, value: ast.expr) -> str:
        """Assign a value to a new local, and return its name."""
        name = self.new_name(hint)
        self.assign(name, value)
        return name

    def unpack(self, names: Sequence[str], values: ast.expr) -> None:
        """`[name, name] = values`"""
        targets = ast.List([ast.Name(name, STORE) for name in names], STORE)
        self.add(ast.Assign([targets], values))

    def set_item(self, owner: str, key: str, value: ast.expr) -> None:
        """`owner[key] = value`"""
        self.add(ast.Assign([ast.Subscript(load(owner), constant(key), STORE)], value))

    def evaluate(self, value: ast.expr) -> None:
        """Evaluate an expression for its effect."""
        self.add(ast.Expr(value))

    def return_value(self, value: ast.expr) -> None:
        """`return value`"""
        self.add(ast.Return(value))

    def raise_error(self, error: ast.expr, cause: ast.expr | None = None) -> None:
        """`raise error from cause`"""
        self.add(ast.Raise(error, cause))

    @contextmanager
    def if_true(self, test: ast.expr) -> Iterator[None]:
        """`if test:` with the statements added within the context."""
        with self.block() as body:
            yield
        self.add(ast.If(test, body, []))

    @contextmanager
    def attempt(self, *handlers: ast.ExceptHandler) -> Iterator[None]:
        """`try:` with the statements added within the context, and its handlers."""
        with self.block() as body:
            yield
        self.add(ast.Try(body, list(handlers), [], []))

    def handler(
        self, classes: type[Exception] | tuple[type[Exception], ...], body: list[ast.stmt]
    ) -> ast.ExceptHandler:
        """`except classes as error: body`"""
        return ast.ExceptHandler(self.bind(classes, "errors"), "error", body)

    def link(self, name: str) -> Callable[..., Any]:
        """Compile the function."""
        arguments = ast.arguments([], self._arguments, None, [], [], None, [])
        function = ast.FunctionDef(name, arguments, self._statements, [], None, None)
        module = ast.fix_missing_locations(ast.Module([function], []))
        namespace = dict(self.names)
        exec(compile(module, f"<{name}>", "exec"), namespace)
        linked: Callable[..., Any] = namespace[name]
        return linked
