"""Syntax tree to Python: one function an expression, made as Python's own syntax tree, never as text.

The line and column of each Python node are those of the Stellar node that it comes from, so a traceback tells where in
the expression something went wrong, at no cost as long as nothing does.

Operators are written inline, guarded by the classes that Python's operator gives Stellar's answer for; everything else
goes to the helper in runtime.py. With `fast=False` everything goes there, and the answers are the same.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, assert_never

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler import pyast as py
from stellar.language.compiler.analysis import (
    InlineTree,
    chain,
    literal_members,
    may_be_lambda,
    static_class,
    surely_accepted,
)
from stellar.language.compiler.operators import (
    ARITHMETIC,
    COMPARISON,
    EXACT,
    LONGEST_INLINE_CHAIN,
    SMALL,
)
from stellar.language.compiler.pyast import (
    IN,
    IS,
    IS_NOT,
    LESS,
    LOAD,
    STORE,
    Code,
    HeldValue,
    Position,
)
from stellar.language.compiler.source_map import SourceMap
from stellar.language.context import NOTHING
from stellar.language.library import UNKNOWN, Function, Library, Written
from stellar.language.resolver import call_problem

# CPython 3.12 and 3.13 crash when they compile more than 20 nested blocks, which comprehensions are there
MOST_NESTED_COMPREHENSIONS = 16


@dataclass(slots=True)
class Scope:
    """Names and the Python locals that surely hold them at this point of the evaluation."""

    locals: dict[str, str] = field(default_factory=dict)
    in_lambda: bool = False
    loops: int = 0  # the comprehensions around it, up to the next Python lambda

    def fork(self) -> Scope:
        """The scope of a part that may not be evaluated."""
        return Scope(dict(self.locals), self.in_lambda, self.loops)

    def inner(self, parameters: Mapping[str, str], loops: int = 0) -> Scope:
        """Return the scope of a lambda's body."""
        return Scope({**self.locals, **parameters}, True, loops)


