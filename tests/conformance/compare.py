"""Evaluation of cases, and comparison of the results with Metron's."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from cases import Case, Members, Opaque, Pairs

from stellar.functions import SHELL_LIBRARY
from stellar.language import runtime
from stellar.language.context import Context
from stellar.language.errors import ParseError, ResolutionError, StellarError
from stellar.language.expression import Expression
from stellar.language.library import Library, stellar
from stellar.maas import MemoryRegistry, ModelClient, ModelUnavailable, Registry


@stellar("RET_TRUE")
def ret_true(*_values: object) -> bool:
    """Return true. Metron's results were recorded with the same function."""
    return True


@stellar("THROW")
def throw(*_values: object) -> object:
    """Raise an error, to show which operands are evaluated."""
    raise ValueError("thrown")


LIBRARY = Library.of(SHELL_LIBRARY, ret_true, throw)


class NoNetwork:
    """A transport for which every instance is unavailable."""

    def get(self, url: str) -> NoReturn:
        raise ModelUnavailable(f"{url} can't be reached in this test")

    def close(self) -> None:
        pass


CONTEXT = Context({ModelClient: ModelClient(MemoryRegistry(), transport=NoNetwork()), Registry: MemoryRegistry()})

# Exceptions that a user must never see: as a cause they are bugs, whatever the result of Metron is
LEAKS = (TypeError, AttributeError, KeyError, IndexError, NameError, ArithmeticError, RecursionError, AssertionError)


@dataclass(frozen=True)
class Outcome:
    """The result of a case: a value or an error."""

    value: Any = None
    error: StellarError | None = None

    @property
    def malformed(self) -> bool:
        return isinstance(self.error, ParseError)

    @property
    def leaked(self) -> bool:
        return self.error is not None and isinstance(self.error.__cause__, LEAKS)

    @property
    def unknown_function(self) -> str | None:
        """The name of the unknown function, if that is the error."""
        message = self.error.message if self.error else ""
        return message.removeprefix("unknown function ") if message.startswith("unknown function ") else None

    def __str__(self) -> str:
        return repr(self.value) if self.error is None else f"{type(self.error).__name__}: {self.error.message}"


def attempt(answer: Callable[[], Any]) -> Outcome:
    """Call a function and return its value or its StellarError."""
    try:
        return Outcome(value=answer())
    except StellarError as error:
        return Outcome(error=error)


def outcome(case: Case, *, fast: bool = True) -> Outcome:
    """Evaluate a case."""
    return attempt(lambda: _MODES[case.mode](case, fast))


def _evaluate(case: Case, fast: bool) -> Any:
    expression = Expression(
        case.text, LIBRARY, predicate=case.mode == "predicate", unknown_functions="when_reached", fast=fast
    )
    return expression.evaluate(case.record, CONTEXT, missing="error" if case.strict else "null")


def _validate(case: Case, fast: bool) -> bool:
    Expression(case.text, LIBRARY, fast=fast)
    return True


def _variables(case: Case, fast: bool) -> set[str]:
    return set(Expression(case.text, LIBRARY, unknown_functions="when_reached", fast=fast).variables)


_MODES: dict[str, Callable[[Case, bool], Any]] = {
    "parse": _evaluate,
    "predicate": _evaluate,
    "validate": _validate,
    "variables": _variables,
}


def refused_at_once(case: Case) -> bool:
    """Return True if compiling a case with default options reports an unknown function."""
    return isinstance(attempt(lambda: Expression(case.text, LIBRARY)).error, ResolutionError)


Close = Callable[[float, float], bool]


def agrees(ours: Outcome, case: Case, *, exact: bool = False) -> bool:
    """Return True if an outcome equals the result of Metron.

    A syntax error in Metron must be a syntax error, not an error at run time.

    exact: compare binary32 numbers exactly, instead of to their precision
    """
    answer = case.answer
    if answer.failed:
        return ours.malformed if case.malformed else ours.error is not None
    if ours.error is None and isinstance(answer.expected, int) and _ESTIMATES.match(case.text):
        return isinstance(ours.value, int) and math.isclose(ours.value, answer.expected, rel_tol=0.1)
    return ours.error is None and alike(ours.value, answer.expected, _closeness(case, exact))


