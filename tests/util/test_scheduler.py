"""Fibers: what waits gives way, whatever it waits for, and nobody notices otherwise."""

from __future__ import annotations

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


def all_of(work, items, in_flight=64):
    return list(in_order(work, items, in_flight, blocks=False))


def test_all_run_in_one_thread_that_is_none_of_the_caller():
    threads = {*all_of(lambda _: threading.current_thread(), range(100))}
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_who_waits_gives_way_until_woken():
    wakers, order = [], []

    def work(number):
        if number == 9:
            for event in reversed(wakers):
                event.set()
            return number
        wakers.append(event := waiting.new_event())
        assert event.wait(5)
        order.append(number)
        return number

    assert all_of(work, range(10), 10) == [*range(10)]
    assert order == [*reversed(range(9))]


def test_who_is_woken_before_waiting_does_not_wait():
    def work(_):
        event = waiting.new_event()
        event.set()
        first = event.wait(0)
        later = waiting.new_event()
        return first, later.wait(0.01)  # what woke the first does not wake the next

    assert all_of(work, [1, 2, 3]) == [(True, False)] * 3


@pytest.mark.parametrize("seconds", [0.0, 0.03])
def test_who_is_not_woken_in_time_goes_on(seconds):
    def work(_):
        begin = time.monotonic()
        return waiting.new_event().wait(seconds), time.monotonic() - begin >= seconds

    assert all_of(work, range(20)) == [(False, True)] * 20


def test_one_may_be_woken_by_any_thread():
    def work(number):
        event = waiting.new_event()
        timer = threading.Timer(0.01 * (number % 3), event.set)
        timer.start()
        woken = event.wait(5)
        timer.join()
        return woken

    assert all_of(work, range(30)) == [True] * 30


def test_a_promise_is_kept_to_threads_and_fibers_alike():
    promise: waiting.Future[int] = waiting.Future()
    got = []
    threads = [threading.Thread(target=lambda: got.append(promise.result())) for _ in range(5)]
    for thread in threads:
        thread.start()
    threading.Timer(0.02, promise.set_result, [7]).start()
    assert all_of(lambda _: promise.result(), range(5)) == [7] * 5
    for thread in threads:
        thread.join()
    assert got == [7] * 5
    assert promise.result() == 7


def test_a_promise_that_is_broken_raises_why():
    promise: waiting.Future[int] = waiting.Future()
    promise.set_exception(KeyError("why"))
    with pytest.raises(KeyError, match="why"):
        promise.result()


def test_what_can_not_give_way_gets_a_thread():
    barrier = threading.Barrier(8, timeout=5)
    assert sorted(all_of(lambda _: waiting.offload(barrier.wait), range(8))) == [*range(8)]
    assert (
        waiting.offload(threading.current_thread) is threading.current_thread()
    )  # outside of fibers it is just called
    with pytest.raises(ZeroDivisionError):
        all_of(lambda _: waiting.offload(lambda: 1 / 0), [1])


def test_context_variables_are_those_of_the_fiber_wherever_it_works():
    variable = ContextVar("number", default=-1)

    def work(number):
        variable.set(number)
        waiting.new_event().wait(0.001)
        return variable.get(), waiting.offload(variable.get)

    assert all_of(work, range(10)) == [(number, number) for number in range(10)]
    assert variable.get() == -1


def test_sockets_are_waited_for_side_by_side():
    with ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(20)]

        def work(number):
            if number == 0:  # answers the others, in the other order
                for _, there in reversed(pairs):
                    there.send(b"x")
                return b""
            here = pairs[number - 1][0]
            return here.recv(1) if waiting.readable(here, 5) else None

        assert all_of(work, [*range(1, 21), 0], 21) == [b"x"] * 20 + [b""]


@pytest.mark.parametrize("where", [lambda work: work(0), lambda work: all_of(work, [0])[0]], ids=["thread", "fiber"])
def test_a_socket_is_ready_or_it_is_not(where):
    here, there = socket.socketpair()
    with here, there:
        assert where(lambda _: waiting.writable(here, 0))
        assert not where(lambda _: waiting.readable(here, 0.01))
        there.send(b"x")
        assert where(lambda _: waiting.readable(here, 1))
        # What is there counts, though no time is left
        assert where(lambda _: waiting.readable(here, 0))
        assert where(lambda _: waiting.readable(here, -1))


def test_what_has_come_counts_however_late_it_is_seen():
    here, there = socket.socketpair()
    with here, there:

        def work(number):
            if number == 0:
                return waiting.readable(here, 0.05)
            there.send(b"x")
            time.sleep(0.1)  # nobody looks meanwhile
            return None

        assert all_of(work, [0, 1]) == [True, None]


def test_an_error_is_raised_where_its_result_is_asked_for():
    def work(number):
        waiting.new_event().wait(0.001)
        return 1 // number

    results = in_order(work, [1, 0, 1], 3, blocks=False)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_after_an_early_close_what_is_under_way_ends_and_no_thread_is_left():
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


