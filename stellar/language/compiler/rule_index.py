"""Index of rules by the values of a variable that they test, such as `port == 22` and `user in ['a', 'b']`.

A rule that is such a test, or begins with one as in `port == 22 and …`, need not be evaluated for other values. A value
of a class of Stellar's own, for which a test cannot fail, is looked up by its class and value: the class distinguishes
1, 1.0 and true where the operators do. For objects of other classes nothing is known, and all rules are evaluated.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stellar.language import nodes as n
from stellar.language.compiler.analysis import ValueTest, find_test
from stellar.language.python_values import OWN

# Of fewer rules on a variable, evaluation is faster than a look-up
FEWEST_RULES = 4
# A rule that remains to be evaluated costs as much as this many that are fused
COST_OF_EVALUATION = 8


class IndexedRule(NamedTuple):
    """A rule in an index.

    number: its number in the rule set
    keys: the values for which its test is true
    is_complete: True if the test is the whole rule; otherwise the rule remains to be evaluated
    before: variables of tests that are evaluated before it
    """

    number: int
    test: ValueTest
    is_complete: bool
    before: frozenset[str]


class Matches(NamedTuple):
    """The rules for a value: those that are true, and those that remain to be evaluated."""

    true: tuple[int, ...]
    open: tuple[int, ...]


NO_MATCHES = Matches((), ())


class RuleIndex:
    """The rules that test one variable.

    numbers: their numbers in the rule set
    """

    __slots__ = ("_before", "_by_class", "numbers", "variable")

    def __init__(self, rules: Sequence[IndexedRule]) -> None:
        self.variable = rules[0].test.variable
        self.numbers = tuple(rule.number for rule in rules)
        self._before = tuple(sorted(frozenset().union(*(rule.before for rule in rules))))
        entries: dict[type, dict[Any, tuple[list[int], list[int]]]] = defaultdict(lambda: defaultdict(lambda: ([], [])))
        for rule in rules:
            for cls, value in rule.test.keys:
                entries[cls][value][not rule.is_complete].append(rule.number)
        self._by_class = {
            cls: {value: Matches(tuple(true), tuple(rest)) for value, (true, rest) in values.items()}
            for cls, values in entries.items()
        }

    def find(self, record: Mapping[str, Any]) -> Matches:
        """Return the rules for a record: those that are true, and those that remain to be evaluated."""
        value = record.get(self.variable)
        for name in self._before:
            if record.get(name).__class__ not in OWN:
                return Matches((), self.numbers)
        if (matches := self._by_class.get(value.__class__)) is not None:
            return matches.get(value, NO_MATCHES)
        return NO_MATCHES if value.__class__ in OWN else Matches((), self.numbers)


def build_indexes(rules: Iterable[tuple[int, n.Expr]]) -> list[RuleIndex]:
    """Return indexes of those rules for which a look-up is faster than evaluation, each rule in one of them."""
    tests = {number: found for number, tree in rules if (found := _list_tests(number, tree))}
    variables = Counter(test.test.variable for found in tests.values() for test in found)
    groups: dict[str, list[IndexedRule]] = defaultdict(list)
    for found in tests.values():
        best = max(found, key=lambda rule: variables[rule.test.variable])
        groups[best.test.variable].append(best)
    selected = (_select(group) for group in groups.values())
    return [RuleIndex(group) for group in selected if len(group) >= FEWEST_RULES]


def _select(group: list[IndexedRule]) -> list[IndexedRule]:
    """Return the rules of a group without those that many records would leave to be evaluated."""
    remaining = Counter(key for rule in group if not rule.is_complete for key in rule.test.keys)
    most = max(1, len(group) // COST_OF_EVALUATION)
    return [rule for rule in group if rule.is_complete or all(remaining[key] <= most for key in rule.test.keys)]


def _list_tests(number: int, tree: n.Expr) -> list[IndexedRule]:
    """Return the tests with which a rule begins: the only one, or the first operands of a conjunction."""
    if (test := find_test(tree)) is not None:
        return [IndexedRule(number, test, True, frozenset())]
    tests: list[IndexedRule] = []
    before: frozenset[str] = frozenset()
    for operand in tree.operands if isinstance(tree, n.Conjunction) else ():
        if (test := find_test(operand)) is not None:
            tests.append(IndexedRule(number, test, False, before))
            before |= {test.variable}
        elif not isinstance(operand, n.Exists):  # it may fail, so it must be evaluated before what follows
            break
    return tests
