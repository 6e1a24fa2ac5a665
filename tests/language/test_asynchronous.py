"""Tests of evaluation in asyncio: values, order, failures and cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import aclosing

import pytest

import stellar
from stellar.language import asynchronous
from stellar.language.context import Context
from stellar.language.library import Library
from stellar.util import scheduler, waiting

CALLER = contextvars.ContextVar("caller", default="unset")


class Gate:
    """A service that functions wait for, in fibers and in threads; it records their threads."""

    def __init__(self) -> None:
        self.open = waiting.Future()
        self.waiting = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.threads: set[str] = set()


@stellar.function("WAIT", blocks=False)
def wait(context: Context, value: object) -> object:
    """Return a value once the gate is open."""
    gate = context[Gate]
    gate.threads.add(threading.current_thread().name)
    gate.waiting.release()
    try:
        gate.open.wait(30)
    except scheduler.Cancelled:
        gate.cancelled.release()
        raise
    return value


@stellar.function("WAIT_IN_A_THREAD")
def wait_in_a_thread(context: Context, value: object) -> object:
    """Return a value once the gate is open, blocking the thread."""
    return wait(context, value)


@stellar.function("CALLER", blocks=False)
def caller(context: Context) -> str:
    """Return the value of a context variable."""
    return CALLER.get()


@pytest.fixture(scope="module")
def library():
    import sys

    return Library.of(stellar.LIBRARY, sys.modules[__name__])


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set_result(None)


@pytest.fixture
def context(gate):
    return Context({Gate: gate})


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_an_expression_that_does_not_wait_is_evaluated_directly(library):
    expression = stellar.Expression("x + 1", library)
    assert expression.waits == "no"
    assert run(expression.evaluate_async({"x": 1})) == 2


def test_fields_may_be_required():
    expression = stellar.compile("x")
    with pytest.raises(stellar.EvaluationError):
        run(expression.evaluate_async({}, missing="error"))


@pytest.mark.parametrize(
    ("source", "waits", "thread"),
    [("WAIT(x)", "in fibers", "stellar async"), ("WAIT_IN_A_THREAD(x)", "in threads", "asyncio_0")],
)
def test_a_waiting_expression_does_not_block_the_event_loop(source, waits, thread, library, gate, context):
    expression = stellar.Expression(source, library)
    assert expression.waits == waits

    async def main():
        value = asyncio.ensure_future(expression.evaluate_async({"x": 7}, context))
        await asyncio.to_thread(gate.waiting.acquire)
        assert not value.done()
        gate.open.set_result(None)
        return await value

    assert run(main()) == 7
    assert thread in gate.threads or waits == "in threads"
    assert threading.current_thread().name not in gate.threads


def test_an_error_is_raised_where_it_is_awaited(library, gate, context):
    gate.open.set_result(None)
    with pytest.raises(stellar.EvaluationError, match=r"WAIT\(1\) / 0"):
        run(stellar.Expression("WAIT(1) / 0", library).evaluate_async({}, context))


def test_cancelling_cancels_the_call(library, gate, context):
    async def main():
        call = asyncio.ensure_future(stellar.Expression("WAIT(1)", library).evaluate_async({}, context))
        await asyncio.to_thread(gate.waiting.acquire)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return await asyncio.to_thread(gate.cancelled.acquire, timeout=30)

    assert run(main())


def test_context_variables_have_the_values_of_the_caller(library, context):
    async def main():
        CALLER.set("me")
        return await stellar.Expression("CALLER()", library).evaluate_async({}, context)

    assert run(main()) == "me"


@pytest.mark.parametrize("source", ["n * 2", "WAIT(n) * 2", "WAIT_IN_A_THREAD(n) * 2"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_values_come_in_the_order_of_the_records(source, asynchronous, library, gate, context):
    gate.open.set_result(None)

    async def numbers():
        for number in range(500):
            if number % 7 == 0:
                await asyncio.sleep(0)
            yield {"n": number}

    records = numbers() if asynchronous else [{"n": number} for number in range(500)]

    async def main():
        stream = stellar.evaluate_many_async(source, records, context, in_flight=16, library=library)
        return [value async for value in stream]

    assert run(main()) == [2 * number for number in range(500)]


def test_no_more_are_in_flight_than_allowed_and_no_more_are_read(library, gate, context):
    read = 0

    async def main():
        nonlocal read

        async def records():
            nonlocal read
            for number in range(100):
                read += 1
                yield {"n": number}

        stream = stellar.evaluate_many_async("WAIT(n)", records(), context, in_flight=5, library=library)
        async with aclosing(stream):
            first = asyncio.ensure_future(anext(stream))
            for _ in range(5):
                await asyncio.to_thread(gate.waiting.acquire)
            await asyncio.sleep(0)
            assert read == 5
            assert not gate.waiting.acquire(blocking=False)
            gate.open.set_result(None)
            assert await first == 0

    run(main())


def test_leaving_the_loop_cancels_running_evaluations(library, gate, context):
    async def main():
        records = ({"n": number} for number in range(100))
        stream = stellar.evaluate_many_async("n == 0 ? 0 : WAIT(n)", records, context, in_flight=5, library=library)
        async with aclosing(stream):
            assert await anext(stream) == 0
            await asyncio.to_thread(gate.waiting.acquire)
        return await asyncio.to_thread(gate.cancelled.acquire, timeout=30)

    assert run(main())


def test_cancelling_the_task_cancels_running_evaluations(library, gate, context):
    async def consume():
        return [v async for v in stellar.evaluate_many_async("WAIT(n)", [{"n": 1}] * 3, context, library=library)]

    async def main():
        task = asyncio.ensure_future(consume())
        for _ in range(3):
            await asyncio.to_thread(gate.waiting.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [await asyncio.to_thread(gate.cancelled.acquire, timeout=30) for _ in range(3)]

    assert run(main()) == [True] * 3


def test_failures_are_raised_or_yielded_in_their_position(library, gate, context):
    gate.open.set_result(None)
    records = [{"n": 1}, {"n": 0}, {"n": 2}]

    async def values(failures):
        stream = stellar.evaluate_many_async("WAIT(4) / n", records, context, failures=failures, library=library)
        return [value async for value in stream]

    first, second, third = run(values("yield"))
    assert (first, third) == (4, 2)
    assert isinstance(second, stellar.EvaluationError)
    with pytest.raises(stellar.EvaluationError):
        run(values("raise"))


def test_values_of_read_records_precede_a_read_error(library, gate, context):
    gate.open.set_result(None)

    async def records():
        yield {"n": 1}
        yield {"n": 2}
        raise OSError("the source is gone")

    values = []

    async def main():
        async for value in stellar.evaluate_many_async("WAIT(n)", records(), context, library=library):
            values.append(value)

    with pytest.raises(OSError, match="the source is gone"):
        run(main())
    assert values == [1, 2]


@pytest.mark.parametrize("options", [{"in_flight": 0}, {"in_flight": True}, {"failures": "hide"}])
def test_invalid_options_are_rejected_before_a_record_is_read(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        stellar.evaluate_many_async("1", iter(()), **options)


def test_an_invalid_expression_is_rejected_at_once():
    with pytest.raises(stellar.ParseError):
        stellar.evaluate_many_async("1 +", [])


def test_consecutive_event_loops_share_the_run_loop(library, gate, context):
    gate.open.set_result(None)
    expression = stellar.Expression("WAIT(1)", library)
    assert [run(expression.evaluate_async({}, context)) for _ in range(3)] == [1, 1, 1]
    assert gate.threads == {"stellar async"}


def test_the_child_of_a_fork_gets_a_run_loop_of_its_own():
    shared = asynchronous._SharedRunLoop()
    first = shared.get()
    assert shared.get() is first
    shared.after_fork()
    second = shared.get()
    assert second is not first
    for loop in (first, second):
        loop.shutdown()


def test_a_finished_future_is_not_waited_for():
    async def wait_for_either():
        done, never = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()
        done.set_result(None)
        await asyncio.wait_for(asynchronous._first_of(None, never, done), 30)

    asyncio.run(wait_for_either())
