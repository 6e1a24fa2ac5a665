"""The state machine of the circuit breakers, with a fake clock."""

from __future__ import annotations

import threading

import pytest

from stellar.maas.registries.memory import MemoryRegistry
from stellar.maas.schema import Endpoint, Model, ServiceInstance
from stellar.net.breaker import CircuitBreakers

URL = "http://one"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breakers(clock):
    return CircuitBreakers(clock=clock)


def fail(breakers, times=3, url=URL):
    return [breakers.record_failure(url) for _ in range(times)]


def state(breakers, url=URL):
    return breakers.states().get(url, "closed")


# --- consecutive failures


def test_three_consecutive_failures_open_a_circuit_for_a_second(breakers, clock):
    assert fail(breakers, 2) == [False, False]
    assert URL not in breakers
    assert state(breakers) == "closed"
    assert fail(breakers, 1) == [True]
    assert URL in breakers
    assert state(breakers) == "open"
    clock.now += 0.999
    assert URL in breakers
    clock.now += 0.001
    assert URL not in breakers
    assert state(breakers) == "half-open"


def test_a_success_resets_the_failure_count(breakers):
    for _ in range(5):
        assert fail(breakers, 2) == [False, False]
        breakers.record_success(URL)
    assert breakers.all_closed


def test_failures_count_only_within_ten_seconds(breakers, clock):
    fail(breakers, 2)
    clock.now += 10.1
    assert fail(breakers, 2) == [False, False]  # the first two are too old
    assert fail(breakers, 1) == [True]


def test_failures_that_are_ten_seconds_apart_still_count(breakers, clock):
    fail(breakers, 1)
    clock.now += 10.0
    assert fail(breakers, 2) == [False, True]


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_the_failure_threshold_is_a_setting(failures, clock):
    breakers = CircuitBreakers(failures, clock)
    assert fail(breakers, failures) == [False] * (failures - 1) + [True]


@pytest.mark.parametrize(("before", "after"), [(3, 2), (3, 1)])
def test_the_failure_threshold_can_be_lowered_between_failures(before, after, clock):
    breakers = CircuitBreakers(before, clock)
    fail(breakers, 2)
    breakers.failures = after
    assert fail(breakers, 1) == [True]


def test_a_circuit_stays_open_twice_as_long_each_time_and_at_most_ten_minutes(breakers, clock):
    fail(breakers)
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]:
        clock.now += seconds - 0.001
        assert URL in breakers, seconds
        clock.now += 0.001
        assert URL not in breakers, seconds
        assert breakers.begin_trial(URL)
        assert breakers.record_failure(URL)  # one failure is enough for a half-open circuit


def test_the_number_of_openings_has_no_bound(breakers, clock):
    for _ in range(5000):
        fail(breakers)
        clock.now += 600
    assert URL not in breakers


def test_failures_of_calls_that_began_before_the_opening_do_not_prolong_it(breakers, clock):
    fail(breakers)
    clock.now += 0.5
    assert fail(breakers, 10) == [False] * 10
    clock.now += 0.5
    assert URL not in breakers


# --- refused connections


def test_one_refused_connection_opens_a_circuit_for_a_tenth_of_a_second(breakers, clock):
    assert breakers.record_refused(URL)
    assert state(breakers) == "open"
    clock.now += 0.099
    assert URL in breakers
    clock.now += 0.002
    assert state(breakers) == "half-open"


def test_simultaneous_refused_connections_count_once(breakers, clock):
    assert [breakers.record_refused(URL) for _ in range(10)] == [True] + [False] * 9
    clock.now += 0.11
    assert URL not in breakers


def test_refused_connections_open_a_circuit_for_at_most_thirty_seconds(breakers, clock):
    for seconds in [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]:
        assert breakers.record_refused(URL)
        clock.now += seconds - 0.01
        assert URL in breakers, seconds
        clock.now += 0.02
        assert URL not in breakers, seconds


def test_a_success_resets_the_open_time(breakers, clock):
    for _ in range(5):
        breakers.record_refused(URL)
        clock.now += 30
    breakers.record_success(URL)
    breakers.record_refused(URL)
    clock.now += 0.11
    assert URL not in breakers


# --- half-open


