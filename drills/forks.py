"""Processes that fork after models were called."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

from drills.calls import EXPRESSION, Calls, client_of, records, stream
from drills.drill import Finding, drill
from drills.models import models
from stellar.language.context import Context

_context: Context


def _answer(record: dict[str, Any]) -> Any:
    return EXPRESSION(record, _context)


def _made_in_the_child(url: str) -> None:
    global _context
    _context = client_of([url]).__enter__()[0]


def _pool(method: str, sent: list[dict[str, Any]], initializer: Any = None, arguments: tuple[Any, ...] = ()) -> Calls:
    calls = Calls()
    with multiprocessing.get_context(method).Pool(4, initializer, arguments) as pool:
        for record, answer in zip(sent, pool.map(_answer, sent), strict=True):
            calls.take(record, answer, 0.0)
        pool.close()
        pool.join()
    return calls


def _while_calling(context: Context, sent: list[dict[str, Any]]) -> tuple[Calls, Calls]:
    """Fork from a second thread while the first calls without a pause."""
    ended, own = threading.Event(), Calls()

    def call() -> None:
        number = 0
        while not ended.is_set():
            record = {"host": f"parent {number}"}
            own.take(record, EXPRESSION(record, context), 0.0)
            number += 1

    calling = threading.Thread(target=call)
    calling.start()
    try:
        return _pool("fork", sent), own
    finally:
        ended.set()
        calling.join()


@drill("fork")
def fork() -> Iterator[Finding]:
    """1,000 records each by 4 children of a fork, of a fork during calls, of forkserver and of spawn."""
    global _context
    total = Calls()
    with models(1) as (model,), client_of([model.url]) as (_context, _, _):
        stream(_context, records(1000, "before "))
        parts = [_pool("fork", list(records(1000, "fork ")))]
        parts += _while_calling(_context, list(records(1000, "thread ")))
        made = (_made_in_the_child, (model.url,))
        parts += [_pool(method, list(records(1000, f"{method} ")), *made) for method in ("forkserver", "spawn")]
        parts.append(stream(_context, records(1000, "after ")))
    for part in parts:
        total.wrong, total.null = total.wrong + part.wrong, total.null + part.null
        total.ended += part.ended
    result = f"{total.wrong} wrong, {total.null} null"
    yield Finding(
        "4 children each of fork, fork from a second thread during calls, forkserver, spawn; the parent goes on",
        f"{total.count:,} calls, 4,000 in children",
        "0 wrong, 0 null",
        result,
        total.wrong == total.null == 0,
    )
