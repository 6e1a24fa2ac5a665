"""Concurrency limits and load balancing by the load of each server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stellar.net.limits import UNKNOWN_LATENCY, ConcurrencyLimiter, ServerLoad

SECONDS = 30.0  # time-out for a test that would hang
URL = "http://one"


def wait_for_waiters(load: ServerLoad, number: int) -> None:
    pause = threading.Event()
    while len(load.waiting) < number:
        pause.wait(0.001)


def test_a_limit_of_zero_means_no_limit() -> None:
    limiter = ConcurrencyLimiter(0)
    load = limiter.of(URL)
    assert all(limiter.try_enter(load) for _ in range(1000))
    assert limiter.enter(load, 0.0)
    assert not limiter.is_full(load)
    assert load.in_flight == 1001


def test_each_server_has_its_own_limit() -> None:
    limiter = ConcurrencyLimiter(1)
    one, two = limiter.of(URL), limiter.of("http://two")
    assert limiter.try_enter(one)
    assert not limiter.try_enter(one)
    assert limiter.try_enter(two)
    limiter.leave(one)
    assert limiter.try_enter(one)


def test_a_caller_gets_no_slot_after_its_time_out() -> None:
    limiter = ConcurrencyLimiter(1)
    load = limiter.of(URL)
    assert limiter.try_enter(load)
    assert not limiter.enter(load, 0.01)
    assert (load.in_flight, len(load.waiting)) == (1, 0)


def test_slots_are_granted_first_come_first_served() -> None:
    limiter = ConcurrencyLimiter(1)
    load = limiter.of(URL)
    assert limiter.try_enter(load)
    order: list[int] = []

    def enter(number: int) -> bool:
        entered = limiter.enter(load, SECONDS)
        order.append(number)
        limiter.leave(load)
        return entered

    with ThreadPoolExecutor(3) as threads:
        waiting = []
        for number in range(3):
            waiting.append(threads.submit(enter, number))
            wait_for_waiters(load, number + 1)
        assert load.requests == 4
        limiter.leave(load)
        assert all(each.result(SECONDS) for each in waiting)
    assert order == [0, 1, 2]
    assert load.requests == 0


def test_evict_ends_all_waits_without_a_slot() -> None:
    limiter = ConcurrencyLimiter(1)
    load = limiter.of(URL)
    assert limiter.try_enter(load)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(limiter.enter, load, SECONDS) for _ in range(2)]
        wait_for_waiters(load, 2)
        limiter.evict(URL)
        assert [each.result(SECONDS) for each in waiting] == [False, False]
    assert (load.in_flight, len(load.waiting)) == (1, 0)


def test_the_child_of_a_fork_starts_without_load() -> None:
    limiter = ConcurrencyLimiter(1)
    assert limiter.try_enter(limiter.of(URL))
    limiter.after_fork()
    assert limiter.of(URL).requests == 0


def test_the_only_url_is_chosen() -> None:
    assert ConcurrencyLimiter(1).less_busy([URL]) == URL


def test_a_latency_rises_at_once_and_falls_slowly() -> None:
    load = ServerLoad(URL)
    load.measure(0.1, 100.0)
    load.measure(0.4, 100.0)
    assert load.latency == 0.4
    load.measure(0.1, 100.5)
    assert 0.1 < load.latency < 0.4
    before = load.latency
    load.measure(0.1, 110.0)
    assert 0.1 < load.latency < before
    assert load.latency == pytest.approx(0.1, abs=0.001)


def test_the_cost_grows_with_requests_and_decays_with_time() -> None:
    load = ServerLoad(URL)
    load.measure(0.1, 100.0)
    idle = load.cost(100.0)
    load.in_flight = 3
    assert load.cost(100.0) == pytest.approx(4 * idle)
    assert load.cost(101.0) < load.cost(100.0)


def test_a_server_that_has_never_responded_is_assumed_to_be_slow() -> None:
    load = ServerLoad(URL)
    assert load.cost(100.0) < 0.001
    load.in_flight = 1
    assert load.cost(100.0) >= 2 * UNKNOWN_LATENCY