def test_the_place_of_an_error_is_known_in_fibers_too():
    values = list(evaluate_many("1 + 10 / n", [{"n": 0}] * 3, in_flight=3, failures="yield"))
    with pytest.raises(stellar.EvaluationError) as alone:
        stellar.evaluate("1 + 10 / n", {"n": 0})
    assert [str(value) for value in values] == [str(alone.value)] * 3


def test_a_fault_of_the_loop_itself_is_raised_where_a_result_is_asked_for():
    def work(number):
        if number == 3:
            waiting.current_loop().post(lambda: 1 / 0)
        waiting.new_event().wait(5)

    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        all_of(work, range(100), 8)
    assert threading.active_count() == threads


def test_a_stream_that_rests_for_long_goes_on():
    def source():
        for number in range(3):
            yield number
            time.sleep(2 * scheduler.STAYS_AWAKE_SECONDS)

    def work(number):
        waiting.new_event().wait(0.001)
        return number

    assert all_of(work, source()) == [0, 1, 2]


@stellar.stellar("SLEEP")
def sleep(seconds: object) -> bool:
    """Sleep.

    seconds: For so long
    returns: True
    """
    return waiting.current_loop() is None


@stellar.stellar("QUICK", blocks=False)
def quick(context: Context) -> bool:
    """Be quick.

    returns: Whether this is a fiber
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
def hub():
    hub = scheduler.RunLoop("test")
    yield hub
    hub.shutdown()


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def test_a_task_that_waits_is_cancelled_where_it_waits_and_cleans_up(hub):
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

    task = hub.submit(work)
    begun.wait(30)
    task.cancel()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert cleaned == ["except", "finally"]
    assert isinstance(task.failure, scheduler.Cancelled)


WAITS = {
    "a waker": lambda here, promise: waiting.new_event().wait(),
    "a time": lambda here, promise: waiting.sleep(60),
    "a socket": lambda here, promise: waiting.readable(here, 60),
    "a promise": lambda here, promise: promise.result(),
    "any of several": lambda here, promise: waiting.current_loop().await_any([(here, 1), promise], 60),
}


@pytest.mark.parametrize("kind", WAITS)
def test_whatever_a_cancelled_task_waits_for_can_be_waited_for_again(kind, hub):
    here, there = socket.socketpair()
    promise: waiting.Future[int] = waiting.Future()
    with here, there:
        begun = threading.Event()

        def work():
            begun.set()
            WAITS[kind](here, promise)

        for _ in range(2):
            begun.clear()
            task = hub.submit(work)
            begun.wait(30)
            task.cancel()
            with pytest.raises(scheduler.Cancelled):
                task.result()
        assert promise._waiting == []
        there.send(b"x")
        assert hub.submit(waiting.readable, here, 30).result()


def test_a_task_that_has_not_begun_never_does_its_work(hub):
    gate, done = threading.Event(), []
    blocking = hub.submit(lambda: gate.wait(30))  # nothing else runs meanwhile
    task = hub.submit(lambda: done.append(1))
    task.cancel()
    gate.set()
    assert blocking.result()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert done == []


def test_a_task_that_has_ended_is_left_as_it_is(hub):
    task = hub.submit(lambda: 7)
    assert task.result() == 7
    task.cancel()
    assert hub.submit(lambda: 8).result() == 8
    assert task.result() == 7
    assert task.failure is None


def test_a_task_that_waits_for_an_offloaded_function_is_cancelled_at_once(hub):
    gate, begun, over = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        gate.wait(30)
        over.append(1)

    task = hub.submit(lambda: waiting.offload(slow))
    begun.wait(30)
    task.cancel()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert over == []
    assert hub.submit(lambda: 1).result() == 1
    gate.set()
    until(lambda: over)


def test_a_task_may_wait_while_it_cleans_up(hub):
    begun, cleaned = threading.Event(), []

    def work():
        try:
            begun.set()
            waiting.new_event().wait()
        finally:
            waiting.sleep(0.01)
            cleaned.append(1)

    task = hub.submit(work)
    begun.wait(30)
    task.cancel()
    with pytest.raises(scheduler.Cancelled):
        task.result()
    assert cleaned == [1]


def test_cancelled_is_no_exception_that_a_failure_handler_takes():
    assert not issubclass(scheduler.Cancelled, Exception)


# --- promises


@pytest.mark.parametrize("where", ["thread", "fiber"])
def test_a_promise_is_waited_for_as_long_as_one_likes(where, hub):
    promise: waiting.Future[int] = waiting.Future()
    wait = promise.wait if where == "thread" else lambda seconds=None: hub.run(lambda: promise.wait(seconds))
    assert wait(0) is False
    assert wait(0.01) is False
    assert promise._waiting == []
    threading.Timer(0.02, promise.set_result, [1]).start()
    assert wait() is True
    assert wait(0) is True
    assert promise.done


def test_who_wants_to_be_woken_when_a_promise_is_kept_is_woken_once_and_at_once_if_it_is():
    woken = []

    class Listener:
        def __init__(self, name):
            self.name = name

        def set(self):
            woken.append(self.name)

    promise: waiting.Future[int] = waiting.Future()
    one, other, late = map(Listener, ("one", "other", "late"))
    promise.when_done(one)
    promise.when_done(other)
    promise.forget(other)
    promise.forget(late)  # which it does not know
    promise.set_exception(KeyError("why"))
    promise.when_done(late)
    assert woken == ["one", "late"]


def test_a_promise_that_fails_ends_the_wait_and_raises_for_all(hub):
    promise: waiting.Future[int] = waiting.Future()
    tasks = [hub.submit(promise.result) for _ in range(3)]
    until(lambda: len(promise._waiting) == 3)
    promise.set_exception(KeyError("why"))
    for task in tasks:
        with pytest.raises(KeyError, match="why"):
            task.result()


# --- a hub that threads share


def test_many_threads_run_work_on_one_hub_and_each_gets_its_own_result(hub):
    results = {}

    def work(number):
        waiting.sleep(0.001 * (number % 3))
        return number, threading.current_thread().name

    def caller(number):
        results[number] = [hub.run(lambda: work(number)) for _ in range(20)]

    threads = [threading.Thread(target=caller, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {number: [(number, "test")] * 20 for number in range(16)}


def test_what_the_work_raises_is_raised_in_the_thread_that_ran_it(hub):
    with pytest.raises(ZeroDivisionError):
        hub.run(lambda: 1 // 0)
    assert hub.run(lambda: 1) == 1


def test_an_interrupted_thread_cancels_its_work_and_goes_on_when_that_has_ended(hub, monkeypatch):
    begun, order = threading.Event(), []

    def work():
        try:
            begun.set()
            waiting.new_event().wait(60)
        finally:
            waiting.sleep(0.05)
            order.append("cleaned up")

    real = waiting.Future.result

    def interrupted(promise):
        monkeypatch.setattr(waiting.Future, "result", real)
        begun.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting.Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hub.run(work)
    order.append("raised")
    assert order == ["cleaned up", "raised"]
    assert hub.run(lambda: 1) == 1


def test_the_listener_of_a_task_is_called_when_it_has_ended(hub):
    ended: waiting.Future[object] = waiting.Future()
    task = hub.start(lambda: 7, ended.set_result)
    assert ended.result() is task
    assert task.result() == 7


def test_after_shutdown_no_work_is_accepted_and_what_was_under_way_has_ended():
    hub = scheduler.RunLoop("test")
    task = hub.submit(lambda: waiting.sleep(0.05) or 7)
    hub.shutdown()
    assert task.result() == 7
    for begin in (lambda: hub.submit(lambda: 1), lambda: hub.run(lambda: 1)):
        with pytest.raises(RuntimeError, match="was shut down"):
            begin()


def test_nobody_waits_for_ever_for_a_hub_whose_loop_failed():
    hub = scheduler.RunLoop("test")
    begun = threading.Event()
    errors = []

    def caller():
        try:
            hub.run(lambda: begun.set() or waiting.new_event().wait())
        except ZeroDivisionError as error:
            errors.append(error)

    thread = threading.Thread(target=caller)
    thread.start()
    begun.wait(30)
    hub.post(lambda: 1 / 0)
    thread.join(30)
    assert len(errors) == 1
    hub.shutdown()


def test_shutdowns_and_new_work_at_the_same_moment_leave_nobody_waiting():
    for _ in range(50):
        hub = scheduler.RunLoop("test")
        outcomes = []

        def caller(hub=hub, outcomes=outcomes):
            try:
                outcomes.append(hub.run(lambda: 1))
            except RuntimeError:
                outcomes.append("refused")

        threads = [threading.Thread(target=caller) for _ in range(4)]
        for thread in threads:
            thread.start()
        hub.shutdown()
        for thread in threads:
            thread.join(30)
        assert len(outcomes) == 4
        assert set(outcomes) <= {1, "refused"}


# --- waiting for one of several


def test_whichever_is_ready_first_ends_the_wait(hub):
    with ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(3)]
        promise: waiting.Future[int] = waiting.Future()
        wanted = [*((here, 1) for here, _ in pairs), promise]

        def which(seconds=30):
            ready = waiting.current_loop().await_any(wanted, seconds)
            return ready, [waiting.is_ready(each) for each in wanted]

        assert hub.run(lambda: which(0.01)) == (False, [False] * 4)
        threading.Timer(0.02, pairs[1][1].send, [b"x"]).start()
        assert hub.run(which) == (True, [False, True, False, False])
        pairs[1][0].recv(1)
        threading.Timer(0.02, promise.set_result, [1]).start()
        assert hub.run(which) == (True, [False, False, False, True])
        assert hub.run(which) == (True, [False, False, False, True])  # it is ready from the beginning
        assert promise._waiting == []


def test_a_socket_can_be_waited_for_until_it_can_be_written(hub):
    here, there = socket.socketpair()
    with here, there:
        assert hub.run(lambda: waiting.current_loop().await_any([(here, 2)], 30))
        assert waiting.is_ready((here, 2))
        assert not waiting.is_ready((here, 1))
