"""Building blocks of generated code: names, values used twice, class tests, calls of helpers and branches."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler import pyast as py
from stellar.language.compiler.pyast import IN, IS, LOAD, NOT_IN, Code, HeldValue, Position
from stellar.language.compiler.source_map import SourceMap
from stellar.language.inline import Prepared
from stellar.language.library import Library
from stellar.language.python_values import OWN


class Scope:
    """The names that are assigned to Python locals on every path to this point of the evaluation.

    locals: Stellar name to Python local
    in_lambda: True in the body of a lambda
    loops: number of enclosing comprehensions within the same Python function
    steps: within a lambda whose calls have lambdas, too, the local of the `limits.Steps` that count their elements
    """

    __slots__ = ("in_lambda", "locals", "loops", "steps")

    def __init__(
        self, locals_: dict[str, str] | None = None, in_lambda: bool = False, loops: int = 0, steps: str | None = None
    ) -> None:
        self.locals = {} if locals_ is None else locals_
        self.in_lambda = in_lambda
        self.loops = loops
        self.steps = steps

    def copy(self) -> Scope:
        """Return a scope that more names can be added to."""
        return Scope(dict(self.locals), self.in_lambda, self.loops, self.steps)


class PreparedCall(NamedTuple):
    """A call of `prepare`: the name of the function, the arguments that are literals, else UNKNOWN, and the result."""

    function: str
    literals: list[Any]
    prepared: Prepared


class CodeBuilder(ABC):
    """State of one compilation and constructors of code that any rule may use.

    library: the functions that the expression may call
    source_map: positions of Python nodes by Stellar span
    names: the globals of the generated function
    prepared: for each of them that `prepare` of a function returned, its call
    scope: the locals that are assigned where code is compiled now
    """

    def __init__(self, library: Library, source_map: SourceMap) -> None:
        self.library = library
        self.source_map = source_map
        self.names: dict[str, Any] = {}
        self.prepared: dict[str, PreparedCall] = {}
        self.scope = Scope()
        self._name_count = 0

    @abstractmethod
    def compile(self, node: n.Expr) -> Code:
        """Return the code of a node."""

    # -- Branches -----------------------------------------------------------------------------------------------------

    def branch(self) -> Branch:
        """Return a context manager for code that may be skipped; the locals it assigns are unknown after it."""
        return Branch(self, self.scope.copy())

    def lambda_body(self, parameters: Mapping[str, str]) -> Branch:
        """Return a context manager for the body of a lambda, whose parameters are these Python locals."""
        return Branch(self, Scope({**self.scope.locals, **parameters}, True, steps=self.scope.steps))

    def loop_body(self, parameters: Mapping[str, str]) -> Branch:
        """Return a context manager for the body of a lambda that is compiled to a comprehension."""
        scope = Scope({**self.scope.locals, **parameters}, True, self.scope.loops + 1, self.scope.steps)
        return Branch(self, scope)

    # -- Values and names ---------------------------------------------------------------------------------------------

    def hold(self, node: n.Expr) -> HeldValue:
        """Compile a node whose value is used more than once."""
        return self.hold_code(self.compile(node), self.source_map[node.span])

    def hold_code(self, code: Code, at: Position) -> HeldValue:
        """Assign the value of code to a local, unless it is a constant or a local already."""
        match code:
            case ast.Constant() | ast.Name():
                return HeldValue(code, code)
            case ast.NamedExpr(target=target):
                return HeldValue(code, py.load(target.id, at))
        local = self.new_name("t")
        return HeldValue(py.assign(local, code, at), py.load(local, at))

    def new_name(self, prefix: str) -> str:
        """Return a name that the generated function does not use yet."""
        self._name_count += 1
        return f"{prefix}{self._name_count}"

    def bind_global(self, value: Any, name: str, at: Position) -> ast.Name:
        """Return a global name of the generated function that refers to a value."""
        self.names[name] = value
        return py.load(name, at)

    def call_helper(self, helper: Callable[..., Any], arguments: list[Code], at: Position) -> Code:
        """Return a call of a Python function, such as one of runtime.py, under its own name."""
        return py.call(self.bind_global(helper, helper.__name__, at), arguments, at)

    def count_elements(self, code: Code, at: Position) -> Code:
        """Return code for the same list or string that counts its elements, in the lambda of another loop."""
        if self.scope.steps is None or not self.scope.in_lambda:
            return code
        return py.call(ast.Attribute(py.load(self.scope.steps, at), "count", LOAD, **at), [code], at)

    # -- Guards -------------------------------------------------------------------------------------------------------

    def test_class(self, code: Code, cls: type, at: Position) -> Code:
        """`code.__class__ is cls`"""
        return py.compare(py.class_of(code, at), IS, self.bind_class(cls, at), at)

    def bind_class(self, cls: type, at: Position) -> ast.Name:
        """Return the global name of a class."""
        return self.bind_global(cls, cls.__name__, at)

    def test_own(self, code: Code, at: Position, *, negated: bool = False) -> Code:
        """`code.__class__ in OWN`: the value needs no conversion."""
        operator = NOT_IN if negated else IN
        return py.compare(py.class_of(code, at), operator, self.bind_global(OWN, "OWN", at), at)

    def test_true(self, held: HeldValue, at: Position) -> Code:
        """Evaluate a held value and test that it is true, not only converts to true."""
        converted = [self.test_own(held.again, at, negated=True), self.call_helper(runtime.is_true, [held.again], at)]
        return py.any_of([py.compare_is(held.first, True, at), py.all_of(converted, at)], at)

    def test_classes(self, held: HeldValue, classes: tuple[type, ...], at: Position) -> Code:
        """Evaluate a held value and test for one of several classes, of which the first is the likeliest."""
        first, *others = classes
        tests = [self.test_class(held.first, first, at), *(self.test_class(held.again, c, at) for c in others)]
        return tests[0] if len(tests) == 1 else py.any_of(tests, at)


class Branch:
    """A context manager that compiles with another scope and restores the former one."""

    __slots__ = ("_builder", "_inner", "_outer")

    def __init__(self, builder: CodeBuilder, inner: Scope) -> None:
        self._builder, self._inner = builder, inner

    def __enter__(self) -> None:
        self._outer, self._builder.scope = self._builder.scope, self._inner

    def __exit__(self, *_: object) -> None:
        self._builder.scope = self._outer
