"""Many records at once: a window of them in the air, and their results in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Mapping
from typing import Any, Literal

from stellar.language.context import NOTHING, Context
from stellar.language.errors import EvaluationError
from stellar.language.expression import Expression, default_library
from stellar.language.library import Library
from stellar.util.windowed import IN_FLIGHT, _checked_in_flight, in_order

Failures = Literal["raise", "yield"]


def evaluate_many(
    expression: Expression | str,
    records: Iterable[Mapping[str, Any]],
    context: Context = NOTHING,
    *,
    in_flight: int = IN_FLIGHT,
    failures: Failures = "raise",
    library: Library | None = None,
) -> Generator[Any, None, None]:
    """The value for each of many records, in their order, with several records in the air at once.

    It is for expressions that wait, such as for models. What only computes is quickest with `in_flight` 1, which
    starts no thread.

    expression: the expression, or its text
    records: any iterable; it is read by the caller's thread, and at most `in_flight` records ahead of the results
    in_flight: how many records are worked on at once; 1 or more. All of them by one thread where nothing waits but for
        models, each by a thread of its own where the expression calls other functions that may wait
    failures: what a record that fails does: "raise" its EvaluationError at its place, which ends the stream, or
        "yield" the EvaluationError there in place of a value
    library: what a text may call, if not the default library

    When reading the records fails, the results of those read so far come first, then what was raised. When the
    stream is closed early, what has not begun is left, and what is under way is waited for.

    Raises ParseError or ResolutionError for a text, ValueError for options that can't be, both before any record is
    read.
    """
    expression = _expression(expression, library)
    return in_order(_evaluation(expression, context, failures), records, in_flight, blocks=expression.blocks)


def evaluate_many_async(
    expression: Expression | str,
    records: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
    context: Context = NOTHING,
    *,
    in_flight: int = IN_FLIGHT,
    failures: Failures = "raise",
    library: Library | None = None,
) -> AsyncGenerator[Any, None]:
    """Yield the value for each of many records, in their order, for `async for`.

    The arguments are those of `evaluate_many`. The records may also come from an asynchronous iterable, which is read
    at most `in_flight` records ahead. Models are waited for in fibers of one thread, which all streams share. When the
    stream is closed early, or its task is cancelled, what is under way is cancelled: use `contextlib.aclosing` if you
    leave the loop early.

    Raises ParseError or ResolutionError for a text, ValueError for invalid options, both before any record is read.
    """
    from stellar.language.asynchronous import in_order_async  # loads asyncio, which is slow

    expression = _expression(expression, library)
    work = _evaluation(expression, context, failures)
    return in_order_async(work, records, _checked_in_flight(in_flight), expression.waits)


def _expression(expression: Expression | str, library: Library | None) -> Expression:
    if isinstance(expression, str):
        return Expression(expression, default_library() if library is None else library)
    return expression


def _evaluation(expression: Expression, context: Context, failures: Failures) -> Callable[[Mapping[str, Any]], Any]:
    """What gives the value for a record, or its failure where that is asked for. Raises ValueError."""
    if failures not in ("raise", "yield"):
        raise ValueError(f"failures is 'raise' or 'yield', not {failures!r}")

    def value(record: Mapping[str, Any]) -> Any:
        return expression(record, context)

    def value_or_failure(record: Mapping[str, Any]) -> Any:
        try:
            return expression(record, context)
        except EvaluationError as error:
            return error

    return value if failures == "raise" else value_or_failure
