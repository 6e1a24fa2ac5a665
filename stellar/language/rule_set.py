"""Many predicates, evaluated together."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from stellar.language.compiler.fuse import MOST_RULES, FusedRules, RuleSource, fuse, is_shallow
from stellar.language.compiler.rule_index import build_indexes
from stellar.language.compiler.source_map import RULES_FILENAME
from stellar.language.context import Context
from stellar.language.errors import StellarError
from stellar.language.expression import Expression

# Evaluations of single expressions until they are fused, which takes as long as some hundred evaluations
EVALUATIONS_BEFORE_FUSING = 100


class RuleSet:
    """The conditions of rules as one function, with look-ups instead of tests such as `port == 22` where possible.

        rules = RuleSet([stellar.compile("port == 22", predicate=True), stellar.compile("bytes > 10", predicate=True)])
        rules.find_matches({"port": 22, "bytes": None}, context)  # ([0], {})

    Values and errors are those of the single expressions, which `can_join` accepts.
    """

    def __init__(self, expressions: Iterable[Expression]) -> None:
        """Index the expressions.

        Raises ValueError for expressions of several libraries, or with different limits.
        """
        self.expressions = tuple(expressions)
        if len({(expression.library, expression.limits) for expression in self.expressions}) > 1:
            raise ValueError("expected expressions of one library, with the same limits")
        self._indexes = build_indexes(enumerate(expression.tree for expression in self.expressions))
        looked_up = {number for index in self._indexes for number in index.numbers}
        self._others = [number for number in range(len(self.expressions)) if number not in looked_up]
        self._fused: list[FusedRules] | None = None
        self._evaluations = 0

    def find_matches(self, record: dict[str, Any], context: Context) -> tuple[list[int], dict[int, StellarError]]:
        """Return the numbers of the rules that are true for a record, in order, and the errors of those that fail."""
        matched: list[int] = []
        failed: dict[int, StellarError] = {}
        for index in self._indexes:
            true, remaining = index.find(record)
            matched += true
            if remaining:
                self._evaluate(remaining, record, context, matched, failed)
        if self._fused is None:
            self._evaluate(self._others, record, context, matched, failed)
            self._evaluations = count = self._evaluations + 1
            if count == EVALUATIONS_BEFORE_FUSING:
                with suppress(RecursionError):  # the caller has used most of the stack; single evaluations need less
                    self.fuse()
        else:
            raised: list[tuple[int, Exception]] = []
            for evaluate in self._fused:
                evaluate(record, context, matched.append, raised.append)
            for number, error in raised:
                failed[number] = self._convert(number, error, record)
        matched.sort()
        return matched, failed

    def _evaluate(
        self,
        numbers: Iterable[int],
        record: dict[str, Any],
        context: Context,
        matched: list[int],
        failed: dict[int, StellarError],
    ) -> None:
        """Evaluate single expressions."""
        for number in numbers:
            try:
                if self.expressions[number](record, context):
                    matched.append(number)
            except StellarError as error:
                failed[number] = error.with_traceback(None)  # which refers to this frame, and so to the error

    def fuse(self) -> None:
        """Compile the rules that are not looked up to functions of many rules each."""
        rules = [
            RuleSource(number, self.expressions[number].source, self.expressions[number].tree)
            for number in self._others
        ]
        batches = [rules[start : start + MOST_RULES] for start in range(0, len(rules), MOST_RULES)]
        library, limits = self.expressions[0].library, self.expressions[0].limits
        fused = [fuse(batch, library) for batch in batches]
        self._fused = fused if limits is None else [limits.apply(function) for function in fused]

    def _convert(self, number: int, error: Exception, record: dict[str, Any]) -> StellarError:
        """Return the error that the single expression raises."""
        failure = self.expressions[number].to_error_in(RULES_FILENAME)(error, record)
        traceback = error.__traceback__
        assert traceback is not None  # it was raised
        failure.__cause__ = error.with_traceback(traceback.tb_next)  # the first frame refers to the error
        return failure


def can_join(expression: Expression) -> bool:
    """Return True for a predicate that can be evaluated in any order with others, and is not too deep."""
    return type(expression) is Expression and expression.predicate and expression.pure and is_shallow(expression.tree)