def test_a_half_open_circuit_lets_one_call_through(breakers, clock):
    fail(breakers)
    clock.now += 1
    assert URL not in breakers
    assert [breakers.begin_trial(URL) for _ in range(3)] == [True, False, False]
    assert URL in breakers  # for other calls
    assert state(breakers) == "half-open"


def test_only_one_of_many_threads_gets_the_trial(breakers, clock):
    fail(breakers)
    clock.now += 1
    barrier, claimed = threading.Barrier(16), []

    def claim():
        barrier.wait()
        claimed.append(breakers.begin_trial(URL))

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [False] * 15 + [True]


@pytest.mark.parametrize("opened", ["never", "open", "closed again"])
def test_there_is_no_trial_of_a_circuit_that_is_closed_or_open(opened, breakers):
    if opened != "never":
        fail(breakers)
    if opened == "closed again":
        breakers.record_success(URL)
    assert not breakers.begin_trial(URL)


def test_failures_below_the_threshold_need_no_trial(breakers):
    fail(breakers, 2)
    assert not breakers.begin_trial(URL)
    assert URL not in breakers


def test_success_of_the_trial_closes_the_circuit(breakers, clock):
    fail(breakers)
    clock.now += 1
    assert breakers.begin_trial(URL)
    breakers.record_success(URL)
    assert breakers.all_closed
    assert fail(breakers, 2) == [False, False]


def test_an_inconclusive_trial_can_be_repeated_by_another_call(breakers, clock):
    fail(breakers)
    clock.now += 1
    assert breakers.begin_trial(URL)
    breakers.end_trial(URL)
    assert URL not in breakers
    assert breakers.begin_trial(URL)
    breakers.end_trial("http://unknown")


def test_a_trial_that_is_never_reported_ends_after_a_minute(breakers, clock):
    fail(breakers)
    clock.now += 1
    assert breakers.begin_trial(URL)
    clock.now += 59
    assert not breakers.begin_trial(URL)
    clock.now += 1
    assert breakers.begin_trial(URL)


def test_the_child_of_a_fork_does_not_inherit_a_trial(breakers, clock):
    fail(breakers)
    clock.now += 1
    assert breakers.begin_trial(URL)
    breakers.after_fork()
    assert breakers.begin_trial(URL)


def instance(id, url):
    return ServiceInstance.of(Model("dga", "1.0"), id, Endpoint(url=url))


@pytest.mark.parametrize("url", [URL, "http://other"])
def test_a_new_registration_at_the_same_url_closes_the_circuit(url, breakers):
    registry = MemoryRegistry(breakers=breakers)
    registry.register(instance("old", URL))
    fail(breakers)
    registry.register(instance("new", url))
    assert (URL in breakers) is (url != URL)


# --- choice of instances

FOUR = ("http://one", "http://two", "http://three", "http://four")


@pytest.mark.parametrize(("opened", "closed"), [(0, FOUR), (1, FOUR[1:]), (2, FOUR[2:]), (3, FOUR), (4, FOUR)])
def test_all_instances_are_used_if_more_than_half_of_the_circuits_are_open(opened, closed, breakers):
    for url in FOUR[:opened]:
        breakers.record_refused(url)
    assert tuple(breakers.exclude_open(FOUR)) == closed


def test_an_instance_is_healthy_until_it_fails_and_after_its_next_response(breakers):
    assert breakers.is_healthy("http://a")
    breakers.record_failure("http://a")
    assert [breakers.is_healthy(url) for url in ("http://a", "HTTP://A:80/", "http://b")] == [False, False, True]
    breakers.record_success("http://b")
    assert not breakers.is_healthy("http://a")
    breakers.record_success("HTTP://A:80/")
    assert breakers.is_healthy("http://a")


def test_the_choice_is_the_given_sequence_if_no_circuit_is_open(breakers):
    urls = ("http://a", "http://b", "http://c")
    assert breakers.exclude_open(urls) is urls
    breakers.record_failure("http://a")  # fewer failures than open a circuit
    assert breakers.exclude_open(urls) is urls
    breakers.record_refused("http://a")
    assert breakers.exclude_open(urls) == ["http://b", "http://c"]


def test_without_instances_the_choice_is_empty(breakers):
    breakers.record_refused(URL)
    assert list(breakers.exclude_open(())) == []


def test_a_url_has_one_circuit_in_every_spelling(breakers):
    breakers.record_refused("HTTP://One:80/")
    assert "http://one" in breakers
    assert breakers.states() == {"http://one": "open"}


