"""Evaluation for asyncio, on one run loop of fibers.

Expressions are compiled once, for threads and fibers alike. A coroutine starts its evaluation on a run loop
(`stellar.util.scheduler.RunLoop`), where it yields whenever it waits, and awaits the result: no thread per record, and
no second "async" form of the compiler, the functions and the model client. Cancelling the coroutine raises `Cancelled`
in the fiber, at the point where it waits.
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
"""The way a callable waits: not at all, cooperatively in a fiber, or by blocking its thread."""


class _SharedRunLoop:
    """The run loop of all coroutines, created on first use. Its daemon thread lives as long as the process."""

    def __init__(self) -> None:
        self._loop: RunLoop | None = None
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._loop = None

    def get(self) -> RunLoop:
        """Return the run loop. Two concurrent first calls may create one each; later calls return the same one."""
        if self._loop is None:
            self._loop = RunLoop("stellar async")
        return self._loop


_SHARED = _SharedRunLoop()


async def run_async(work: Callable[[], T], waits: Waits) -> T:
    """Call a function without blocking the event loop. Cancelling cancels the call, unless it runs in a thread."""
    if waits == "no":
        return work()
    if waits == "in threads":
        return await asyncio.to_thread(work)
    return await _run_in_fiber(work)


async def _run_in_fiber(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(task: Task[T]) -> None:
        with suppress(RuntimeError):  # the event loop was closed
            loop.call_soon_threadsafe(_settle, future, task)

    task = _SHARED.get().start(partial(copy_context().run, work), finish)
    try:
        return await future
    except asyncio.CancelledError:
        task.cancel()
        raise


def _settle(future: asyncio.Future[T], task: Task[T]) -> None:
    if future.done():  # cancelled
        return
    if task.failure is not None:
        future.set_exception(task.failure)
    else:
        future.set_result(task.result())


async def in_order_async(
    work: Callable[[Item], T], items: Iterable[Item] | AsyncIterable[Item], in_flight: int, waits: Waits
) -> AsyncGenerator[T, None]:
    """Yield the result for each item, in the order of the items, with up to `in_flight` calls at once.

    If reading the items fails, the results for those already read come first, then the exception. If the generator is
    closed early, running calls are cancelled.
    """
    source = _iterate(items, in_flight)
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
    """The fibers, or the thread pool, that run the calls of one stream."""

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
    """Wait until one of the futures has finished."""
    waiting = [future for future in futures if future is not None]
    if not any(future.done() for future in waiting):
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


async def _cancel(futures: list[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


def _iterate(items: Iterable[Item] | AsyncIterable[Item], batch: int) -> AsyncIterator[Item]:
    return aiter(items) if isinstance(items, AsyncIterable) else _from_iterable(items, batch)


async def _from_iterable(items: Iterable[Item], batch: int) -> AsyncIterator[Item]:
    """Yield the items of an iterable; after each batch let the event loop run other tasks."""
    for number, item in enumerate(items, 1):
        yield item
        if number % batch == 0:
            await asyncio.sleep(0)
