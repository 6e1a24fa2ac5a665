"""Single flight: one call for concurrent callers with equal keys."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar.util.single_flight import SingleFlight


def test_callers_that_come_during_a_call_share_its_result() -> None:
    flights: SingleFlight[object] = SingleFlight()
    started, go, calls = threading.Event(), threading.Event(), []

    def make() -> object:
        calls.append(1)
        started.set()
        assert go.wait(60)
        return object()

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(flights.call, "a", make)
        assert started.wait(60)
        others = [pool.submit(flights.call, "a", make) for _ in range(3)]
        assert flights.call("b", lambda: 5) == 5  # another key does not wait
        while len(flights._flights["a"]._waiting) < 3:  # until all three wait for the first
            threading.Event().wait(0.001)
        go.set()
        assert {id(future.result()) for future in others} == {id(first.result())}
    assert calls == [1]
    assert flights.call("a", lambda: 6) == 6  # a later call is made again


def test_an_error_is_that_of_its_caller_and_another_caller_makes_the_call() -> None:
    flights: SingleFlight[int] = SingleFlight()
    started, go = threading.Event(), threading.Event()

    def fail() -> int:
        started.set()
        assert go.wait(60)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.call, "a", fail)
        assert started.wait(60)
        second = pool.submit(flights.call, "a", lambda: 7)
        while not flights._flights["a"]._waiting:
            threading.Event().wait(0.001)
        go.set()
        assert second.result() == 7
        with pytest.raises(KeyboardInterrupt):
            first.result()


def test_the_child_of_a_fork_does_not_wait_for_calls_of_its_parent() -> None:
    flights: SingleFlight[int] = SingleFlight()

    def fork() -> int:
        if (made := os.fork()) == 0:
            status = 1
            try:
                status = flights.call("a", lambda: 3)
            finally:
                os._exit(status)
        return made

    child = flights.call("a", fork)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
