"""Tests of evaluate_many: order, window, failures and early close."""

from __future__ import annotations

import threading
import time
from itertools import count

import pytest

import stellar
from stellar import evaluate_many
from stellar.language.context import Context
from stellar.language.library import Library
from stellar.util.windowed import in_order


class Gate:
    """A service at which evaluations wait until a number of them has arrived."""

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties, timeout=10)


@stellar.function("MEET")
def meet(context: Context, number: object) -> object:
    """Wait for the others.

    number: The number to return
    returns: The number
    """
    context[Gate].barrier.wait()
    return number


MEETING = Library.of(meet)
WINDOWS = [1, 2, 3, 64]


def record_reads(records, taken):
    for record in records:
        taken.append(record)
        yield record


@pytest.mark.parametrize("in_flight", WINDOWS)
def test_values_come_in_the_order_of_their_records(in_flight):
    records = [{"n": number} for number in range(200)]
    assert list(evaluate_many("n * 2", records, in_flight=in_flight)) == [number * 2 for number in range(200)]


def test_in_flight_records_are_evaluated_concurrently():
    expression = stellar.compile("MEET(n)", library=MEETING)
    context = Context({Gate: Gate(8)})  # opens when 8 evaluations wait
    assert list(evaluate_many(expression, ({"n": n} for n in range(40)), context, in_flight=8)) == list(range(40))


def test_a_source_may_call_the_functions_of_a_library():
    values = evaluate_many("MEET(n)", [{"n": 1}], Context({Gate: Gate(1)}), library=MEETING)
    assert list(values) == [1]


@pytest.mark.parametrize("in_flight", WINDOWS)
def test_at_most_in_flight_records_are_read_ahead(in_flight):
    taken: list[object] = []
    values = evaluate_many("n", record_reads(({"n": n} for n in count()), taken), in_flight=in_flight)
    assert taken == []
    for delivered in range(300):
        assert next(values) == delivered
        assert len(taken) - delivered <= in_flight
    values.close()


@pytest.mark.parametrize("in_flight", WINDOWS)
def test_a_failure_is_raised_in_the_position_of_its_record(in_flight):
    values = evaluate_many("1 / n", [{"n": 1}, {"n": 1}, {"n": 0}, {"n": 1}], in_flight=in_flight)
    assert [next(values), next(values)] == [1, 1]
    with pytest.raises(stellar.EvaluationError):
        next(values)


@pytest.mark.parametrize("in_flight", WINDOWS)
def test_a_failure_can_be_yielded_instead_of_a_value(in_flight):
    records = [{"n": 1}, {"n": 0}, {"n": 1}]
    first, failed, last = evaluate_many("1 / n", records, in_flight=in_flight, failures="yield")
    assert (first, last) == (1, 1)
    assert isinstance(failed, stellar.EvaluationError)


@pytest.mark.parametrize("in_flight", WINDOWS)
def test_results_of_read_records_precede_a_read_error(in_flight):
    def source():
        yield {"n": 1}
        yield {"n": 2}
        raise OSError("the disk is gone")

    values = evaluate_many("n", source(), in_flight=in_flight)
    assert [next(values), next(values)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(values)


def test_after_an_early_close_nothing_runs_and_no_thread_remains():
    begun: list[int] = []
    taken: list[int] = []

    def work(number):
        begun.append(number)
        time.sleep(0.01)
        return number

    threads = threading.active_count()
    results = in_order(work, record_reads(count(), taken), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    after = list(begun)
    assert threading.active_count() == threads
    assert len(taken) <= 3 + 4
    time.sleep(0.05)
    assert begun == after


def test_a_window_of_one_starts_no_thread():
    assert list(in_order(lambda _: threading.current_thread(), [1, 2], 1)) == [threading.main_thread()] * 2


def test_finished_results_do_not_wait_for_a_slow_source():
    allowed = threading.Event()

    def source():
        yield 1
        while not finished:
            time.sleep(0.001)
        yield 2
        assert allowed.is_set(), "the third record was read before the first result was yielded"
        yield 3

    finished: list[int] = []

    def work(number):
        finished.append(number)
        return number

    results = in_order(work, source(), 64)
    assert next(results) == 1
    allowed.set()
    assert list(results) == [2, 3]


def test_other_errors_than_evaluation_errors_are_always_raised():
    with pytest.raises(TypeError):
        list(evaluate_many("n", [1], failures="yield"))  # type: ignore[list-item]


@pytest.mark.parametrize("in_flight", [0, -1, 1.5, "2", True, None])
def test_an_invalid_window_is_rejected_before_a_record_is_read(in_flight):
    taken: list[object] = []
    with pytest.raises(ValueError, match="invalid in_flight: expected an integer of at least 1"):
        evaluate_many("n", record_reads([{}], taken), in_flight=in_flight)
    assert taken == []


def test_other_invalid_options_are_rejected_before_a_record_is_read():
    with pytest.raises(ValueError, match="'raise' or 'yield', got 'skip'"):
        evaluate_many("n", [], failures="skip")  # type: ignore[arg-type]
    with pytest.raises(stellar.ParseError):
        evaluate_many("1 +", [])
