"""Pollers: which sockets are ready, on every system."""

from __future__ import annotations

import selectors
import socket
import sys
import time
from contextlib import ExitStack

import pytest

from stellar.util import poller, scheduler, waiting
from stellar.util.poller import SelectorPoller, new_poller
from stellar.util.scheduler import RunLoop

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

POLLERS = [SelectorPoller, *([poller.EpollPoller] if sys.platform == "linux" else [])]


@pytest.fixture(params=POLLERS)
def polled(request):
    opened = request.param()
    yield opened
    opened.close()


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def ready(polled, seconds=30):
    return sorted(number for number, _ in polled.poll(seconds))


def test_sockets_with_data_or_room_for_data_are_ready(polled, pair):
    here, there = pair
    polled.register(here.fileno(), READ)
    assert ready(polled, 0) == []
    there.send(b"x")
    assert ready(polled) == ready(polled, None) == [here.fileno()]
    polled.register(there.fileno(), WRITE)
    assert ready(polled) == sorted([here.fileno(), there.fileno()])
    polled.unregister(here.fileno())
    assert ready(polled) == [there.fileno()]


def test_a_closed_peer_is_an_event(polled, pair):
    polled.register(pair[0].fileno(), READ)
    pair[1].close()
    assert ready(polled) == [pair[0].fileno()]


def test_a_closed_socket_can_be_removed_but_not_added(polled, pair):
    here, _ = pair
    number = here.fileno()
    polled.register(number, READ)
    here.close()
    polled.unregister(number)
    with pytest.raises((ValueError, OSError)):
        polled.register(here.fileno(), READ)


def test_a_wait_is_not_shorter_than_its_time_out(polled, pair):
    polled.register(pair[0].fileno(), READ)
    begin = time.monotonic()
    assert ready(polled, 0.0123) == []
    assert time.monotonic() - begin >= 0.0123


def test_more_sockets_than_one_call_returns_are_all_served():
    with ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(poller.MAX_READY + 20)]
        loop = RunLoop("test")
        tasks = [loop.submit(waiting.wait_readable, here, 60) for here, _ in pairs]
        for _, there in pairs:
            there.send(b"x")
        assert all(task.result() for task in tasks)
        loop.shutdown()


def test_a_run_loop_works_with_each_poller(monkeypatch, pair):
    here, there = pair
    for kind in POLLERS:
        monkeypatch.setattr(scheduler, "new_poller", kind)
        loop = RunLoop("test")
        task = loop.submit(waiting.wait_readable, here, 60)
        there.send(b"x")
        assert task.result()
        assert here.recv(10) == b"x"
        assert not loop.run(lambda: waiting.wait_readable(here, 0.001))
        loop.shutdown()


def test_the_poller_of_this_system_is_the_fastest():
    with_loop = new_poller()
    assert type(with_loop) is POLLERS[-1]
    with_loop.close()


def test_a_run_loop_drops_a_socket_that_it_does_not_know(pair):
    loop = RunLoop("test")
    here, there = pair
    loop.run(lambda: loop._poller.register(here.fileno(), READ))
    there.send(b"x")
    for _ in range(3):
        loop.run(lambda: waiting.sleep(0.002))
    loop._poller.register(here.fileno(), READ)  # an error if it was still registered
    loop._poller.unregister(here.fileno())
    loop.shutdown()
