"""Tests of the run loop: waits, cancellation, futures, shutdown and failures."""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import ExitStack
from contextvars import ContextVar

import pytest

import stellar
from stellar import evaluate_many
from stellar.language.context import Context
from stellar.language.library import Library
from stellar.util import scheduler, waiting
from stellar.util.windowed import in_order


def run_all(work, items, in_flight=64):
    return list(in_order(work, items, in_flight, blocks=False))


def test_tasks_run_in_one_thread_other_than_the_callers():
    threads = {*run_all(lambda _: threading.current_thread(), range(100))}
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_a_waiting_fiber_yields_until_its_event_is_set():
    events, order = [], []

    def work(number):
        if number == 9:
            for event in reversed(events):
                event.set()
            return number
        events.append(event := waiting.new_event())
        assert event.wait(5)
        order.append(number)
        return number

    assert run_all(work, range(10), 10) == [*range(10)]
    assert order == [*reversed(range(9))]


def test_an_event_that_is_set_before_the_wait_ends_it_at_once():
    def work(_):
        event = waiting.new_event()
        event.set()
        first = event.wait(0)
        later = waiting.new_event()
        return first, later.wait(0.01)  # setting the first event does not end the second wait

    assert run_all(work, [1, 2, 3]) == [(True, False)] * 3


@pytest.mark.parametrize("seconds", [0.0, 0.03])
def test_a_wait_ends_after_its_time_out(seconds):
    def work(_):
        begin = time.monotonic()
        return waiting.new_event().wait(seconds), time.monotonic() - begin >= seconds

    assert run_all(work, range(20)) == [(False, True)] * 20


def test_any_thread_may_set_an_event():
    def work(number):
        event = waiting.new_event()
        timer = threading.Timer(0.01 * (number % 3), event.set)
        timer.start()
        woken = event.wait(5)
        timer.join()
        return woken

    assert run_all(work, range(30)) == [True] * 30


def test_threads_and_fibers_may_wait_for_the_same_future():
    future: waiting.Future[int] = waiting.Future()
    got = []
    threads = [threading.Thread(target=lambda: got.append(future.result())) for _ in range(5)]
    for thread in threads:
        thread.start()
    threading.Timer(0.02, future.set_result, [7]).start()
    assert run_all(lambda _: future.result(), range(5)) == [7] * 5
    for thread in threads:
        thread.join()
    assert got == [7] * 5
    assert future.result() == 7


def test_a_future_raises_its_exception():
    future: waiting.Future[int] = waiting.Future()
    future.set_exception(KeyError("reason"))
    with pytest.raises(KeyError, match="reason"):
        future.result()


def test_a_blocking_function_is_offloaded_to_a_thread():
    barrier = threading.Barrier(8, timeout=5)
    assert sorted(run_all(lambda _: waiting.offload(barrier.wait), range(8))) == [*range(8)]
    assert (
        waiting.offload(threading.current_thread) is threading.current_thread()
    )  # outside of fibers the function is called directly
    with pytest.raises(ZeroDivisionError):
        run_all(lambda _: waiting.offload(lambda: 1 / 0), [1])


def test_context_variables_belong_to_the_fiber_even_in_offloaded_functions():
    variable = ContextVar("number", default=-1)

    def work(number):
        variable.set(number)
        waiting.new_event().wait(0.001)
        return variable.get(), waiting.offload(variable.get)

    assert run_all(work, range(10)) == [(number, number) for number in range(10)]
    assert variable.get() == -1


def test_fibers_wait_for_sockets_concurrently():
    with ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(20)]

        def work(number):
            if number == 0:  # sends to the others, in reverse order
                for _, there in reversed(pairs):
                    there.send(b"x")
                return b""
            here = pairs[number - 1][0]
            return here.recv(1) if waiting.wait_readable(here, 5) else None

        assert run_all(work, [*range(1, 21), 0], 21) == [b"x"] * 20 + [b""]


@pytest.mark.parametrize("where", [lambda work: work(0), lambda work: run_all(work, [0])[0]], ids=["thread", "fiber"])
def test_waiting_for_a_socket_reports_if_it_is_ready(where):
    here, there = socket.socketpair()
    with here, there:
        assert where(lambda _: waiting.wait_writable(here, 0))
        assert not where(lambda _: waiting.wait_readable(here, 0.01))
        there.send(b"x")
        assert where(lambda _: waiting.wait_readable(here, 1))
        # Data that has arrived is reported without time left
        assert where(lambda _: waiting.wait_readable(here, 0))
        assert where(lambda _: waiting.wait_readable(here, -1))


def test_data_that_arrived_in_time_counts_even_if_the_loop_is_late():
    here, there = socket.socketpair()
    with here, there:

        def work(number):
            if number == 0:
                return waiting.wait_readable(here, 0.05)
            there.send(b"x")
            time.sleep(0.1)  # the loop is busy meanwhile
            return None

        assert run_all(work, [0, 1]) == [True, None]


