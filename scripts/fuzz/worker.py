"""Evaluation of inputs, and the faults that are looked for."""

from __future__ import annotations

import json
import resource
import time
import traceback
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scripts.fuzz.inputs import Source, generate_record, generate_source
from stellar.functions import LIBRARY
from stellar.language.context import NOTHING
from stellar.language.conversions import to_string
from stellar.language.errors import EvaluationError, StellarError
from stellar.language.expression import Expression
from stellar.language.limits import FEW_CHARACTERS, FEW_ITEMS, EvaluationLimits
from stellar.language.tagged_json import to_json
from stellar.util.abbreviate import abbreviate_value

SECONDS = 1.0
MEBIBYTES = 256
# The time limit of regular expressions is a second of its own
_TIMED_OUT = "more than 1 s for this string"
# Causes of errors that are sentences for the author of a rule; all others are Python's, and mistakes of a function
_EXPLAINED = (ValueError, LookupError, OSError, RecursionError)
_LEAKS = (KeyError, IndexError, UnicodeError)
# Running time is not limited, so loops within loops must not build values of any size allowed
_LIMITS_OF_LOOPS = EvaluationLimits(items=FEW_ITEMS, characters=FEW_CHARACTERS)


@dataclass(frozen=True)
class Fault:
    """An input that violates a promise, with what is needed to repeat it."""

    seed: int
    number: int
    kind: str
    problem: str
    source: str
    record: str
    details: str = ""

    def write(self, directory: Path) -> Path:
        """Write the fault to a file of its own."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.seed}-{self.number}.json"
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        return path


@dataclass
class Outcome:
    """The result of an input: `value`, `error` or `rejected`, and its problem, if any."""

    result: str
    problem: str | None = None
    details: str = ""
    value: Any = None


# So many inputs share an expression, with records of their own, as compiling takes longer than most evaluations
SHARED = 4


def find_source(seed: int, number: int) -> Source:
    """Return the expression of an input: that of its group, or one of its own if that of the group is not valid."""
    source = generate_source(seed, number - number % SHARED)
    return source if compile_source(source, fast=True)[0] is not None else generate_source(seed, number)


def run_input(seed: int, number: int) -> tuple[str, Fault | None]:
    """Evaluate an input; return its result and its fault, if any."""
    source = find_source(seed, number)
    memory, begin = measure_memory(), time.process_time()
    expression, outcome = compile_source(source, fast=number % (2 * SHARED) >= SHARED)
    record: dict[str, Any] = {}
    if expression is not None:
        record = generate_record(seed, number, source, expression.variables)
        begin = time.process_time()
        outcome = evaluate(expression, record)
    seconds = time.process_time() - begin
    if outcome.result == "value":
        outcome = _show(outcome.value)
    growth = measure_memory() - memory
    problem = outcome.problem
    if problem is None and seconds > SECONDS + (_TIMED_OUT in outcome.details):
        problem = f"took {seconds:.1f} s of processor time"
    if problem is None and growth > MEBIBYTES:
        problem = f"memory grew by {growth} MiB"
    if problem is None:
        return outcome.result, None
    return outcome.result, Fault(seed, number, source.kind, problem, source.text, _describe(record), outcome.details)


@lru_cache(2)
def compile_source(source: Source, *, fast: bool) -> tuple[Expression | None, Outcome]:
    """Return the expression of a source, and the outcome if it is invalid."""
    try:
        limits = None if source.kind == "call" else _LIMITS_OF_LOOPS
        return Expression(source.text, LIBRARY, limits=limits, fast=fast), Outcome("value")
    except StellarError as error:
        return None, _check_error("rejected", error, source.text)
    except BaseException as error:  # noqa: BLE001 - any other exception is what the fuzzer looks for
        return None, describe_leak("rejected", error)


def evaluate(expression: Expression, record: dict[str, Any]) -> Outcome:
    """Evaluate an expression, and show its error."""
    try:
        return Outcome("value", value=expression(record, NOTHING))
    except EvaluationError as error:
        return _check_error("error", error, expression.source)
    except BaseException as error:  # noqa: BLE001
        return describe_leak("error", error)


def _check_error(result: str, error: StellarError, source: str) -> Outcome:
    cause = error.__cause__
    if cause is not None and (not isinstance(cause, _EXPLAINED) or isinstance(cause, _LEAKS)):
        return describe_leak(result, cause)
    text = str(error)
    if not text.startswith(error.message) or len(text) > 8000:
        return Outcome(result, f"an error of {len(text)} characters", text[:2000])
    if not 0 <= error.span.start <= error.span.end <= len(source):
        return Outcome(result, f"the span {error.span} is not within the source", text)
    return Outcome(result, details=text)


def _show(value: Any) -> Outcome:
    """Write a value in each form that users see; a value may be too large for it."""
    try:
        abbreviate_value(value)
        for write in (to_string, to_json):
            try:
                write(value)
            except ValueError as error:
                str(error)
    except BaseException as error:  # noqa: BLE001
        return describe_leak("value", error)
    return Outcome("value")


def describe_leak(result: str, error: BaseException) -> Outcome:
    """Return the outcome of an exception that is not one of ours."""
    message = abbreviate_value(str(error), 200)
    return Outcome(result, f"{type(error).__name__}: {message}", "".join(traceback.format_exception(error))[-6000:])


def measure_memory() -> int:
    """Return the largest size of this process so far, in mebibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _describe(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {abbreviate_value(value, 120)}" for name, value in record.items())
