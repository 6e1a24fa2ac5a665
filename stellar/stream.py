"""Many records at once: a window of them in the air, and their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from stellar.context import NOTHING, Context
from stellar.errors import EvaluationError
from stellar.expression import Expression, default_library
from stellar.library import Library

Item = TypeVar("Item")
Result = TypeVar("Result")
Failures = Literal["raise", "yield"]

IN_FLIGHT = 64


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
    in_flight: how many records are worked on at once, each by a thread; 1 or more
    failures: what a record that fails does: "raise" its EvaluationError at its place, which ends the stream, or
        "yield" the EvaluationError there in place of a value
    library: what a text may call, if not the default library

    When reading the records fails, the results of those read so far come first, then what was raised. When the
    stream is closed early, what has not begun is left, and what is under way is waited for.

    Raises ParseError or ResolutionError for a text, ValueError for options that can't be, both before any record is
    read.
    """
    if failures not in ("raise", "yield"):
        raise ValueError(f"failures is 'raise' or 'yield', not {failures!r}")
    evaluate = expression
    if isinstance(evaluate, str):
        evaluate = Expression(evaluate, default_library() if library is None else library)

    def value(record: Mapping[str, Any]) -> Any:
        return evaluate(record, context)

    def value_or_failure(record: Mapping[str, Any]) -> Any:
        try:
            return evaluate(record, context)
        except EvaluationError as error:
            return error

    return in_order(value if failures == "raise" else value_or_failure, records, in_flight)


def in_order(work: Callable[[Item], Result], items: Iterable[Item], in_flight: int) -> Generator[Result, None, None]:
    """What the work makes of each item, in the items' order, with up to `in_flight` of them worked on at once.

    Raises ValueError for a number that can't be.
    """
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 1:
        raise ValueError(f"in_flight is a whole number of 1 or more, not {in_flight!r}")
    return (work(item) for item in items) if in_flight == 1 else _windowed(work, items, in_flight)


def _windowed(work: Callable[[Item], Result], items: Iterable[Item], in_flight: int) -> Generator[Result, None, None]:
    window: deque[Future[Result]] = deque()
    trouble: BaseException | None = None
    source = iter(items)
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="stellar")
    try:
        while True:
            # What is ready goes out before a source is asked that may let one wait
            while window and (len(window) == in_flight or window[0].done()):
                yield window.popleft().result()
            try:
                item = next(source)
            except StopIteration:
                break
            except BaseException as error:  # noqa: BLE001 (raised again, at its place; an interruption is one too)
                trouble = error
                break
            window.append(pool.submit(work, item))
        while window:
            yield window.popleft().result()
        if trouble is not None:
            raise trouble
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
