"""Metrics of several processes at one address, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from stellar.monitoring import processes
from stellar.monitoring.metrics import Distribution, Metric, MetricSample, render
from stellar.monitoring.processes import ProcessChannels, ProcessReport, respond_in_thread

CALLS = Metric("calls_total", "counter", "Calls.", ("model",))
WAIT = Metric("wait_seconds", "histogram", "Waiting time.")


def collect() -> Iterator[MetricSample]:
    yield CALLS.sample(3, 'dg"a')
    yield WAIT.sample(Distribution((1.0,), (1, 2), 3.5))


def find_nothing() -> None:
    """Return None."""


@pytest.fixture
def channels() -> Iterator[ProcessChannels]:
    """The connections to two processes."""
    with closing(ProcessChannels(2)) as channels:
        yield channels


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """A function that starts a process which responds to its parent."""
    started = []

    def start(channels: ProcessChannels, number: int, ready: Callable[[], str | None] = find_nothing) -> int:
        connection = channels.open(number)
        pid = os.fork()
        if not pid:
            channels.close()
            respond_in_thread(connection, collect, find_nothing, ready)
            time.sleep(600)
            os._exit(0)
        connection.close()
        started.append(pid)
        return pid

    yield start
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_samples_of_each_process_have_its_number(
    channels: ProcessChannels, start: Callable[..., int], check_metrics: Callable[[bytes], None]
) -> None:
    start(channels, 1)
    start(channels, 2)
    exposed = render(channels.collect()).decode()
    for number in (1, 2):
        assert f'stellar_process_up{{process="{number}"}} 1\n' in exposed
        assert f'calls_total{{model="dg\\"a",process="{number}"}} 3\n' in exposed
        assert f'wait_seconds_bucket{{process="{number}",le="1.0"}} 1\n' in exposed
    check_metrics(exposed.encode())


def test_a_process_that_has_ended_is_down_until_it_is_started_again(
    channels: ProcessChannels, start: Callable[..., int]
) -> None:
    start(channels, 1)
    os.kill(start(channels, 2), signal.SIGKILL)
    assert b'stellar_process_up{process="2"} 0\n' in render(channels.collect())
    assert channels.find_ready_problem() == "process 2: does not respond"
    assert channels.find_live_problem() is None
    start(channels, 2)
    assert b'stellar_process_up{process="2"} 1\n' in render(channels.collect())
    assert channels.find_ready_problem() is None


def test_a_process_that_was_not_started_is_down(channels: ProcessChannels) -> None:
    assert b'stellar_process_up{process="1"} 0\n' in render(channels.collect())


def test_problems_name_their_process(channels: ProcessChannels, start: Callable[..., int]) -> None:
    start(channels, 1)
    start(channels, 2, lambda: "no broker is available")
    assert channels.find_ready_problem() == "process 2: no broker is available"


def test_a_process_that_cannot_collect_is_not_ready_and_logs_the_reason(
    channels: ProcessChannels, start: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Iterator[MetricSample]:
        raise OSError("no such state")

    start(channels, 2)
    with closing(channels.open(1)) as connection:
        respond_in_thread(connection, fail, find_nothing, find_nothing)
        assert channels.find_ready_problem() == "process 1: cannot collect metrics; the log has the reason"
        assert "no such state" in caplog.text
        channels.close()


def test_a_report_that_comes_too_late_is_not_taken_for_that_of_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channels = ProcessChannels(1)
    connection = channels.open(1)
    requests, released = [], threading.Event()

    def respond() -> None:
        while request := connection.recv(4, socket.MSG_WAITALL):
            requests.append(request)
            if len(requests) == 1:
                released.wait(60)
            data = ProcessReport(None, f"report {len(requests)}", []).encode()
            half = len(data) // 2
            connection.sendall(request + len(data).to_bytes(4) + data[:half])
            connection.sendall(data[half:])

    thread = threading.Thread(target=respond)
    thread.start()
    monkeypatch.setattr(processes, "RESPONSE_SECONDS", 0.2)
    assert channels.find_ready_problem() == "process 1: does not respond"
    monkeypatch.setattr(processes, "RESPONSE_SECONDS", 60.0)
    released.set()
    assert channels.find_ready_problem() == "process 1: report 2"
    channels.close()
    thread.join()
    connection.close()
