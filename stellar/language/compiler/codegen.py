"""Syntax tree to Python: one function per expression, built as Python's `ast`, never as source.

Each kind of node has one method `compile_…`, which returns the Python expression for it.

Positions. A Python node has the line and column of the Stellar node that it comes from, so the traceback of an
exception gives the failing subexpression, at no cost until an exception is raised.

Guards. Python's operators agree with Stellar's for operands of certain classes only: `+` of two floats agrees, `+` of
null and an integer, or of two booleans, does not. So an operator is compiled to

    inline operation if operands have these classes else helper(operands)

where the helper of runtime.py is exact for all values. The guard must evaluate each operand exactly once; `hold`
assigns it to a local on first use. A whole calculation on few variables shares one guard, first for integers, then for
floats. With `fast=False` only helpers are used; both forms give the same results, which tests compare.

Order. Code must be compiled in the order of its evaluation: the first read of a variable assigns it to a local, and
later reads use that local. A read that may be skipped must not count for code outside its branch. Therefore code that
is evaluated conditionally is compiled in `with self.branch():`, which drops the new locals at its end. In a chain such
as `a and b and c` each operand is evaluated only after those before it, so all operands after the first share a branch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from typing import Any, assert_never

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler import pyast as py
from stellar.language.compiler.analysis import (
    InlineTree,
    comparable_classes,
    is_nested_loop,
    literal_members,
    split_chain,
    static_class,
)
from stellar.language.compiler.builder import Scope
from stellar.language.compiler.calls import CallBuilder
from stellar.language.compiler.choices import ChoiceBuilder
from stellar.language.compiler.operators import (
    ARITHMETIC,
    COMPARISON,
    EXACT,
    LOGICAL,
    LONGEST_INLINE_CHAIN,
    SMALL,
)
from stellar.language.compiler.pyast import GREATER, IN, IS, IS_NOT, LESS, LOAD, NOT, STORE, Code, HeldValue, Position
from stellar.language.compiler.source_map import SourceMap
from stellar.language.library import Function, Library
from stellar.language.limits import Steps
from stellar.language.resolver import call_problem, problem_span

# CPython 3.12 and 3.13 crash when they compile more than 20 nested blocks, to which they convert comprehensions
MAX_NESTED_COMPREHENSIONS = 16
# The blocks of a loop over records: `for` and `try`
_BLOCKS_OF_LOOP = 2


class Compiler(ChoiceBuilder, CallBuilder):
    """The compiler of one tree.

    strict: reading a field that the record does not have is an error
    fast: write operators inline
    """

    def __init__(self, library: Library, source_map: SourceMap, strict: bool, fast: bool) -> None:
        super().__init__(library, source_map)
        self.strict = strict
        self.fast = fast
        self.has_closures = False

    def compile_module(self, tree: n.Expr, predicate: bool) -> ast.Module:
        """Return a module that defines the function `expression(record, context)`.

        predicate: check that the result is a boolean or null
        """
        at = self.source_map[tree.span]
        result = self.compile_result(tree, predicate)
        failure = py.call(py.load("fail", at), [py.load("error", at), py.load("record", at)], at)
        error = ast.Raise(failure, py.load("error", at), **at)
        body = _try(ast.Return(result, **at), error, at)
        return py.define("expression", ["record", "context"], [body], at)

    def compile_loop(self, tree: n.Expr, predicate: bool) -> ast.Module | None:
        """Return a module that defines the generator function `values(records, context, fail)`.

        `fail` returns the value for a record that fails, or raises an error. Returns None for code that creates
        closures, which would see the variables of later records.
        """
        at = self.source_map[tree.span]
        self.scope = Scope(loops=_BLOCKS_OF_LOOP)
        result = self.compile_result(tree, predicate)
        if self.has_closures:
            return None
        failure = py.call(py.load("fail", at), [py.load("error", at), py.load("record", at)], at)
        value = ast.Name("value", STORE, **at)
        body = [
            _try(ast.Assign([value], result, None, **at), ast.Assign([value], failure, None, **at), at),
            ast.Expr(ast.Yield(py.load("value", at), **at), **at),
        ]
        loop = ast.For(ast.Name("record", STORE, **at), py.load("records", at), body, [], None, **at)
        return py.define("values", ["records", "context", "fail"], [loop], at)

    def compile_result(self, tree: n.Expr, predicate: bool) -> Code:
        """Compile the result of an expression, with a check if it is a predicate."""
        result = self.compile(tree)
        if predicate and static_class(tree, self.library) is not bool:
            return self.call_helper(runtime.require_bool_or_null, [result], self.source_map[tree.span])
        return result

    def compile(self, node: n.Expr) -> Code:
        at = self.source_map[node.span]
        match node:  # the most frequent ones first
            case n.Literal(value):
                return py.constant(value, at)
            case n.Variable(name):
                return self.compile_variable(name, at)
            case n.Comparison(symbol, left, right):
                return self.compile_comparison(symbol, left, right, at)
            case n.Call():
                return self.compile_call(node, at)
            case n.Conjunction() | n.Disjunction():
                return self.compile_logical(node, at)
            case n.Membership(item, container, negated):
                return self.compile_membership(item, container, negated, at)
            case n.Arithmetic():
                return self.compile_arithmetic(node)
            case n.Exists(name):
                return self.compile_exists(name, at)
            case n.Conditional():
                return self.compile_choice(*self.split_conditional(node), self.compile)
            case n.ListLiteral(items):
                return ast.List([self.compile(item) for item in items], LOAD, **at)
            case n.MapLiteral(pairs):
                return self.compile_map(pairs, at)
            case n.Minus(operand):
                return self.compile_minus(operand, at)
            case n.Negation(operand):
                return ast.UnaryOp(NOT, self.compile_operand(operand), **at)
            case n.Match(clauses, default):
                return self.compile_choice([(*clause, at) for clause in clauses], default, self.compile_action)
            case n.Lambda(parameters, body):
                return self.compile_lambda(parameters, body, at)
            case _:
                assert_never(node)

    # -- Variables ----------------------------------------------------------------------------------------------------

    def compile_variable(self, name: str, at: Position) -> Code:
        if (local := self.scope.locals.get(name)) is not None:
            return py.load(local, at)
        local = f"v_{name}" if name.replace("_", "a").isalnum() else self.new_name("v")
        self.scope.locals[name] = local
        if name == "_":
            read = self.call_helper(runtime.Fields, [py.load("record", at)], at)
        elif self.strict and not self.scope.in_lambda:
            read = self.call_helper(runtime.require_field, [py.load("record", at), py.constant(name, at)], at)
        else:
            read = py.read_field(name, at)
        return py.assign(local, read, at)

    def compile_exists(self, name: str, at: Position) -> Code:
        if name == "_" and name not in self.scope.locals:
            return py.constant(True, at)
        strict = self.strict and name not in self.scope.locals
        value = py.read_field(name, at) if strict else self.compile_variable(name, at)
        return py.compare(value, IS_NOT, py.constant(None, at), at)

    # -- Collections --------------------------------------------------------------------------------------------------

    def compile_map(self, pairs: tuple[tuple[n.Expr, n.Expr], ...], at: Position) -> Code:
        keys = [key.value for key, _ in pairs if isinstance(key, n.Literal) and isinstance(key.value, str)]
        code = [(self.compile(key), self.compile(value)) for key, value in pairs]
        if len(set(keys)) == len(pairs):
            return ast.Dict([key for key, _ in code], [value for _, value in code], **at)
        return self.call_helper(runtime.make_map, [ast.Tuple(list(pair), LOAD, **at) for pair in code], at)

    def compile_membership(self, item: n.Expr, container: n.Expr, negated: bool, at: Position) -> Code:
        inline, helper = (ast.NotIn(), runtime.not_contains) if negated else (IN, runtime.contains)
        if not self.fast:
            return self.call_helper(helper, [self.compile(item), self.compile(container)], at)
        held = self.hold(item)
        if (members := literal_members(container)) is not None:
            as_list = self.hold_borrowed(container).first
            table = py.constant(members, at)
            if (code := py.find_guarded(held, {type(next(iter(members)))})) is not None:
                inside = py.compare(code.body, inline, table, at)
                return py.conditional(code.test, inside, self.call_helper(helper, [code.orelse, as_list], at), at)
            guard = self.test_class(held.first, type(next(iter(members))), at)
            inside = py.compare(held.again, inline, table, at)
            return py.conditional(guard, inside, self.call_helper(helper, [held.again, as_list], at), at)
        other = self.hold_borrowed(container)
        if isinstance(container, n.ListLiteral | n.MapLiteral):
            return self.call_helper(helper, [held.first, other.first], at)
        are_strings = self.test_both(held, other, str, at)
        inside = py.compare(held.again, inline, other.again, at)
        return py.conditional(are_strings, inside, self.call_helper(helper, [held.again, other.again], at), at)

    def test_both(self, one: HeldValue, other: HeldValue, cls: type, at: Position) -> Code:
        """`one.__class__ is other.__class__ is cls`; `other` is always evaluated."""
        classes = [py.class_of(other.first, at), self.bind_global(cls, cls.__name__, at)]
        return ast.Compare(py.class_of(one.first, at), [IS, IS], classes, **at)

    # -- Arithmetic ---------------------------------------------------------------------------------------------------

    def compile_minus(self, operand: n.Expr, at: Position) -> Code:
        if not self.fast:
            return self.call_helper(runtime.negate, [self.compile(operand)], at)
        held = self.hold(operand)
        guard = self.test_class(held.first, float, at)
        negative = ast.UnaryOp(ast.USub(), held.again, **at)
        return py.conditional(guard, negative, self.call_helper(runtime.negate, [held.again], at), at)

    def compile_arithmetic(self, node: n.Arithmetic) -> Code:
        leftmost, steps = split_chain(node)
        if len(steps) > LONGEST_INLINE_CHAIN:
            return self.compile_long_chain(leftmost, steps)
        # A shared guard reads all variables at one position, so a strict error could not locate the missing one
        if self.fast and not self.strict and (tree := InlineTree.of(node)) is not None:
            return self.inline_tree(node, tree)
        code = self.compile(leftmost)
        for step in steps:
            code = self.compile_operation(step, code)
        return code

    def compile_operation(self, node: n.Arithmetic, left: Code) -> Code:
        """Compile one operation whose left operand is compiled already."""
        at = self.source_map[node.span]
        operator, helper = ARITHMETIC[node.operator]
        if not self.fast or isinstance(left, ast.Constant):
            right = self.compile(node.right)
            return py.fold_constants(helper, left, right, at) or self.call_helper(helper, [left, right], at)
        held, other = self.hold_code(left, at), self.hold(node.right)
        if isinstance(node.right, n.Literal):
            guard = self.guard_literal(node.operator, held, node.right.value, at)
        else:
            guard = self.test_both(held, other, float, at)
            if node.operator == "/":
                guard = py.all_of([guard, other.again], at)
        if guard is None:
            return self.call_helper(helper, [held.first, other.first], at)
        result = ast.BinOp(held.again, operator, other.again, **at)
        return py.conditional(guard, result, self.call_helper(helper, [held.again, other.again], at), at)

    def guard_literal(self, symbol: str, held: HeldValue, value: object, at: Position) -> Code | None:
        """Return a guard for an operation whose right operand is a literal; None if only the helper is exact."""
        if isinstance(value, float) and value:
            return self.test_class(held.first, float, at)
        if value.__class__ is int and isinstance(value, int) and value and abs(value) <= SMALL and symbol != "/":
            is_int = self.test_class(held.first, int, at)
            return py.all_of([is_int, self.test_small(held.again, at)], at)
        return None

    def test_small(self, code: Code, at: Position) -> Code:
        """Test that an integer is small enough for any inline operation."""
        bounds = [(LESS, SMALL), (GREATER, -SMALL)]  # two tests are faster than `-SMALL < code < SMALL`
        tests: list[Code] = [py.compare(code, operator, py.constant(most, at), at) for operator, most in bounds]
        return py.all_of(tests, at)

    def compile_long_chain(self, leftmost: n.Expr, steps: list[n.Arithmetic]) -> Code:
        """Compile `a + b + c + …` to a tuple of assignments to one local, whose nesting does not grow with length."""
        at = self.source_map[steps[-1].span]
        total = self.new_name("t")
        assignments: list[Code] = [py.assign(total, self.compile(leftmost), at)]
        for step in steps:
            here = self.source_map[step.span]
            _, helper = ARITHMETIC[step.operator]
            value = self.call_helper(helper, [py.load(total, here), self.compile(step.right)], here)
            assignments.append(py.assign(total, value, here))
        return ast.Subscript(ast.Tuple(assignments, LOAD, **at), py.constant(-1, at), LOAD, **at)

    def inline_tree(self, node: n.Arithmetic, tree: InlineTree) -> Code:
        """Compile a calculation with one guard for all of its variables: for integers if possible, then for floats."""
        at = self.source_map[node.span]
        if tree.constant is not None:
            return py.constant(tree.constant, at)
        call_helpers = partial(self.call_helpers, node)
        if tree.for_integers:
            return self.inline_if(tree, int, at, lambda: self.inline_if(tree, float, at, call_helpers))
        return self.inline_if(tree, float, at, call_helpers)

    def inline_if(self, tree: InlineTree, number: type, at: Position, otherwise: Callable[[], Code]) -> Code:
        """Compile a calculation for variables that are all of one class and within its limits.

        otherwise: compiles the calculation for all other values
        """
        first, skippable = tree.variables[:2], tree.variables[2:]
        # In `a.__class__ is b.__class__ is c.__class__` only a and b are evaluated whatever the classes are
        operands: list[Code] = [py.class_of(self.compile_variable(name, at), at) for name in first]
        with self.branch():
            operands += [py.class_of(self.compile_variable(name, at), at) for name in skippable]
            operands.append(self.bind_global(number, number.__name__, at))
            guard: list[Code] = [ast.Compare(operands[0], [IS] * (len(operands) - 1), operands[1:], **at)]
            if number is int:
                guard += [self.test_small(self.compile_variable(name, at), at) for name in tree.variables]
            else:
                guard += [self.compile_variable(name, at) for name in sorted(tree.divisors)]
            test = guard[0] if len(guard) == 1 else py.all_of(guard, at)
            inline = self.inline_operations(tree.node, number)
        with self.branch():
            return py.conditional(test, inline, otherwise(), at)

    def inline_operations(self, node: n.Expr, number: Callable[[Any], Any]) -> Code:
        """Compile a calculation to Python's operators alone, with its literals converted to one class."""
        at = self.source_map[node.span]
        match node:
            case n.Literal(value):
                return py.constant(number(value), at)
            case n.Minus(operand):
                return ast.UnaryOp(ast.USub(), self.inline_operations(operand, number), **at)
            case n.Arithmetic(symbol, left, right):
                first = self.inline_operations(left, number)
                return ast.BinOp(first, ARITHMETIC[symbol][0], self.inline_operations(right, number), **at)
        return self.compile(node)

    def call_helpers(self, node: n.Expr) -> Code:
        """Compile a calculation to calls of helpers alone."""
        at = self.source_map[node.span]
        match node:
            case n.Minus(operand):
                return self.call_helper(runtime.negate, [self.call_helpers(operand)], at)
            case n.Arithmetic(symbol, left, right):
                first, second = self.call_helpers(left), self.call_helpers(right)
                helper = ARITHMETIC[symbol][1]
                return py.fold_constants(helper, first, second, at) or self.call_helper(helper, [first, second], at)
        return self.compile(node)

    # -- Comparison ---------------------------------------------------------------------------------------------------

    def compile_comparison(self, symbol: str, left: n.Expr, right: n.Expr, at: Position) -> Code:
        inline, helper = COMPARISON[symbol]
        if not self.fast:
            return self.call_helper(helper, [self.compile(left), self.compile(right)], at)
        one, other = self.hold(left), self.hold(right)
        if isinstance(right, n.Literal) and (code := py.find_guarded(one, comparable_classes(right.value))) is not None:
            result = py.compare(code.body, inline, other.again, at)
            return py.conditional(code.test, result, self.call_helper(helper, [code.orelse, other.again], at), at)
        result = py.compare(one.again, inline, other.again, at)
        slow = self.call_helper(helper, [one.again, other.again], at)
        if isinstance(right, n.Literal) and not isinstance(left, n.Literal):
            return self.compare_with_literal(symbol, right.value, one, result, slow, at)
        if isinstance(left, n.Literal) and not isinstance(right, n.Literal):
            return self.compare_with_literal(symbol, left.value, other, result, slow, at)
        alike = py.compare(py.class_of(one.first, at), IS, py.class_of(other.first, at), at)
        has_order = py.any_of([self.test_class(one.again, cls, at) for cls in (str, int, float)], at)
        return py.conditional(py.all_of([alike, has_order], at), result, slow, at)

    def compare_with_literal(
        self, symbol: str, value: Any, held: HeldValue, result: ast.Compare, slow: Code, at: Position
    ) -> Code:
        """Compile a comparison of a held value with a literal.

        result: the inline comparison
        slow: the call of the helper
        """
        is_equality = symbol in ("==", "!=")
        if value is None:
            if not is_equality:
                return self.call_helper(COMPARISON[symbol][1], [held.first, py.constant(None, at)], at)
            return py.compare_is(held.first, None, at, negated=symbol == "!=")
        if is_equality:
            # With a literal on one side Python's == agrees with Stellar's, except that it equates true and 1
            if isinstance(value, bool):
                identity = py.compare_is(held.first, value, at, negated=symbol == "!=")
                return self.retry_unless_own(symbol, held, identity, slow, at)
            if isinstance(value, str) or (abs(value) < EXACT and value not in (0, 1)):
                result = py.replace_operand(result, held)
                return self.retry_unless_own(symbol, held, result, slow, at, type(value))
        classes: tuple[type, ...] = (type(value),)
        if not isinstance(value, bool | str) and abs(value) < EXACT:
            classes = (int, float) if isinstance(value, int) else (float, int)
        return py.conditional(self.test_classes(held, classes, at), result, slow, at)

    def retry_unless_own(
        self, symbol: str, held: HeldValue, result: Code, slow: Code, at: Position, likeliest: type | None = None
    ) -> Code:
        """Compile an inline comparison that finds a difference only for values that need no conversion.

        likeliest: a class for which no other test is needed
        """
        is_other = [py.compare_is(held.again, None, at, negated=True), self.test_own(held.again, at, negated=True)]
        if likeliest is not None:
            is_other.insert(1, py.compare(py.class_of(held.again, at), IS_NOT, self.bind_class(likeliest, at), at))
        if symbol == "==":
            return py.conditional(result, py.constant(True, at), py.all_of([*is_other, slow], at), at)
        is_own = ast.UnaryOp(NOT, py.all_of(is_other, at), **at)
        return py.conditional(result, py.any_of([is_own, slow], at), py.constant(False, at), at)

    # -- Logic --------------------------------------------------------------------------------------------------------

    def compile_condition(self, node: n.Expr) -> Code:
        """Compile a condition: true, false, or an error for a value that is neither."""
        return self.compile_as_boolean(node, runtime.require_condition)

    def compile_operand(self, node: n.Expr) -> Code:
        """Compile the last operand of a logical operator, converted to a boolean."""
        return self.compile_as_boolean(node, runtime.coerce_to_bool)

    def compile_as_boolean(self, node: n.Expr, convert: Callable[[Any], bool]) -> Code:
        if static_class(node, self.library) is bool:
            return self.compile(node)
        at = self.source_map[node.span]
        if not self.fast:
            return self.call_helper(convert, [self.compile(node)], at)
        held = self.hold(node)
        guard = self.test_class(held.first, bool, at)
        return py.conditional(guard, held.again, self.call_helper(convert, [held.again], at), at)

    def compile_logical(self, node: n.Conjunction | n.Disjunction, at: Position) -> Code:
        """Compile `and` or `or`: first the tests for an operand that ends it, then the conversions of all operands.

        `a and b` ends at the first operand that is false, null or empty; otherwise all must convert to true.
        `a or b` ends at the first operand that is true; otherwise one must convert to true.
        """
        operator, _ = LOGICAL[type(node)]
        first, *others, last = node.operands
        tests: list[Code] = []
        conversions: list[Code] = []
        self.add_operand(node, first, tests, conversions)
        with self.branch():
            for operand in others:
                self.add_operand(node, operand, tests, conversions)
            tests.append(self.compile_operand(last))
        return ast.BoolOp(operator, [*tests, *conversions], **at)

    def add_operand(
        self, node: n.Conjunction | n.Disjunction, operand: n.Expr, tests: list[Code], conversions: list[Code]
    ) -> None:
        """Compile an operand other than the last one: its test, and its conversion unless it is a boolean."""
        if static_class(operand, self.library) is bool:
            tests.append(self.compile(operand))
            return
        _, ends = LOGICAL[type(node)]
        at = self.source_map[node.span]
        held = self.hold(operand)
        conversion = self.call_helper(runtime.coerce_to_bool, [held.again], at)
        if ends is None:
            test = self.test_true(held, at)
        else:
            goes_on = ast.UnaryOp(NOT, self.call_helper(ends, [held.again], at), **at)
            test = py.any_of([py.compare_is(held.first, True, at), goes_on], at)
            is_true = py.compare_is(held.again, True, at)
            conversion = py.any_of([is_true, conversion], at)
        tests.append(test)
        conversions.append(conversion)

    # -- Functions ----------------------------------------------------------------------------------------------------

    def compile_lambda(self, parameters: tuple[str, ...], body: n.Expr, at: Position) -> Code:
        """Compile a lambda: missing arguments are null, surplus ones are ignored, a repeated name is the last one."""
        self.has_closures = True
        locals_ = [self.new_name("p") for _ in parameters]
        arguments = ast.arguments(
            [],
            [py.parameter(local, at) for local in locals_],
            py.parameter(self.new_name("surplus"), at),
            [],
            [],
            None,
            [py.constant(None, at) for _ in locals_],
        )
        with self.lambda_body(dict(zip(parameters, locals_, strict=True))):
            return ast.Lambda(arguments, self.compile(body), **at)

    def compile_call(self, node: n.Call, at: Position) -> Code:
        if problem := call_problem(node, self.library):
            at = self.source_map[problem_span(node, self.library)]
            return self.call_helper(runtime.raise_call_error, [py.constant(problem, at)], at)
        function = self.library[node.name]
        used = node.arguments[: function.most]
        start = self.start_steps(at) if self.scope.steps is None and is_nested_loop(used) else None
        is_too_deep = self.scope.loops >= MAX_NESTED_COMPREHENSIONS
        if self.fast and function.comprehension and not is_too_deep and self.fits_comprehension(used):
            code = self.compile_comprehension(function, used, at)
        else:
            code = self.compile_plain_call(function, used, at)
        if start is not None:
            self.scope.steps = None
            code = ast.Subscript(ast.Tuple([start, code], LOAD, **at), py.constant(1, at), LOAD, **at)
        if surplus := [self.compile(argument) for argument in node.arguments[len(used) :]]:
            return ast.Subscript(ast.Tuple([code, *surplus], LOAD, **at), py.constant(0, at), LOAD, **at)
        return code

    def start_steps(self, at: Position) -> Code:
        """Count the elements of the loops that are compiled next: `steps := Steps()`"""
        self.scope.steps = self.new_name("steps")
        return py.assign(self.scope.steps, self.call_helper(Steps, [], at), at)

    # -- Comprehensions -----------------------------------------------------------------------------------------------

    def fits_comprehension(self, arguments: tuple[n.Expr, ...]) -> bool:
        """Return True for a list and a lambda that creates no closures.

        The variable of a comprehension is shared by all its rounds, so a closure would see its last value.
        """
        if len(arguments) != 2 or not isinstance(arguments[1], n.Lambda) or len(arguments[1].parameters) > 1:
            return False
        return not self.has_closure(arguments[1].body)

    def has_closure(self, node: n.Expr) -> bool:
        """Return True if the code of a node creates a closure."""
        if isinstance(node, n.Lambda):
            return True
        if isinstance(node, n.Call) and node.name in self.library:
            function = self.library[node.name]
            if function.comprehension and self.fits_comprehension(node.arguments[: function.most]):
                return self.has_closure(node.arguments[0])
        return any(self.has_closure(child) for child in n.children(node))

    def compile_comprehension(self, function: Function, arguments: tuple[n.Expr, ...], at: Position) -> Code:
        """Compile MAP or FILTER to `[body for p in items]`, or null for null.

        A FILTER that provides the items of a MAP becomes the condition of the comprehension.
        """
        source, mapper = arguments
        assert isinstance(mapper, n.Lambda)
        variable = self.new_name("p")
        condition: n.Lambda | None = None
        if function.comprehension == "filter":
            condition, mapper = mapper, n.Lambda(("_",), n.Variable("_", span=mapper.span), span=mapper.span)
        elif (inner := self.match_filter(source)) is not None:
            function, source, condition = inner
        items = self.hold_items(function, source, at)
        conditions = [] if condition is None else [self.compile_filter(condition, variable, at)]
        with self.loop_body(dict.fromkeys(mapper.parameters, variable)):
            body = self.compile(mapper.body)
        loop = ast.comprehension(ast.Name(variable, STORE, **at), items.again, conditions, 0)
        exists = py.compare_is(items.first, None, at, negated=True)
        return py.conditional(exists, ast.ListComp(body, [loop], **at), py.constant(None, at), at)

    def hold_items(self, function: Function, source: n.Expr, at: Position) -> HeldValue:
        """Hold the items of a list, set or string as a list; null stays null."""
        here = self.source_map[source.span]
        held = self.hold_borrowed(source)
        if isinstance(source, n.ListLiteral):
            return self.hold_counted(held, at)
        to_items = self.bind_global(partial(runtime.items, function), f"items_{function.name}", here)
        converted = py.call(to_items, [held.again], here)
        code = py.conditional(self.test_class(held.first, list, at), held.again, converted, at)
        return self.hold_counted(self.hold_code(code, at), at)

    def hold_counted(self, items: HeldValue, at: Position) -> HeldValue:
        """Hold items, which are counted in the lambda of another loop."""
        counted = self.count_elements(items.first, at)
        return items if counted is items.first else self.hold_code(counted, at)

    def match_filter(self, node: n.Expr) -> tuple[Function, n.Expr, n.Lambda] | None:
        """Return function, source and condition of a FILTER that fits into a comprehension; None for other nodes."""
        if not isinstance(node, n.Call) or (function := self.library.get(node.name)) is None:
            return None
        if function.comprehension != "filter" or not self.fits_comprehension(node.arguments):
            return None
        source, condition = node.arguments
        return (function, source, condition) if isinstance(condition, n.Lambda) else None

    def compile_filter(self, condition: n.Lambda, variable: str, at: Position) -> Code:
        """Compile the condition of FILTER: only true passes, no value that converts to true."""
        with self.loop_body(dict.fromkeys(condition.parameters, variable)):
            code = self.compile(condition.body)
        if static_class(condition.body, self.library) is bool:
            return code
        return self.test_true(self.hold_code(code, at), at)


def _try(statement: ast.stmt, handler: ast.stmt, at: Position) -> ast.Try:
    """`try: statement except Exception as error: handler`"""
    caught = ast.ExceptHandler(py.load("Exception", at), "error", [handler], **at)
    return ast.Try([statement], [caught], [], [], **at)
