"""Evaluation of many records concurrently, with the results in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Mapping
from typing import Any

from stellar.language.context import NOTHING, Context
from stellar.language.expression import Expression, Failures, call_or_return_error, check_failures, default_library
from stellar.language.library import Library
from stellar.util.windowed import IN_FLIGHT, check_in_flight, in_order


def evaluate_many(
    expression: Expression | str,
    records: Iterable[Mapping[str, Any]],
    context: Context = NOTHING,
    *,
    in_flight: int = IN_FLIGHT,
    failures: Failures = "raise",
    library: Library | None = None,
) -> Generator[Any, None, None]:
    """Evaluate an expression for many records concurrently and yield the values in the order of the records.

    This is for expressions that wait, such as for models. For others `in_flight=1` is fastest, which starts no thread.

    expression: the expression, or its source
    records: any iterable; it is read by the caller's thread, at most `in_flight` records ahead of the results
    in_flight: the number of concurrent evaluations; 1 or more. They share one thread if the expression waits for
        models only, and use one thread each if it calls other functions that may block
    failures: "raise" the EvaluationError of a record in its position, which ends the stream, or "yield" it there
        instead of a value
    library: the functions that a source may call; defaults to the default library

    If reading the records fails, the results for those already read come first, then the exception. If the stream is
    closed early, records that have not been started are dropped and running evaluations are waited for.

    Raises ParseError or ResolutionError for a source and ValueError for an invalid option, before any record is read.
    """
    expression = _expression(expression, library)
    if check_in_flight(in_flight) == 1:
        return expression.map(records, context, failures=failures)
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
    """Evaluate an expression for many records concurrently and yield the values in order, for `async for`.

    The arguments are those of `evaluate_many`. The records may also come from an asynchronous iterable, which is read
    at most `in_flight` records ahead. Model calls wait in fibers of one thread, which all streams share. If the stream
    is closed early, or its task is cancelled, running evaluations are cancelled: use `contextlib.aclosing` if you
    leave the loop early.

    Raises ParseError or ResolutionError for a source and ValueError for an invalid option, before any record is read.
    """
    from stellar.language.asynchronous import in_order_async  # loads asyncio, which is slow

    expression = _expression(expression, library)
    work = _evaluation(expression, context, failures)
    return in_order_async(work, records, check_in_flight(in_flight), expression.waits)


def _expression(expression: Expression | str, library: Library | None) -> Expression:
    if isinstance(expression, str):
        return Expression(expression, default_library() if library is None else library)
    return expression


def _evaluation(expression: Expression, context: Context, failures: Failures) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that evaluates a record, and returns errors if `failures` is "yield"."""
    check_failures(failures)

    def evaluate(record: Mapping[str, Any]) -> Any:
        return expression(record, context)

    def evaluate_or_return_error(record: Mapping[str, Any]) -> Any:
        return call_or_return_error(expression, record, context)

    return evaluate if failures == "raise" else evaluate_or_return_error
