"""Drills of processes that fork after models were called."""

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


def _apply(record: dict[str, Any]) -> Any:
    return EXPRESSION(record, _context)


def _open_client(url: str) -> None:
    global _context
    _context = client_of([url]).__enter__()[0]


def _run_pool(
    method: str, sent: list[dict[str, Any]], initializer: Any = None, arguments: tuple[Any, ...] = ()
) -> Calls:
    calls = Calls()
    with multiprocessing.get_context(method).Pool(4, initializer, arguments) as pool:
        for record, result in zip(sent, pool.map(_apply, sent), strict=True):
            calls.add(record, result, 0.0)
        pool.close()
        pool.join()
    return calls


def _fork_while_calling(context: Context, sent: list[dict[str, Any]]) -> tuple[Calls, Calls]:
    """Fork from one thread while another one calls without a pause; return the outcomes of children and parent."""
    ended, own = threading.Event(), Calls()

    def call() -> None:
        number = 0
        while not ended.is_set():
            record = {"host": f"parent {number}"}
            own.add(record, EXPRESSION(record, context), 0.0)
            number += 1

    calling = threading.Thread(target=call)
    calling.start()
    try:
        return _run_pool("fork", sent), own
    finally:
        ended.set()
        calling.join()


@drill("fork")
def fork() -> Iterator[Finding]:
    """Evaluate 1,000 records each in 4 children of a fork, of a fork during calls, of forkserver and of spawn."""
    global _context
    total = Calls()
    with models(1) as (model,), client_of([model.url]) as (_context, _, _):
        stream(_context, records(1000, "before "))
        parts = [_run_pool("fork", list(records(1000, "fork ")))]
        parts += _fork_while_calling(_context, list(records(1000, "thread ")))
        setup = (_open_client, (model.url,))
        parts += [_run_pool(method, list(records(1000, f"{method} ")), *setup) for method in ("forkserver", "spawn")]
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