# --- busy instances


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, 2.0), (5.0, 5.0), (3600.0, 5.0)])
def test_a_busy_instance_rests_for_its_retry_after_and_at_most_five_seconds(seconds, expected, breakers, clock):
    breakers.rest(URL, seconds)
    assert URL in breakers
    assert state(breakers) == "resting"
    assert breakers.rest_seconds(URL) == expected
    clock.now += expected
    assert URL not in breakers
    assert breakers.rest_seconds(URL) == 0
    assert breakers.states() == {}


@pytest.mark.parametrize("seconds", [0.0, -7.0])
def test_a_busy_instance_rests_for_a_minimum_time(seconds, breakers):
    breakers.rest(URL, seconds)
    assert 0 < breakers.rest_seconds(URL) < 1


def test_resting_does_not_count_as_a_failure(breakers, clock):
    for _ in range(10):
        breakers.rest(URL, 1)
    clock.now += 1
    assert not breakers.begin_trial(URL)
    assert fail(breakers, 2) == [False, False]


def test_a_busy_response_ends_the_trial(breakers, clock):
    fail(breakers)
    clock.now += 1
    assert breakers.begin_trial(URL)
    breakers.rest(URL, 2)
    assert URL in breakers
    clock.now += 2
    assert breakers.begin_trial(URL)


# --- lost to hedges


def test_lost_races_alone_open_no_circuit(breakers, clock):
    assert not any(breakers.record_beaten(URL, clock.now) for _ in range(100))
    assert URL not in breakers
    assert not breakers.open_if_unresponsive(URL, clock.now, 0.05)


def test_lost_races_open_the_circuit_of_an_unresponsive_instance(breakers, clock):
    last_response = clock.now
    clock.now += 5
    for _ in range(3):
        breakers.record_beaten(URL, clock.now)
    clock.now += 0.04
    assert not breakers.open_if_unresponsive(URL, last_response, 0.05)  # the instance was idle before, not unresponsive
    clock.now += 0.02
    assert breakers.open_if_unresponsive(URL, last_response, 0.05)
    assert state(breakers) == "open"
    assert not breakers.open_if_unresponsive(URL, last_response, 0.05)


def test_two_lost_races_open_no_circuit(breakers, clock):
    for _ in range(2):
        breakers.record_beaten(URL, clock.now)
    clock.now += 9
    assert not breakers.open_if_unresponsive(URL, 0.0, 0.05)


def test_lost_races_and_failures_are_counted_together(breakers, clock):
    breakers.record_beaten(URL, clock.now)
    breakers.record_beaten(URL, clock.now)
    assert breakers.record_failure(URL)


def test_a_response_resets_the_count_of_lost_races(breakers, clock):
    for _ in range(3):
        breakers.record_beaten(URL, clock.now)
    breakers.record_success(URL)
    clock.now += 1
    assert not breakers.open_if_unresponsive(URL, 0.0, 0.05)


def test_a_trial_that_loses_its_race_opens_the_circuit_for_twice_as_long(breakers, clock):
    fail(breakers)
    clock.now += 1
    assert breakers.begin_trial(URL)
    assert breakers.record_beaten(URL, clock.now)
    assert not breakers.record_beaten(URL, clock.now)  # of an earlier call
    assert state(breakers) == "open"
    clock.now += 1.9
    assert URL in breakers
    clock.now += 0.2
    assert breakers.begin_trial(URL)


def test_an_unknown_url_is_not_unresponsive(breakers):
    assert not breakers.open_if_unresponsive("http://unknown", 0.0, 0.05)


# --- snapshots of all circuits


def test_states_contain_the_circuits_that_are_not_closed(breakers, clock):
    fail(breakers, url="http://half-open")
    clock.now += 1
    fail(breakers, url="http://open")
    fail(breakers, 2, url="http://failed-twice")
    breakers.rest("http://resting", 3)
    assert breakers.states() == {
        "http://half-open": "half-open",
        "http://open": "open",
        "http://resting": "resting",
    }


def test_any_number_of_urls_takes_bounded_memory(breakers, monkeypatch):
    monkeypatch.setattr("stellar.net.breaker.MAX_CIRCUITS", 100)
    for number in range(1000):
        breakers.record_refused(f"http://made-up-{number}")
    assert len(breakers._circuits) == 100
    assert "http://made-up-999" in breakers