def test_an_error_is_raised_when_its_result_is_read():
    def work(number):
        waiting.new_event().wait(0.001)
        return 1 // number

    results = in_order(work, [1, 0, 1], 3, blocks=False)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_after_an_early_close_running_tasks_end_and_no_thread_remains():
    ended = []

    def work(number):
        waiting.new_event().wait(0.02)
        ended.append(number)
        return number

    threads = threading.active_count()
    results = in_order(work, iter(range(1000)), 4, blocks=False)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == threads
    assert set(range(4)) <= set(ended) <= set(range(6))


def test_the_deepest_expressions_run_in_fibers_too():
    deep = "(" * 150 + "n" + " + 1)" * 150
    assert list(evaluate_many(deep, [{"n": n} for n in range(5)], in_flight=5)) == [150 + n for n in range(5)]


def test_errors_have_their_source_location_in_fibers_too():
    values = list(evaluate_many("1 + 10 / n", [{"n": 0}] * 3, in_flight=3, failures="yield"))
    with pytest.raises(stellar.EvaluationError) as alone:
        stellar.evaluate("1 + 10 / n", {"n": 0})
    assert [str(value) for value in values] == [str(alone.value)] * 3


def test_a_failure_of_the_loop_is_raised_when_a_result_is_read():
    def work(number):
        if number == 3:
            waiting.current_loop().post(lambda: 1 / 0)
        waiting.new_event().wait(5)

    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        run_all(work, range(100), 8)
    assert threading.active_count() == threads


def test_a_stream_continues_after_a_long_pause():
    def source():
        for number in range(3):
            yield number
            time.sleep(2 * scheduler.STAYS_AWAKE_SECONDS)

    def work(number):
        waiting.new_event().wait(0.001)
        return number

    assert run_all(work, source()) == [0, 1, 2]


@stellar.function("SLEEP")
def sleep(seconds: object) -> bool:
    """Sleep.

    seconds: Duration
    returns: True
    """
    return waiting.current_loop() is None


@stellar.function("QUICK", blocks=False)
def quick(context: Context) -> bool:
    """Return immediately.

    returns: True in a fiber
    """
    return waiting.current_loop() is not None


def test_functions_that_may_wait_get_threads_and_others_do_not():
    library = Library.of(sleep, quick)
    assert list(evaluate_many("SLEEP(1)", [{}] * 3, library=library)) == [True] * 3
    assert list(evaluate_many("QUICK()", [{}] * 3, library=library)) == [True] * 3
    assert stellar.compile("SLEEP(1)", library=library).blocks
    assert not stellar.compile("TO_UPPER(MAP_GET('a', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('m'), {})))").blocks
    assert stellar.compile("REST_GET('http://127.0.0.1:1')").blocks


# --- cancelling


@pytest.fixture
def loop():
    loop = scheduler.RunLoop("test")
    yield loop
    loop.shutdown()


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "time-out"
        time.sleep(0.002)


def test_cancelling_a_waiting_task_raises_in_its_wait_and_runs_its_cleanup(loop):
    begun, cleaned = threading.Event(), []

    def work():
        try:
            begun.set()
            waiting.new_event().wait(60)
        except scheduler.Cancelled:
            cleaned.append("except")
            raise
        finally:
            cleaned.append("finally")

    task = loop.submit(work)
    begun.wait(30)
    task.cancel()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert cleaned == ["except", "finally"]
    assert isinstance(task.failure, scheduler.Cancelled)


WAITS = {
    "an event": lambda here, future: waiting.new_event().wait(),
    "a time-out": lambda here, future: waiting.sleep(60),
    "a socket": lambda here, future: waiting.wait_readable(here, 60),
    "a future": lambda here, future: future.result(),
    "any of several": lambda here, future: waiting.current_loop().await_any([(here, 1), future], 60),
}


@pytest.mark.parametrize("kind", WAITS)
def test_a_resource_can_be_waited_for_again_after_a_cancelled_wait(kind, loop):
    here, there = socket.socketpair()
    future: waiting.Future[int] = waiting.Future()
    with here, there:
        begun = threading.Event()

        def work():
            begun.set()
            WAITS[kind](here, future)

        for _ in range(2):
            begun.clear()
            task = loop.submit(work)
            begun.wait(30)
            task.cancel()
            with pytest.raises(scheduler.Cancelled):
                task.result()
        assert future._waiting == []
        there.send(b"x")
        assert loop.submit(waiting.wait_readable, here, 30).result()


def test_a_task_cancelled_before_its_start_never_runs(loop):
    gate, done = threading.Event(), []
    blocking = loop.submit(lambda: gate.wait(30))  # blocks the loop
    task = loop.submit(lambda: done.append(1))
    task.cancel()
    gate.set()
    assert blocking.result()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert done == []


