"""Processes that work on messages: order, bounds, and the ways in which a process or its work can fail."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from stellar.util.workers import WorkerEnded, Workers, WorkFailed

pytestmark = pytest.mark.serial
LIMIT = 60.0


class Steps:
    """The work of a test: each message is a step, such as `sleep 0.1`."""

    def __init__(self) -> None:
        self.count = 0

    def do(self, message: bytes) -> bytes:
        self.count += 1
        step, _, argument = message.decode().partition(" ")
        return bytes(getattr(self, f"_{step}")(argument))

    def finish(self) -> bytes:
        return b"%d" % self.count

    def _sleep(self, argument: str) -> bytes:
        time.sleep(float(argument))
        return argument.encode()

    def _return(self, argument: str) -> bytes:
        return argument.encode()

    def _multiply(self, argument: str) -> bytes:
        return b"x" * 3_000_000

    def _process(self, argument: str) -> bytes:
        return b"%d" % os.getpid()

    def _fail(self, argument: str) -> bytes:
        raise ValueError(argument)

    def _kill(self, argument: str) -> bytes:
        os.kill(os.getpid(), int(argument))
        return b"alive"

    def _exit(self, argument: str) -> bytes:
        os._exit(int(argument))


@pytest.fixture
def start() -> Iterator[Callable[[int], Workers]]:
    started = []

    def start(count: int) -> Workers:
        started.append(Workers(count, Steps))
        return started[-1]

    yield start
    for workers in started:
        workers.close()


Start = Callable[[int], Workers]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_are_in_the_order_of_the_messages(count: int, start: Start) -> None:
    rnd = random.Random(count)
    seconds = [f"{rnd.uniform(0, 0.01)}" for _ in range(60)]
    workers = start(count)
    assert list(workers.map(f"sleep {each}".encode() for each in seconds)) == [each.encode() for each in seconds]
    assert sum(map(int, workers.finish())) == len(seconds)


def test_large_messages_and_results_block_no_side(start: Start) -> None:
    message = b"multiply " + b"y" * 3_000_000
    assert [len(each) for each in start(2).map([message] * 12)] == [3_000_000] * 12


def test_the_messages_read_ahead_are_bounded(start: Start) -> None:
    read = 0

    def read_messages() -> Iterator[bytes]:
        nonlocal read
        for number in range(100):
            read += 1
            yield b"return %d" % number

    ahead = [read - int(result) for result in start(2).map(read_messages())]
    assert 1 < max(ahead) <= 9


def test_all_results_are_returned_before_an_item_without_a_message(start: Start) -> None:
    seen: list[tuple[str, bytes | None]] = []
    before: list[int] = []

    def read_items() -> Iterator[str]:
        yield from ("return a", "sleep 0.02", "wait")
        before.append(len(seen))
        yield "return b"

    for result in start(2).process(read_items(), lambda item: None if item == "wait" else item.encode()):
        seen.append(result)
    assert seen == [("return a", b"a"), ("sleep 0.02", b"0.02"), ("wait", None), ("return b", b"b")]
    assert before == [3]


def test_an_error_of_the_work_is_raised_after_the_results_before(start: Start) -> None:
    results = start(2).map([b"sleep 0.05", b"sleep 0.01", b"fail no such thing"])
    assert (next(results), next(results)) == (b"0.05", b"0.01")
    with pytest.raises(WorkFailed, match=r"^no such thing$"):
        next(results)


@pytest.mark.parametrize(
    ("step", "end"),
    [
        (f"kill {signal.SIGKILL:d}", "was ended by SIGKILL before its work was done; the system may have run out of"),
        (f"kill {signal.SIGUSR1:d}", "was ended by SIGUSR1 before its work was done"),
        (f"kill {signal.SIGRTMIN + 1:d}", "was ended by signal "),
        ("exit 3", "ended with status 3 before its work was done"),
    ],
)
def test_the_end_of_a_process_is_an_error_after_the_results_before(step: str, end: str, start: Start) -> None:
    results = start(2).map([b"sleep 0.05", b"return a", step.encode(), *[b"return b"] * 20])
    assert (next(results), next(results)) == (b"0.05", b"a")
    with pytest.raises(WorkerEnded, match=rf"^worker [12] \(process \d+\) {end}"):
        list(results)


def test_the_end_of_a_process_that_waits_is_an_error(start: Start) -> None:
    workers = start(1)
    (process,) = workers.map([b"process"])
    os.kill(int(process), signal.SIGKILL)
    deadline = time.monotonic() + LIMIT
    while (pid := os.waitid(os.P_PID, int(process), os.WEXITED | os.WNOWAIT | os.WNOHANG)) is None:
        assert time.monotonic() < deadline
    assert pid.si_status == signal.SIGKILL
    with pytest.raises(WorkerEnded, match="SIGKILL"):
        list(workers.process([None], lambda item: item))
    with pytest.raises(WorkerEnded, match="SIGKILL"):
        workers.finish()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_for_the_whole_group_are_left_to_the_parent(number: signal.Signals, start: Start) -> None:
    assert list(start(2).map([b"kill %d" % number] * 4)) == [b"alive"] * 4


@pytest.mark.parametrize("messages", [[b"return a"], []])
def test_work_that_cannot_be_made_is_an_error(messages: list[bytes]) -> None:
    def fail() -> Steps:
        raise OSError("no connection")

    with Workers(2, fail) as workers, pytest.raises(WorkFailed, match=r"^no connection$"):
        _ = list(workers.map(messages)), workers.finish()


def test_no_process_is_left_after_the_end(start: Start) -> None:
    workers = start(3)
    processes = {int(each) for each in workers.map([b"process"] * 30)}
    list(workers.map([b"sleep 0"] * 3))
    workers.close()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