def _closeness(case: Case, exact: bool) -> Close:
    if case.answer.single_precision:
        return _same_single if exact else _close
    return _within_digits if _INEXACT.search(case.text) else _identical


# The last digits of these results depend on the order of the operations
_INEXACT = re.compile(r"\b(?:SIN|COS|TAN|EXP|LN|LOG2|LOG10|GEOHASH_\w+|STATS_\w+|IT_ENTROPY|OUTLIER_\w+)\(")
# The cardinality of a HyperLogLog is an estimate
_ESTIMATES = re.compile(r"\bHLLP_CARDINALITY\(")


def alike(ours: Any, theirs: Any, close: Close | None = None) -> bool:
    """Return True if two values are the same: bool, int and float differ, and maps and sets have no order.

    theirs: expected value, with Pairs for a map, Members for a set and Opaque for any object
    close: comparison of floats; by default bit by bit
    """
    close = close or _identical
    match theirs:
        case Opaque():
            return is_object(ours)
        case None | bool():
            return ours is theirs
        case float():
            return isinstance(ours, float) and close(float(ours), theirs)
        case int():
            return isinstance(ours, int) and not isinstance(ours, bool) and int(ours) == theirs
        case str():
            if isinstance(ours, AnyDigits):
                return ours.could_be(theirs)
            return isinstance(ours, str) and str.__eq__(ours, theirs)
        case bytes():
            return isinstance(ours, bytes) and ours == theirs
        case Pairs():
            return isinstance(ours, Mapping) and _paired(map(list, ours.items()), theirs, close)
        case Members():
            return isinstance(ours, set | frozenset) and _paired(ours, theirs, close)
        case list():
            return (
                isinstance(ours, list)
                and len(ours) == len(theirs)
                and all(alike(mine, other, close) for mine, other in zip(ours, theirs, strict=True))
            )
    raise TypeError(f"unexpected type of a result: {type(theirs).__name__}")


def is_object(value: object) -> bool:
    """Return True for values without a literal, such as a lambda, statistics or a sketch."""
    return value is not None and not isinstance(value, _PLAIN_CLASSES)


@dataclass(frozen=True)
class AnyDigits:
    """A digest of unknown digits.

    length: number of digits
    charset: charset in which Metron decoded the digits
    """

    length: int
    charset: str

    def could_be(self, text: str) -> bool:
        """Return True if a string may be this digest.

        text: the string
        """
        digits = text.encode(self.charset, "replace")
        return len(digits) == self.length and re.fullmatch(b"[0-9a-f]+", digits) is not None


_PLAIN_CLASSES = (bool, int, float, str, bytes, list, Mapping, set, frozenset)


def _paired(ours: Iterable[Any], theirs: list[Any], close: Close) -> bool:
    """Return True if the items can be paired, in any order."""
    left = list(theirs)
    for mine in ours:
        found = next((index for index, other in enumerate(left) if alike(mine, other, close)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _identical(ours: float, theirs: float) -> bool:
    return struct.pack("d", ours) == struct.pack("d", theirs) or (math.isnan(ours) and math.isnan(theirs))


def _within_digits(ours: float, theirs: float) -> bool:
    return _identical(ours, theirs) or math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-15)


def _close(ours: float, theirs: float) -> bool:
    return _identical(ours, theirs) or (math.isfinite(theirs) and math.isclose(ours, theirs, rel_tol=2.0**-22))


def _same_single(ours: float, theirs: float) -> bool:
    return _identical(rounded(ours), rounded(theirs))


def rounded(value: float) -> float:
    """Return the nearest binary32 number."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def equivalent(one: Outcome, other: Outcome) -> bool:
    """Return True if two of our outcomes are the same; two lambdas are, and two objects of one class."""
    if one.error is not None or other.error is not None:
        return one.error is not None and other.error is not None and one.malformed == other.malformed
    return _same(one.value, other.value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return len(one) == len(other) and all(map(_same, one, other)) and all(map(_same, one.values(), other.values()))
    return one.__class__ is other.__class__ if is_object(one) else runtime.same(one, other)