def test_cancelling_a_finished_task_has_no_effect(loop):
    task = loop.submit(lambda: 7)
    assert task.result() == 7
    task.cancel()
    assert loop.submit(lambda: 8).result() == 8
    assert task.result() == 7
    assert task.failure is None


def test_a_task_that_waits_for_an_offloaded_function_is_cancelled_at_once(loop):
    gate, begun, over = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        gate.wait(30)
        over.append(1)

    task = loop.submit(lambda: waiting.offload(slow))
    begun.wait(30)
    task.cancel()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert over == []
    assert loop.submit(lambda: 1).result() == 1
    gate.set()
    until(lambda: over)


def test_a_task_may_wait_while_it_cleans_up(loop):
    begun, cleaned = threading.Event(), []

    def work():
        try:
            begun.set()
            waiting.new_event().wait()
        finally:
            waiting.sleep(0.01)
            cleaned.append(1)

    task = loop.submit(work)
    begun.wait(30)
    task.cancel()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert cleaned == [1]


def test_cancelled_is_not_caught_by_handlers_of_exceptions():
    assert not issubclass(scheduler.Cancelled, Exception)


# --- futures


@pytest.mark.parametrize("where", ["thread", "fiber"])
def test_the_time_out_of_a_wait_for_a_future_is_optional(where, loop):
    future: waiting.Future[int] = waiting.Future()
    wait = future.wait if where == "thread" else lambda seconds=None: loop.run(lambda: future.wait(seconds))
    assert wait(0) is False
    assert wait(0.01) is False
    assert future._waiting == []
    threading.Timer(0.02, future.set_result, [1]).start()
    assert wait() is True
    assert wait(0) is True
    assert future.done


def test_listeners_of_a_future_are_notified_once_and_at_once_if_it_is_done():
    woken = []

    class Listener:
        def __init__(self, name):
            self.name = name

        def set(self):
            woken.append(self.name)

    future: waiting.Future[int] = waiting.Future()
    one, other, late = map(Listener, ("one", "other", "late"))
    future.when_done(one)
    future.when_done(other)
    future.discard(other)
    future.discard(late)  # was not added
    future.set_exception(KeyError("reason"))
    future.when_done(late)
    assert woken == ["one", "late"]


def test_a_future_that_fails_ends_the_wait_and_raises_for_all(loop):
    future: waiting.Future[int] = waiting.Future()
    tasks = [loop.submit(future.result) for _ in range(3)]
    until(lambda: len(future._waiting) == 3)
    future.set_exception(KeyError("reason"))
    for task in tasks:
        with pytest.raises(KeyError, match="reason"):
            task.result()


# --- a loop that threads share


