"""Work on many items at once, within a window, with the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from stellar.util.scheduler import RunLoop

Item = TypeVar("Item")


Result = TypeVar("Result")


Result_co = TypeVar("Result_co", covariant=True)


IN_FLIGHT = 64


def _checked_in_flight(in_flight: int) -> int:
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 1:
        raise ValueError(f"in_flight is a whole number of 1 or more, not {in_flight!r}")
    return in_flight


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], in_flight: int, *, blocks: bool = True
) -> Generator[Result, None, None]:
    """What the work makes of each item, in the items' order, with up to `in_flight` of them worked on at once.

    blocks: whether the work may keep its thread waiting, and so needs a thread for each item; if not, fibers do

    Raises ValueError for a number that can't be.
    """
    if _checked_in_flight(in_flight) == 1:
        return (work(item) for item in items)
    return _windowed(work, items, in_flight, partial(ThreadPoolExecutor, in_flight, "stellar") if blocks else RunLoop)


class _Task(Protocol[Result_co]):
    def done(self) -> bool: ...

    def result(self) -> Result_co: ...


class _Workers(Protocol):
    def submit(self, work: Callable[..., Result], /, *arguments: Any) -> _Task[Result]: ...

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None: ...


def _windowed(
    work: Callable[[Item], Result], items: Iterable[Item], in_flight: int, make_workers: Callable[[], _Workers]
) -> Generator[Result, None, None]:
    window: deque[_Task[Result]] = deque()
    trouble: BaseException | None = None
    source = iter(items)
    process = os.getpid()
    pool = make_workers()
    try:
        while True:
            # What is ready goes out before a source is asked that may let one wait
            while window and (len(window) == in_flight or window[0].done()):
                yield window.popleft().result()
                _check_process(process)
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
            _check_process(process)
        if trouble is not None:
            raise trouble
    finally:
        if os.getpid() == process:  # else there are no threads to wait for
            pool.shutdown(wait=True, cancel_futures=True)


def _check_process(process: int) -> None:
    """Raise RuntimeError in the child of a fork: the threads, and what they work on, are the parent's."""
    if os.getpid() != process:
        raise RuntimeError("this stream of records was begun before a fork and goes on in the parent only")
