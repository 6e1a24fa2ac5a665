"""What we answer to a case, and whether that is what the original answered."""

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
    """True, whatever is given; the original was asked with it, too."""
    return True


@stellar("THROW")
def throw(*_values: object) -> object:
    """An error; it shows what is evaluated and what is not."""
    raise ValueError("thrown")


LIBRARY = Library.of(SHELL_LIBRARY, ret_true, throw)


class NoNetwork:
    """A transport that reaches nobody."""

    def get(self, url: str) -> NoReturn:
        raise ModelUnavailable(f"nothing is reached from here, {url} neither")

    def close(self) -> None:
        pass


CONTEXT = Context({ModelClient: ModelClient(MemoryRegistry(), transport=NoNetwork()), Registry: MemoryRegistry()})

# Exceptions that a user should never see; one of these as a cause is our bug, whatever the original answered
LEAKS = (TypeError, AttributeError, KeyError, IndexError, NameError, ArithmeticError, RecursionError, AssertionError)


@dataclass(frozen=True)
class Outcome:
    """What came of a case: a value, or an error."""

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
        """The function that is not there, if that is what is wrong."""
        message = self.error.message if self.error else ""
        return message.removeprefix("unknown function ") if message.startswith("unknown function ") else None

    def __str__(self) -> str:
        return repr(self.value) if self.error is None else f"{type(self.error).__name__}: {self.error.message}"


def attempt(answer: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(value=answer())
    except StellarError as error:
        return Outcome(error=error)


def outcome(case: Case, *, fast: bool = True) -> Outcome:
    """What we answer to a case."""
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
    """Whether `compile` says of a case, unless told otherwise, that a function does not exist."""
    return isinstance(attempt(lambda: Expression(case.text, LIBRARY)).error, ResolutionError)


Close = Callable[[float, float], bool]


def agrees(ours: Outcome, case: Case, *, exact: bool = False) -> bool:
    """Whether an outcome is what the original answered.

    If the original refused the text as such, we must, too; an error at run time does not do.

    exact: whether binary32 numbers must be those; else they need agree only to their precision
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


# The last digits of a sine, or of the sum of many numbers, depend on the order of the operations
_INEXACT = re.compile(r"\b(?:SIN|COS|TAN|EXP|LN|LOG2|LOG10|GEOHASH_\w+|STATS_\w+|IT_ENTROPY|OUTLIER_\w+)\(")
# How many different members a HyperLogLog has seen is an estimate
_ESTIMATES = re.compile(r"\bHLLP_CARDINALITY\(")


def alike(ours: Any, theirs: Any, close: Close | None = None) -> bool:
    """Whether two values are the same: a bool is no int, an int no float, and maps and sets have no order.

    theirs: with Pairs for a map, Members for a set and Opaque for any object
    close: whether two floats are the same; by default, bit by bit
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
    raise TypeError(f"no answer is a {type(theirs).__name__}")


def is_object(value: object) -> bool:
    """Whether it is neither null nor a value that can be written in Stellar: a lambda, statistics, a sketch."""
    return value is not None and not isinstance(value, _PLAIN_CLASSES)


@dataclass(frozen=True)
class AnyDigits:
    """A digest of which only the length is known, and the charset that its digits were read in."""

    length: int
    charset: str

    def could_be(self, text: str) -> bool:
        digits = text.encode(self.charset, "replace")
        return len(digits) == self.length and re.fullmatch(b"[0-9a-f]+", digits) is not None


_PLAIN_CLASSES = (bool, int, float, str, bytes, list, Mapping, set, frozenset)


def _paired(ours: Iterable[Any], theirs: list[Any], close: Close) -> bool:
    """Whether each of ours has one of theirs, in any order."""
    left = list(theirs)
    for mine in ours:
        twin = next((index for index, other in enumerate(left) if alike(mine, other, close)), None)
        if twin is None:
            return False
        del left[twin]
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
    """The nearest binary32 number."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def equivalent(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes of ours are the same; two lambdas are, and so are two objects of one class."""
    if one.error is not None or other.error is not None:
        return one.error is not None and other.error is not None and one.malformed == other.malformed
    return _same(one.value, other.value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return len(one) == len(other) and all(map(_same, one, other)) and all(map(_same, one.values(), other.values()))
    return one.__class__ is other.__class__ if is_object(one) else runtime.same(one, other)