def test_many_threads_share_one_loop_and_get_their_own_results(loop):
    results = {}

    def work(number):
        waiting.sleep(0.001 * (number % 3))
        return number, threading.current_thread().name

    def caller(number):
        results[number] = [loop.run(lambda: work(number)) for _ in range(20)]

    threads = [threading.Thread(target=caller, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {number: [(number, "test")] * 20 for number in range(16)}


def test_an_exception_of_a_task_is_raised_in_the_thread_that_ran_it(loop):
    with pytest.raises(ZeroDivisionError):
        loop.run(lambda: 1 // 0)
    assert loop.run(lambda: 1) == 1


def test_an_interrupted_thread_cancels_its_task_and_waits_for_its_end(loop, monkeypatch):
    begun, order = threading.Event(), []

    def work():
        try:
            begun.set()
            waiting.new_event().wait(60)
        finally:
            waiting.sleep(0.05)
            order.append("cleaned up")

    real = waiting.Future.result

    def interrupted(future):
        monkeypatch.setattr(waiting.Future, "result", real)
        begun.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting.Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run(work)
    order.append("raised")
    assert order == ["cleaned up", "raised"]
    assert loop.run(lambda: 1) == 1


def test_the_listener_of_a_task_is_called_when_it_has_ended(loop):
    ended: waiting.Future[object] = waiting.Future()
    task = loop.start(lambda: 7, ended.set_result)
    assert ended.result() is task
    assert task.result() == 7


def test_after_shutdown_running_tasks_have_ended_and_new_ones_are_rejected():
    loop = scheduler.RunLoop("test")
    task = loop.submit(lambda: waiting.sleep(0.05) or 7)
    loop.shutdown()
    assert task.result() == 7
    for begin in (lambda: loop.submit(lambda: 1), lambda: loop.run(lambda: 1)):
        with pytest.raises(RuntimeError, match="was shut down"):
            begin()


def test_threads_waiting_for_a_failed_loop_get_its_error():
    loop = scheduler.RunLoop("test")
    begun = threading.Event()
    errors = []

    def caller():
        try:
            loop.run(lambda: begun.set() or waiting.new_event().wait())
        except ZeroDivisionError as error:
            errors.append(error)

    thread = threading.Thread(target=caller)
    thread.start()
    begun.wait(30)
    loop.post(lambda: 1 / 0)
    thread.join(30)
    assert len(errors) == 1
    loop.shutdown()


def test_a_shutdown_concurrent_with_new_tasks_leaves_no_thread_waiting():
    for _ in range(50):
        loop = scheduler.RunLoop("test")
        outcomes = []

        def caller(loop=loop, outcomes=outcomes):
            try:
                outcomes.append(loop.run(lambda: 1))
            except RuntimeError:
                outcomes.append("rejected")

        threads = [threading.Thread(target=caller) for _ in range(4)]
        for thread in threads:
            thread.start()
        loop.shutdown()
        for thread in threads:
            thread.join(30)
        assert len(outcomes) == 4
        assert set(outcomes) <= {1, "rejected"}


# --- waiting for one of several


def test_the_first_ready_socket_or_future_ends_the_wait(loop):
    with ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(3)]
        future: waiting.Future[int] = waiting.Future()
        waitables = [*((here, 1) for here, _ in pairs), future]

        def which(seconds=30):
            ready = waiting.current_loop().await_any(waitables, seconds)
            return ready, [waiting.is_ready(each) for each in waitables]

        assert loop.run(lambda: which(0.01)) == (False, [False] * 4)
        threading.Timer(0.02, pairs[1][1].send, [b"x"]).start()
        assert loop.run(which) == (True, [False, True, False, False])
        pairs[1][0].recv(1)
        threading.Timer(0.02, future.set_result, [1]).start()
        assert loop.run(which) == (True, [False, False, False, True])
        assert loop.run(which) == (True, [False, False, False, True])  # ready at the start
        assert future._waiting == []


def test_a_fiber_can_wait_until_a_socket_accepts_data(loop):
    here, there = socket.socketpair()
    with here, there:
        assert loop.run(lambda: waiting.current_loop().await_any([(here, 2)], 30))
        assert waiting.is_ready((here, 2))
        assert not waiting.is_ready((here, 1))


def test_two_fibers_can_not_wait_for_one_socket(loop):
    here, there = socket.socketpair()
    with here, there:
        first = loop.submit(waiting.wait_readable, here, 30)
        with pytest.raises(RuntimeError, match="another fiber waits for this socket"):
            loop.run(lambda: waiting.wait_readable(here, 30))
        there.send(b"x")
        assert first.result()


# --- what is reused


def test_a_task_does_not_inherit_the_context_variables_of_the_last_one_in_its_fiber():
    variable = ContextVar("variable", default="unset")

    def work(number):
        before = variable.get()
        variable.set(number)
        waiting.sleep(0)
        return before, variable.get()

    assert run_all(work, range(200), 8) == [("unset", number) for number in range(200)]


def test_more_fibers_than_are_kept_can_run_twice(loop):
    count = scheduler.MAX_IDLE_FIBERS + 50
    for _ in range(2):
        gate: waiting.Future[int] = waiting.Future()
        tasks = [loop.submit(gate.result) for _ in range(count)]
        loop.run(lambda: None)  # started after all of them
        gate.set_result(1)
        assert [task.result() for task in tasks] == [1] * count
    assert len(loop._idle_fibers) <= scheduler.MAX_IDLE_FIBERS


def test_data_that_no_fiber_waits_for_does_not_keep_the_loop_busy(loop):
    here, there = socket.socketpair()
    with here, there:
        assert not loop.run(lambda: waiting.wait_readable(here, 0.001))
        there.send(b"x")
        for _ in range(30_000):
            if not loop._watches:
                break
            time.sleep(0.001)
        assert not loop._watches
        assert loop.run(lambda: waiting.wait_readable(here, 30))


@pytest.mark.parametrize("event", ["readable", "writable"])
def test_a_socket_with_the_number_of_a_closed_one_can_be_waited_for(loop, event):
    wait = waiting.wait_readable if event == "readable" else waiting.wait_writable
    numbers = set()
    for _ in range(3):
        here, there = socket.socketpair()
        with here, there:
            numbers.add(here.fileno())
            assert not loop.run(lambda here=here: waiting.wait_readable(here, 0.001))
            there.send(b"x")
            assert loop.run(lambda here=here: wait(here, 30))
    assert len(numbers) < 3


def test_a_wait_for_a_socket_may_have_no_time_out(loop):
    here, there = socket.socketpair()
    with here, there:
        task = loop.submit(waiting.wait_readable, here, math.inf)
        time.sleep(2 * scheduler.STAYS_AWAKE_SECONDS)  # then the loop no longer wakes by itself
        there.send(b"x")
        assert task.result()