class Compiler:
    """Compiles one tree. Code must be made in the order in which it will be evaluated: the first read of a variable
    is the one that puts it into a local."""

    def __init__(self, library: Library, places: SourceMap, strict: bool, fast: bool) -> None:
        self.library = library
        self.places = places
        self.strict = strict
        self.fast = fast
        self.names: dict[str, Any] = {}
        self.counter = 0

    def module(self, tree: n.Expr, predicate: bool) -> ast.Module:
        at = self.places[tree.span]
        result = self.rule(tree, Scope())
        if predicate and static_class(tree, self.library) is not bool:
            result = self.call(runtime.verdict, [result], at)
        raised = ast.Raise(
            py.call(py.load("fail", at), [py.load("error", at), py.load("record", at)], at), py.load("error", at), **at
        )
        handler = ast.ExceptHandler(py.load("Exception", at), "error", [raised], **at)
        body = ast.Try([ast.Return(result, **at)], [handler], [], [], **at)
        parameters = [py.parameter("record", at), py.parameter("context", at)]
        arguments = ast.arguments([], parameters, None, [], [], None, [self.known(NOTHING, "NOTHING", at)])
        function = ast.FunctionDef("expression", arguments, [body], [], None, None, **at)
        return ast.Module([function], [])

    # -- A rule for each node -----------------------------------------------------------------------------------------

    def rule(self, node: n.Expr, scope: Scope) -> Code:
        at = self.places[node.span]
        match node:
            case n.Literal(value):
                return py.constant(value, at)
            case n.Variable(name):
                return self.variable(name, scope, at)
            case n.Exists(name):
                return self.exists(name, scope, at)
            case n.ListLiteral(items):
                return ast.List([self.rule(item, scope) for item in items], LOAD, **at)
            case n.MapLiteral(pairs):
                return self.map_literal(pairs, scope, at)
            case n.Call():
                return self.function_call(node, scope, at)
            case n.Minus(operand):
                return self.minus(operand, scope, at)
            case n.Arithmetic():
                return self.arithmetic(node, scope)
            case n.Comparison(symbol, left, right):
                return self.comparison(symbol, left, right, scope, at)
            case n.Membership(item, container, negated):
                return self.membership(item, container, negated, scope, at)
            case n.Negation(operand):
                return ast.UnaryOp(ast.Not(), self.truth(operand, scope), **at)
            case n.Conjunction(operands):
                return self.conjunction(operands, scope, at)
            case n.Disjunction(operands):
                return self.disjunction(operands, scope, at)
            case n.Conditional():
                return self.conditional(node, scope)
            case n.Match(clauses, default):
                return self.match(clauses, default, scope, at)
            case n.Lambda(parameters, body):
                return self.python_lambda(parameters, body, scope, at)
            case _:
                assert_never(node)

    # -- Variables ----------------------------------------------------------------------------------------------------

    def variable(self, name: str, scope: Scope, at: Position) -> Code:
        if (local := scope.locals.get(name)) is not None:
            return py.load(local, at)
        local = scope.locals[name] = f"v_{name}" if name.replace("_", "a").isalnum() else self.fresh("v")
        if name == "_":
            read = self.call(runtime.Fields, [py.load("record", at)], at)
        elif self.strict and not scope.in_lambda:
            read = self.call(runtime.strictly, [py.load("record", at), py.constant(name, at)], at)
        else:
            read = py.read_field(name, at)
        return py.assign(local, read, at)

    def exists(self, name: str, scope: Scope, at: Position) -> Code:
        if name == "_" and name not in scope.locals:
            return py.constant(True, at)
        strict = self.strict and name not in scope.locals
        value = py.read_field(name, at) if strict else self.variable(name, scope, at)
        return ast.Compare(value, [IS_NOT], [py.constant(None, at)], **at)

    # -- Collections --------------------------------------------------------------------------------------------------

    def map_literal(self, pairs: tuple[tuple[n.Expr, n.Expr], ...], scope: Scope, at: Position) -> Code:
        keys = [key.value for key, _ in pairs if isinstance(key, n.Literal) and isinstance(key.value, str)]
        code = [(self.rule(key, scope), self.rule(value, scope)) for key, value in pairs]
        if len(set(keys)) == len(pairs):
            return ast.Dict([key for key, _ in code], [value for _, value in code], **at)
        return self.call(runtime.make_map, [ast.Tuple(list(pair), LOAD, **at) for pair in code], at)

    def membership(self, item: n.Expr, container: n.Expr, negated: bool, scope: Scope, at: Position) -> Code:
        inline, helper = (ast.NotIn(), runtime.lacks) if negated else (IN, runtime.contains)
        if not self.fast:
            return self.call(helper, [self.rule(item, scope), self.rule(container, scope)], at)
        held = self.hold(item, scope)
        if (members := literal_members(container)) is not None:
            plain = self.rule(container, scope)
            table = self.known(members, self.fresh("members"), at)
            guard = self.has_class(held.first, type(next(iter(members))), at)
            inside = ast.Compare(held.again, [inline], [table], **at)
            return ast.IfExp(guard, inside, self.call(helper, [held.again, plain], at), **at)
        other = self.hold(container, scope)
        texts = ast.Compare(
            py.class_of(held.first, at), [IS, IS], [py.class_of(other.first, at), self.known(str, "str", at)], **at
        )
        inside = ast.Compare(held.again, [inline], [other.again], **at)
        return ast.IfExp(texts, inside, self.call(helper, [held.again, other.again], at), **at)

    # -- Arithmetic ---------------------------------------------------------------------------------------------------

    def minus(self, operand: n.Expr, scope: Scope, at: Position) -> Code:
        if not self.fast:
            return self.call(runtime.negate, [self.rule(operand, scope)], at)
        held = self.hold(operand, scope)
        guard = self.has_class(held.first, float, at)
        negative = ast.UnaryOp(ast.USub(), held.again, **at)
        return ast.IfExp(guard, negative, self.call(runtime.negate, [held.again], at), **at)

    def arithmetic(self, node: n.Arithmetic, scope: Scope) -> Code:
        leftmost, steps = chain(node)
        if len(steps) > LONGEST_INLINE_CHAIN:
            return self.long_chain(leftmost, steps, scope)
        # Under one guard all variables are read in one place, which is too coarse for saying which is missing
        if self.fast and not self.strict and (tree := InlineTree.of(node)) is not None:
            return self.inline_tree(node, tree, scope)
        code = self.rule(leftmost, scope)
        for step in steps:
            code = self.step(step, code, scope)
        return code

    def step(self, node: n.Arithmetic, left: Code, scope: Scope) -> Code:
        """One operation, whose left side is compiled already."""
        at = self.places[node.span]
        operator, helper = ARITHMETIC[node.operator]
        if not self.fast or isinstance(left, ast.Constant):
            right = self.rule(node.right, scope)
            return py.fold_constants(helper, left, right, at) or self.call(helper, [left, right], at)
        held, other = self.hold_code(left, at), self.hold(node.right, scope)
        if isinstance(node.right, n.Literal):
            value, number = node.right.value, node.right.value.__class__
            small = number is int and isinstance(value, int) and abs(value) <= SMALL and node.operator != "/"
            if not value or not (number is float or small):
                return self.call(helper, [held.first, other.first], at)
            guard: Code = self.has_class(held.first, number, at)
            if number is int:
                guard = ast.BoolOp(ast.And(), [guard, self.is_small(held.again, at)], **at)
        else:
            guard = ast.Compare(
                py.class_of(held.first, at),
                [IS, IS],
                [py.class_of(other.first, at), self.known(float, "float", at)],
                **at,
            )
            if node.operator == "/":
                guard = ast.BoolOp(ast.And(), [guard, other.again], **at)
        result = ast.BinOp(held.again, operator, other.again, **at)
        return ast.IfExp(guard, result, self.call(helper, [held.again, other.again], at), **at)

    def long_chain(self, leftmost: n.Expr, steps: list[n.Arithmetic], scope: Scope) -> Code:
        """`a + b + c + …` as a tuple of assignments to one local, so that it nests no deeper the longer it is."""
        at = self.places[steps[-1].span]
        total = self.fresh("t")
        parts: list[Code] = [py.assign(total, self.rule(leftmost, scope), at)]
        for step in steps:
            here = self.places[step.span]
            _, helper = ARITHMETIC[step.operator]
            value = self.call(helper, [py.load(total, here), self.rule(step.right, scope)], here)
            parts.append(py.assign(total, value, here))
        return ast.Subscript(ast.Tuple(parts, LOAD, **at), py.constant(-1, at), LOAD, **at)

    def inline_tree(self, node: n.Arithmetic, tree: InlineTree, scope: Scope) -> Code:
        """Calculation with variables and numbers alone: one guard for all of it, first for floats, then for ints."""
        at = self.places[node.span]
        if tree.constant is not None:
            return py.constant(tree.constant, at)
        slow = self.helped
        if tree.for_integers:
            return self.guarded(
                tree, int, scope, at, lambda rest: self.guarded(tree, float, rest, at, partial(slow, node))
            )
        return self.guarded(tree, float, scope, at, partial(slow, node))

    def guarded(
        self, tree: InlineTree, number: type, scope: Scope, at: Position, otherwise: Callable[[Scope], Code]
    ) -> Code:
        """The calculation with numbers of one class, if all its variables are of that class, and fit for it."""
        classes, inside = self.all_of_class(tree.variables, number, scope, at)
        guard = [classes]
        if number is int:
            guard += [self.is_small(self.variable(name, inside, at), at) for name in tree.variables]
        else:
            guard += [self.variable(name, inside, at) for name in sorted(tree.divisors)]
        test = guard[0] if len(guard) == 1 else ast.BoolOp(ast.And(), guard, **at)
        inline = self.unguarded(tree.node, inside, number)
        return ast.IfExp(test, inline, otherwise(scope.fork()), **at)

    def is_small(self, code: Code, at: Position) -> Code:
        return ast.Compare(py.constant(-SMALL, at), [LESS, LESS], [code, py.constant(SMALL, at)], **at)

    def all_of_class(self, variables: list[str], wanted: type, scope: Scope, at: Position) -> tuple[Code, Scope]:
        """`a.__class__ is b.__class__ is … is wanted`, and the scope where it is so.

        Whatever the classes are, only the first two variables are surely evaluated.
        """
        surely, perhaps = variables[:2], variables[2:]
        codes: list[Code] = [py.class_of(self.variable(name, scope, at), at) for name in surely]
        inside = scope.fork()
        codes += [py.class_of(self.variable(name, inside, at), at) for name in perhaps]
        codes.append(self.known(wanted, wanted.__name__, at))
        return ast.Compare(codes[0], [IS] * (len(codes) - 1), codes[1:], **at), inside

    def unguarded(self, node: n.Expr, scope: Scope, number: Callable[[Any], Any]) -> Code:
        at = self.places[node.span]
        match node:
            case n.Literal(value):
                return py.constant(number(value), at)
            case n.Minus(operand):
                return ast.UnaryOp(ast.USub(), self.unguarded(operand, scope, number), **at)
            case n.Arithmetic(symbol, left, right):
                first = self.unguarded(left, scope, number)
                return ast.BinOp(first, ARITHMETIC[symbol][0], self.unguarded(right, scope, number), **at)
        return self.rule(node, scope)

    def helped(self, node: n.Expr, scope: Scope) -> Code:
        """Calculation by the helpers alone."""
        at = self.places[node.span]
        match node:
            case n.Minus(operand):
                return self.call(runtime.negate, [self.helped(operand, scope)], at)
            case n.Arithmetic(symbol, left, right):
                first, second = self.helped(left, scope), self.helped(right, scope)
                helper = ARITHMETIC[symbol][1]
                return py.fold_constants(helper, first, second, at) or self.call(helper, [first, second], at)
        return self.rule(node, scope)

    # -- Comparison ---------------------------------------------------------------------------------------------------

    def comparison(self, symbol: str, left: n.Expr, right: n.Expr, scope: Scope, at: Position) -> Code:
        inline, helper = COMPARISON[symbol]
        if not self.fast:
            return self.call(helper, [self.rule(left, scope), self.rule(right, scope)], at)
        one, other = self.hold(left, scope), self.hold(right, scope)
        result = ast.Compare(one.again, [inline], [other.again], **at)
        slow = self.call(helper, [one.again, other.again], at)
        if isinstance(right, n.Literal) and not isinstance(left, n.Literal):
            return self.with_literal(symbol, right.value, one, result, slow, at)
        if isinstance(left, n.Literal) and not isinstance(right, n.Literal):
            return self.with_literal(symbol, left.value, other, result, slow, at)
        alike = ast.Compare(py.class_of(one.first, at), [IS], [py.class_of(other.first, at)], **at)
        kind = py.class_of(one.again, at)
        plain = ast.BoolOp(
            ast.Or(), [ast.Compare(kind, [IS], [self.known(c, c.__name__, at)], **at) for c in (str, int, float)], **at
        )
        return ast.IfExp(ast.BoolOp(ast.And(), [alike, plain], **at), result, slow, **at)

    def with_literal(
        self, symbol: str, value: Any, held: HeldValue, result: ast.Compare, slow: Code, at: Position
    ) -> Code:
        """A comparison of which one side is a literal, and the other is held."""
        equality = symbol in ("==", "!=")
        if value is None:
            if not equality:
                return self.call(COMPARISON[symbol][1], [held.first, py.constant(None, at)], at)
            return py.compare_is(held.first, None, at, negated=symbol == "!=")
        if equality:
            # Python's == is Stellar's where one side is a literal, but that it takes true for 1
            if isinstance(value, bool):
                return py.compare_is(held.first, value, at, negated=symbol == "!=")
            if isinstance(value, str) or (abs(value) < EXACT and value not in (0, 1)):
                return py.replace_operand(result, held)
        classes: tuple[type, ...] = (type(value),)
        if not isinstance(value, bool | str) and abs(value) < EXACT:
            classes = (int, float) if isinstance(value, int) else (float, int)
        guard = self.has_one_of(held, classes, at)
        return ast.IfExp(guard, result, slow, **at)

    # -- Truth --------------------------------------------------------------------------------------------------------

    def condition(self, node: n.Expr, scope: Scope) -> Code:
        """A condition, decided: true, or false, or an error."""
        return self.as_boolean(node, scope, runtime.decided)

    def truth(self, node: n.Expr, scope: Scope) -> Code:
        """An operand of a logical operator, converted."""
        return self.as_boolean(node, scope, runtime.converted)

    def as_boolean(self, node: n.Expr, scope: Scope, convert: Callable[[Any], bool]) -> Code:
        if static_class(node, self.library) is bool:
            return self.rule(node, scope)
        at = self.places[node.span]
        if not self.fast:
            return self.call(convert, [self.rule(node, scope)], at)
        held = self.hold(node, scope)
        return ast.IfExp(self.has_class(held.first, bool, at), held.again, self.call(convert, [held.again], at), **at)

    def conjunction(self, operands: tuple[n.Expr, ...], scope: Scope, at: Position) -> Code:
        """`a and b`: ends at the first operand that is false, null or empty; else all must convert to true."""
        tests: list[Code] = []
        conversions: list[Code] = []
        for operand in operands[:-1]:
            if static_class(operand, self.library) is bool:
                tests.append(self.rule(operand, scope))
            else:
                held = self.hold(operand, scope)
                tests.append(
                    ast.BoolOp(
                        ast.Or(),
                        [py.compare_is(held.first, True, at), self.call(runtime.undecided_or_true, [held.again], at)],
                        **at,
                    )
                )
                converts = self.call(runtime.converted, [held.again], at)
                conversions.append(ast.BoolOp(ast.Or(), [py.compare_is(held.again, True, at), converts], **at))
            # Whatever comes after may not be evaluated
            scope = scope.fork()
        tests.append(self.truth(operands[-1], scope))
        return ast.BoolOp(ast.And(), [*tests, *conversions], **at)

    def disjunction(self, operands: tuple[n.Expr, ...], scope: Scope, at: Position) -> Code:
        """`a or b`: ends at the first operand that is true; else one must convert to true."""
        tests: list[Code] = []
        conversions: list[Code] = []
        for operand in operands[:-1]:
            if static_class(operand, self.library) is bool:
                tests.append(self.rule(operand, scope))
            else:
                held = self.hold(operand, scope)
                tests.append(py.compare_is(held.first, True, at))
                conversions.append(self.call(runtime.converted, [held.again], at))
            scope = scope.fork()
        tests.append(self.truth(operands[-1], scope))
        return ast.BoolOp(ast.Or(), [*tests, *conversions], **at)

    # -- Branches -----------------------------------------------------------------------------------------------------

    def conditional(self, node: n.Expr, scope: Scope) -> Code:
        branches: list[tuple[Code, Code, Position]] = []
        while isinstance(node, n.Conditional):
            at = self.places[node.span]
            test = self.condition(node.condition, scope)
            branches.append((test, self.rule(node.then, scope.fork()), at))
            scope, node = scope.fork(), node.otherwise
        return py.chain_conditionals(branches, self.rule(node, scope))

    def match(self, clauses: tuple[tuple[n.Expr, n.Expr], ...], default: n.Expr, scope: Scope, at: Position) -> Code:
        branches: list[tuple[Code, Code, Position]] = []
        for check, action in clauses:
            test = self.condition(check, scope)
            branches.append((test, self.action(action, scope.fork()), at))
            scope = scope.fork()
        return py.chain_conditionals(branches, self.action(default, scope))

    def action(self, node: n.Expr, scope: Scope) -> Code:
        """The action of a match clause: if its value is a lambda, that is called with no arguments."""
        if not may_be_lambda(node, self.library):
            return self.rule(node, scope)
        return self.call(runtime.applied, [self.rule(node, scope)], self.places[node.span])

    # -- Functions ----------------------------------------------------------------------------------------------------

    def python_lambda(self, parameters: tuple[str, ...], body: n.Expr, scope: Scope, at: Position) -> Code:
        """Missing arguments are null, surplus ones are ignored; of two parameters with one name the last is bound."""
        locals_ = [self.fresh("p") for _ in parameters]
        inner = scope.inner(dict(zip(parameters, locals_, strict=True)))
        arguments = ast.arguments(
            [],
            [py.parameter(local, at) for local in locals_],
            py.parameter(self.fresh("surplus"), at),
            [],
            [],
            None,
            [py.constant(None, at) for _ in locals_],
        )
        return ast.Lambda(arguments, self.rule(body, inner), **at)

    def function_call(self, node: n.Call, scope: Scope, at: Position) -> Code:
        if problem := call_problem(node, self.library):
            return self.call(runtime.unavailable, [py.constant(problem, at)], at)
        function = self.library[node.name]
        used = node.arguments[: function.most]
        if (
            self.fast
            and function.comprehension
            and scope.loops < MOST_NESTED_COMPREHENSIONS
            and self.fits_comprehension(used)
        ):
            code = self.comprehension(function, used, scope, at)
        else:
            prepared = self.prepared(function, used)
            called = function.implementation if prepared is None else prepared
            name = f"f_{node.name}" if prepared is None else self.fresh(f"f_{node.name}_")
            arguments: list[Code] = [py.load("context", at)] if function.needs_context else []
            arguments += [
                self.argument(function, index, part, scope)
                for index, part in enumerate(used)
                if prepared is None or not isinstance(part, n.Literal)
            ]
            code = py.call(self.known(called, name, at), arguments, at)
        if surplus := [self.rule(part, scope) for part in node.arguments[len(used) :]]:
            return ast.Subscript(ast.Tuple([code, *surplus], LOAD, **at), py.constant(0, at), LOAD, **at)
        return code

    def prepared(self, function: Function, arguments: tuple[n.Expr, ...]) -> Callable[..., Any] | None:
        """The function of the arguments that are no literals, if this one can be made of those that are."""
        if not self.fast or function.prepare is None:
            return None
        literals = [part.value if isinstance(part, n.Literal) else UNKNOWN for part in arguments]
        if all(value is UNKNOWN for value in literals):
            return None
        for index, value in enumerate(literals):
            if value is not UNKNOWN and not function.parameter_at(index).kind.accepts(value):
                return None
        return function.prepare(*literals)

    def argument(self, function: Function, index: int, node: n.Expr, scope: Scope) -> Code:
        """An argument, with a guard unless it is known to be of the kind that the function takes."""
        kind = function.parameter_at(index).kind
        at = self.places[node.span]
        if Written in kind.classes and isinstance(node, n.Literal) and isinstance(node.value, str):
            return self.known(Written(node.value), self.fresh("written"), at)
        if not kind.classes or surely_accepted(node, kind, self.library):
            return self.rule(node, scope)
        if not self.fast:
            return py.call(self.acceptor(function, index, at), [self.rule(node, scope)], at)
        held = self.hold(node, scope)
        classes = kind.classes[:2] if kind.classes[0] is float else kind.classes[:1]
        return ast.IfExp(
            self.has_one_of(held, classes, at),
            held.again,
            py.call(self.acceptor(function, index, at), [held.again], at),
            **at,
        )

    def acceptor(self, function: Function, index: int, at: Position) -> Code:
        return self.known(partial(runtime.accept, function, index), f"accept_{function.name}_{index}", at)

    def fits_comprehension(self, arguments: tuple[n.Expr, ...]) -> bool:
        """Whether these are a list and a lambda that no closure outlives: a comprehension's variable is one for all
        its rounds."""
        if len(arguments) != 2 or not isinstance(arguments[1], n.Lambda) or len(arguments[1].parameters) > 1:
            return False
        return not self.makes_closure(arguments[1].body)

    def makes_closure(self, node: n.Expr) -> bool:
        if isinstance(node, n.Lambda):
            return True
        if isinstance(node, n.Call) and node.name in self.library:
            function = self.library[node.name]
            if function.comprehension and self.fits_comprehension(node.arguments[: function.most]):
                return self.makes_closure(node.arguments[0])
        return any(self.makes_closure(part) for part in n.children(node))

    def comprehension(self, function: Function, arguments: tuple[n.Expr, ...], scope: Scope, at: Position) -> Code:
        """`[body for p in items]`, or null if they are; a FILTER that the items come from becomes its condition."""
        source, mapper = arguments
        assert isinstance(mapper, n.Lambda)
        variable = self.fresh("p")
        condition: n.Lambda | None = None
        if function.comprehension == "filter":
            condition, mapper = mapper, n.Lambda(("_",), n.Variable("_", span=mapper.span), span=mapper.span)
        elif (inner := self.filtered(source)) is not None:
            function, (source, condition) = inner
        there = self.places[source.span]
        held = self.hold(source, scope)
        take = self.known(partial(runtime.items, function), f"items_{function.name}", there)
        to_items = py.call(take, [held.again], there)
        items = self.hold_code(ast.IfExp(self.has_class(held.first, list, at), held.again, to_items, **at), at)
        conditions = [] if condition is None else [self.kept(condition, variable, scope, at)]
        body = self.rule(mapper.body, scope.inner(dict.fromkeys(mapper.parameters, variable), scope.loops + 1))
        loop = ast.comprehension(ast.Name(variable, STORE, **at), items.again, conditions, 0)
        exists = py.compare_is(items.first, None, at, negated=True)
        return ast.IfExp(exists, ast.ListComp(body, [loop], **at), py.constant(None, at), **at)

    def filtered(self, node: n.Expr) -> tuple[Function, tuple[n.Expr, n.Lambda]] | None:
        """A FILTER by a lambda that fits into a comprehension, and what it filters."""
        if not isinstance(node, n.Call) or (function := self.library.get(node.name)) is None:
            return None
        if (
            function.comprehension != "filter"
            or len(node.arguments) != 2
            or not self.fits_comprehension(node.arguments)
        ):
            return None
        source, condition = node.arguments
        return (function, (source, condition)) if isinstance(condition, n.Lambda) else None

    def kept(self, condition: n.Lambda, variable: str, scope: Scope, at: Position) -> Code:
        """Whether FILTER keeps an item: only if its lambda gives true, and nothing that converts to it."""
        code = self.rule(condition.body, scope.inner(dict.fromkeys(condition.parameters, variable), scope.loops + 1))
        return code if static_class(condition.body, self.library) is bool else py.compare_is(code, True, at)

    # -- Pieces -------------------------------------------------------------------------------------------------------

    def hold(self, node: n.Expr, scope: Scope) -> HeldValue:
        """A node's value, to be used more than once."""
        return self.hold_code(self.rule(node, scope), self.places[node.span])

    def hold_code(self, code: Code, at: Position) -> HeldValue:
        match code:
            case ast.Constant() | ast.Name():
                return HeldValue(code, code)
            case ast.NamedExpr(target=target):
                return HeldValue(code, py.load(target.id, at))
        local = self.fresh("t")
        return HeldValue(py.assign(local, code, at), py.load(local, at))

    def fresh(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    def known(self, thing: Any, name: str, at: Position) -> ast.Name:
        """A global name of the generated function."""
        self.names[name] = thing
        return py.load(name, at)

    def call(self, helper: Callable[..., Any], arguments: list[Code], at: Position) -> Code:
        return py.call(self.known(helper, helper.__name__, at), arguments, at)

    def has_class(self, code: Code, wanted: type, at: Position) -> Code:
        return ast.Compare(py.class_of(code, at), [IS], [self.known(wanted, wanted.__name__, at)], **at)

    def has_one_of(self, held: HeldValue, classes: tuple[type, ...], at: Position) -> Code:
        """Whether a held value, evaluated here, is of one of these classes; the likeliest is asked for first."""
        first, *others = classes
        guards = [self.has_class(held.first, first, at), *(self.has_class(held.again, c, at) for c in others)]
        return guards[0] if len(guards) == 1 else ast.BoolOp(ast.Or(), guards, **at)


# -- What can be told from a tree alone -------------------------------------------------------------------------------


# -- Python nodes -----------------------------------------------------------------------------------------------------
