"""Concurrent work on many items, within a window, with the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from stellar.util.abbreviate import quote
from stellar.util.forks import STARTED_BEFORE_FORK
from stellar.util.scheduler import RunLoop

Item = TypeVar("Item")


Result = TypeVar("Result")


Result_co = TypeVar("Result_co", covariant=True)


IN_FLIGHT = 64


def check_in_flight(in_flight: int) -> int:
    """Return a window size.

    Raises ValueError if it is not an integer of at least 1.
    """
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 1:
        raise ValueError(f"invalid in_flight: expected an integer of at least 1, got {quote(in_flight)}")
    return in_flight


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], in_flight: int, *, blocks: bool = True
) -> Generator[Result, None, None]:
    """Yield the result for each item, in the order of the items, with up to `in_flight` calls at once.

    blocks: run each call in a thread of a pool, because it may block; False runs them in fibers of one thread

    Raises ValueError for an invalid `in_flight`.
    """
    if check_in_flight(in_flight) == 1:
        return (work(item) for item in items)
    return _run_window(work, items, in_flight, partial(ThreadPoolExecutor, in_flight, "stellar") if blocks else RunLoop)


class _PendingResult(Protocol[Result_co]):
    def done(self) -> bool: ...

    def result(self) -> Result_co: ...


class _Executor(Protocol):
    def submit(self, work: Callable[..., Result], /, *arguments: Any) -> _PendingResult[Result]: ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...


def _run_window(
    work: Callable[[Item], Result], items: Iterable[Item], in_flight: int, make_executor: Callable[[], _Executor]
) -> Generator[Result, None, None]:
    window: deque[_PendingResult[Result]] = deque()
    failure: BaseException | None = None
    source = iter(items)
    process = os.getpid()
    executor = make_executor()
    try:
        while True:
            # Finished results are yielded before the next item is read, because reading may wait
            while window and (len(window) == in_flight or window[0].done()):
                yield window.popleft().result()
                _check_process(process)
            try:
                item = next(source)
            except StopIteration:
                break
            except BaseException as error:  # noqa: BLE001 (raised again after the results; includes interrupts)
                failure = error
                break
            window.append(executor.submit(work, item))
        while window:
            yield window.popleft().result()
            _check_process(process)
        if failure is not None:
            raise failure
    finally:
        if os.getpid() == process:  # a forked child has none of the threads
            executor.shutdown(wait=True, cancel_futures=True)


def _check_process(process: int) -> None:
    """Raise RuntimeError in the child of a fork, because the threads belong to the parent."""
    if os.getpid() != process:
        raise RuntimeError(STARTED_BEFORE_FORK)
