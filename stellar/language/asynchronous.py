"""Waiting work for asyncio: a coroutine for each piece of work, all on one run loop of fibers.

Expressions are compiled once, for threads and fibers alike. So a coroutine hands its work to a run loop
(`stellar.util.scheduler.Hub`), where it gives way whenever it waits, and awaits its end: no thread per record, and no
second "async" form of the compiler, the functions and the model client. Cancelling the coroutine raises `Cancelled` in
the fiber, at the point where it waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Literal, TypeVar

from stellar.util.forks import reset_after_fork
from stellar.util.scheduler import RunLoop, Task

T = TypeVar("T")
Item = TypeVar("Item")

Waits = Literal["no", "in fibers", "in threads"]
"""The way that work waits: not at all, by giving way in a fiber, or by blocking a thread."""


class _SharedHub:
    """The run loop of all coroutines, made on first use. Its daemon thread lives as long as the process."""

    def __init__(self) -> None:
        self._hub: RunLoop | None = None
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._hub = None

    def get(self) -> RunLoop:
        """For event loops; two at the same time may make one each, of which one is used on."""
        if self._hub is None:
            self._hub = RunLoop("stellar async")
        return self._hub


_SHARED = _SharedHub()


async def run_async(work: Callable[[], T], waits: Waits) -> T:
    """Do a piece of work without keeping the event loop waiting. Cancelling cancels it, unless it keeps a thread."""
    if waits == "no":
        return work()
    if waits == "in threads":
        return await asyncio.to_thread(work)
    return await _run_in_fiber(work)


async def _run_in_fiber(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def ended(task: Task[T]) -> None:
        with suppress(RuntimeError):  # the event loop was closed meanwhile
            loop.call_soon_threadsafe(_settle, future, task)

    task = _SHARED.get().start(partial(copy_context().run, work), ended)
    try:
        return await future
    except asyncio.CancelledError:
        task.cancel()
        raise


def _settle(future: asyncio.Future[T], task: Task[T]) -> None:
    if future.done():  # it was cancelled
        return
    if task.failure is not None:
        future.set_exception(task.failure)
    else:
        future.set_result(task.result())


async def in_order_async(
    work: Callable[[Item], T], items: Iterable[Item] | AsyncIterable[Item], in_flight: int, waits: Waits
) -> AsyncGenerator[T, None]:
    """Yield what the work makes of each item, in the items' order, with up to `in_flight` of them worked on at once.

    When reading the items fails, the results of those read so far come first, then what was raised. When the generator
    is closed early, what is under way is cancelled.
    """
    source = _aiter(items, in_flight)
    if waits == "no":
        async for item in source:
            yield work(item)
        return
    with _Workers(waits, in_flight) as workers:
        window: deque[asyncio.Future[T]] = deque()
        reading: asyncio.Future[Item] | None = None
        failure: BaseException | None = None
        exhausted = False
        try:
            while window or not exhausted:
                if reading is None and not exhausted and len(window) < in_flight:
                    reading = asyncio.ensure_future(anext(source))
                await _first_of(reading, window[0] if window else None)
                if reading is not None and reading.done():
                    try:
                        window.append(asyncio.ensure_future(workers.run(partial(work, reading.result()))))
                    except StopAsyncIteration:
                        exhausted = True
                    except Exception as error:  # noqa: BLE001 (raised again, after the results)
                        exhausted, failure = True, error
                    reading = None
                while window and window[0].done():
                    yield window.popleft().result()
            if failure is not None:
                raise failure
        finally:
            await _cancel([*window, *([] if reading is None else [reading])])


class _Workers:
    """Where the pieces of work of one stream are done."""

    def __init__(self, waits: Waits, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "stellar async") if waits == "in threads" else None

    def run(self, work: Callable[[], T]) -> Awaitable[T]:
        if self._pool is None:
            return _run_in_fiber(work)
        return asyncio.get_running_loop().run_in_executor(self._pool, partial(copy_context().run, work))

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


async def _first_of(*futures: asyncio.Future[Any] | None) -> None:
    """Wait until one of these has ended."""
    waiting = [future for future in futures if future is not None]
    if not any(future.done() for future in waiting):
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


async def _cancel(futures: list[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


def _aiter(items: Iterable[Item] | AsyncIterable[Item], turn: int) -> AsyncIterator[Item]:
    return aiter(items) if isinstance(items, AsyncIterable) else _from_iterable(items, turn)


async def _from_iterable(items: Iterable[Item], turn: int) -> AsyncIterator[Item]:
    """The items of an iterable, which lets the event loop do other things now and then."""
    for number, item in enumerate(items, 1):
        yield item
        if number % turn == 0:
            await asyncio.sleep(0)
