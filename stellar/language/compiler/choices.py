"""Code of `if`, `? :` and `match`: a chain of tests, or a look-up if it begins with tests of one variable for literals.

    match { port == 22 => 'ssh', port in [80, 443] => 'web', …, default => 'other' }

becomes, in effect, with a table of the results

    table.get(port, 'other') if port.__class__ is int or port is None else <the chain>

The table has the values of the class that the first test compares with; the chain is exact for all others. If a result
is not a constant, the table has the numbers of the clauses, and a search tree of comparisons selects the code.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from types import NoneType
from typing import Any

from stellar.language import nodes as n
from stellar.language import runtime
from stellar.language.compiler import pyast as py
from stellar.language.compiler.analysis import ValueTest, find_test, may_be_lambda
from stellar.language.compiler.builder import CodeBuilder
from stellar.language.compiler.pyast import LESS, Code, HeldValue, Position

# For fewer clauses a chain of tests is as fast as a look-up
FEWEST_CLAUSES = 4

Clause = tuple[n.Expr, n.Expr, Position]
"""A condition, the value if it holds, and the position of the choice."""

CompileValue = Callable[[n.Expr], Code]


class ChoiceBuilder(CodeBuilder):
    """The part of the compiler that compiles choices.

    fast: write operators inline
    """

    fast: bool

    @abstractmethod
    def compile_condition(self, node: n.Expr) -> Code:
        """Compile a condition: true, false, or an error for a value that is neither."""

    @abstractmethod
    def compile_variable(self, name: str, at: Position) -> Code:
        """Compile a read of a variable."""

    def split_conditional(self, node: n.Expr) -> tuple[list[Clause], n.Expr]:
        """Split `c ? a : d ? b : …` into its clauses and the default, so that a long chain needs no recursion."""
        clauses: list[Clause] = []
        while isinstance(node, n.Conditional):
            clauses.append((node.condition, node.then, self.source_map[node.span]))
            node = node.otherwise
        return clauses, node

    def compile_action(self, node: n.Expr) -> Code:
        """Compile the action of a match clause; a lambda is called without arguments."""
        if not may_be_lambda(node, self.library):
            return self.compile(node)
        return self.call_helper(runtime.call_if_lambda, [self.compile(node)], self.source_map[node.span])

    def compile_choice(
        self, clauses: list[Clause], default: n.Expr, compile_value: CompileValue, *, look_up: bool = True
    ) -> Code:
        """Compile the value of the first clause whose condition holds, or the default.

        look_up: use a table if the clauses begin with tests for literals
        """
        if look_up and self.fast and len(tests := _find_tests(clauses)) >= FEWEST_CLAUSES:
            return self._compile_table(clauses, tests, default, compile_value)
        choices: list[tuple[Code, Code, Position]] = []
        scope = self.scope
        for condition, value, at in clauses:  # without a method for a clause, which would nest deeper
            test = self.compile_condition(condition)
            if self.scope is scope:  # the locals of the first condition are known after the choice, others are not
                self.scope = scope.copy()
            with self.branch():
                choices.append((test, compile_value(value), at))
        code = py.chain_conditionals(choices, compile_value(default))
        self.scope = scope
        return code

    def _compile_table(
        self, clauses: list[Clause], tests: list[ValueTest], default: n.Expr, compile_value: CompileValue
    ) -> Code:
        """Compile a choice that begins with tests of a variable."""
        tested, others = clauses[: len(tests)], clauses[len(tests) :]
        held = self._hold_variable(tested[0][0], tests[0].variable)
        results = [value for _, value, _ in tested if isinstance(value, n.Literal)]
        if not others and len(results) == len(tested) and isinstance(default, n.Literal):
            return self._look_up(held, tests, tested, results, default)
        numbers = [n.Literal(number) for number in range(len(tested))]
        at = tested[0][2]
        number = self.hold_code(self._look_up(held, tests, tested, numbers, n.Literal(len(tested))), at)
        codes: list[Code] = []
        for _, value, _ in tested:
            with self.branch():
                codes.append(compile_value(value))
        with self.branch():
            codes.append(self.compile_choice(others, default, compile_value, look_up=False))
        return _select(number, codes, 0, at)

    def _hold_variable(self, condition: n.Expr, name: str) -> HeldValue:
        """Read the variable of a test, at the position where the test reads it."""
        read = next(node for node in n.walk(condition) if isinstance(node, n.Variable))
        at = self.source_map[read.span]
        return self.hold_code(self.compile_variable(name, at), at)

    def _look_up(
        self,
        held: HeldValue,
        tests: list[ValueTest],
        clauses: list[Clause],
        results: list[n.Literal],
        default: n.Literal,
    ) -> Code:
        """Compile the result of the first clause whose test holds: by a table, or by the chain for other values."""
        at = clauses[0][2]
        numbers, cls = _number_values(tests)
        table = {value: results[number].value for value, number in numbers.items()}
        is_null = py.compare_is(held.again, None, at)
        guard = py.any_of([self.test_class(held.first, cls, at), is_null], at)
        look_up = self.bind_global(table.get, self.new_name("look_up"), at)
        found = py.call(look_up, [held.again, self.compile(default)], at)
        chain: list[Clause] = [(test, result, at) for (test, _, at), result in zip(clauses, results, strict=True)]
        with self.branch():
            otherwise = self.compile_choice(chain, default, self.compile, look_up=False)
        return py.conditional(guard, found, otherwise, at)


def _find_tests(clauses: list[Clause]) -> list[ValueTest]:
    """Return the tests with which clauses begin, as far as they test the same variable."""
    tests: list[ValueTest] = []
    for condition, _, _ in clauses:
        test = find_test(condition)
        if test is None or (tests and test.variable != tests[0].variable):
            break
        tests.append(test)
    return tests


def _number_values(tests: list[ValueTest]) -> tuple[dict[Any, int], type]:
    """Return the number of the first test that is true, by value, for null and values of one class, and this class."""
    counts = Counter(cls for test in tests for cls, _ in test.keys if cls is not NoneType)
    cls = max((str, int, float, bool), key=counts.__getitem__)
    numbers: dict[Any, int] = {}
    for number, test in enumerate(tests):
        for key, value in test.keys:
            if key in (cls, NoneType):
                numbers.setdefault(value, number)
    return numbers, cls


def _select(number: HeldValue, codes: list[Code], first: int, at: Position) -> Code:
    """Select one of several codes by its number, which begins at `first`, with a search tree."""
    if len(codes) == 1:
        return codes[0]
    half = len(codes) // 2
    middle = py.constant(first + half, at)
    test = py.compare(number.first, LESS, middle, at)
    again = HeldValue(number.again, number.again)
    return py.conditional(
        test, _select(again, codes[:half], first, at), _select(again, codes[half:], first + half, at), at
    )
