"""Health checks: a hung model is ended, a busy one is not."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from time import sleep

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.runner.limits import Limits
from maas_runtime.runner.liveness import HealthLimits, HealthMonitor, ModelTurn
from maas_runtime.runner.probe import Probe
from maas_runtime.state.store import DirectoryStateStore
from stellar.maas import Model

DGA = Model("dga", "1.0")
QUICK = HealthLimits(interval=0.01, misses=3, hang=1.5)


class Server:
    """A server whose `answer` is what it sends to each request; None for nothing, b"" to close the connection."""

    def __init__(self):
        self.answer = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"
        self.requests = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._connections = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with suppress(OSError):
            while True:
                connection = self._listening.accept()[0]
                self._connections.append(connection)
                if request := connection.recv(10_000):
                    self.requests.append(request.split(b"\r\n")[0].decode())
                    if self.answer is not None:
                        connection.sendall(self.answer)
                        connection.close()

    def close(self):
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def monitor_of():
    monitors = []

    def make(url, health=None, cpu=lambda: 0.0, turn=None, limits=QUICK):
        monitors.append(HealthMonitor(url, health, cpu, turn, limits))
        return monitors[-1]

    yield make
    for monitor in monitors:
        monitor.close()


def status(number):
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % number


# --- probes

OUTCOMES = {
    "a status": (status(503), "response", 503),
    "a body without a length": (b"HTTP/1.0 200 OK\r\n\r\nfoobar", "response", 200),
    "lines that end with a line feed": (b"HTTP/1.0 404 X\n\nnothing", "response", 404),
    "other bytes": (b"SSH-2.0-OpenSSH_9.6\r\n", "other", 0),
    "half a response": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfoo", "other", 0),
    "a closed connection": (b"", "closed", 0),
    "nothing": (None, "silent", 0),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_the_outcome_of_a_probe_tells_responses_and_silence_apart(case, server):
    server.answer, kind, code = OUTCOMES[case]
    outcome = Probe(f"{server.url}/x?y").send(0.5 if kind == "silent" else 30)
    assert (outcome.kind, outcome.status) == (kind, code)
    assert server.requests == ["GET /x?y HTTP/1.1"]


def test_a_port_without_a_server_is_refused(server):
    server.close()
    assert Probe(server.url).send(30).kind == "refused"


def test_a_response_that_never_ends_is_not_silence(server):
    server.answer = None
    probe = Probe(server.url)

    def trickle(elapsed):
        server._connections[0].sendall(b"H")
        return True

    assert probe.send(0.6, trickle).kind == "other"
    assert probe.received


def test_a_probe_can_be_abandoned(server):
    server.answer = None
    assert Probe(server.url).send(30, lambda elapsed: False).kind == "abandoned"


# --- health paths


@pytest.mark.parametrize(("code", "ready"), [(200, True), (204, True), (302, False), (404, False), (503, False)])
def test_only_a_2xx_status_is_healthy(code, ready, server, monitor_of):
    server.answer = status(code)
    problem = monitor_of(server.url, "health").check_ready()
    assert problem is None if ready else f"the health check returns {code} at {server.url}/health; the" in str(problem)
    assert server.requests == ["GET /health HTTP/1.1"]


def test_the_health_path_may_be_the_root(server, monitor_of):
    server.answer = status(200)
    monitor = monitor_of(server.url, "")
    assert monitor.check_ready() is None
    assert server.requests == ["GET / HTTP/1.1"]


def test_a_status_other_than_2xx_fails_an_instance_after_three_checks(server, monitor_of):
    monitor = monitor_of(server.url, "health")
    for code, failed in ((503, False), (503, False), (200, False), (503, False), (500, False), (503, True)):
        server.answer = status(code)
        monitor.check()
        assert (monitor.failure is not None) == failed
        assert (monitor.problem is None) == (code == 200)
    assert "the health check returns 503" in str(monitor.failure)


def test_an_idle_instance_that_does_not_respond_at_its_health_path_has_hung(server, monitor_of):
    server.answer = None
    monitor = monitor_of(server.url, "health")
    monitor.check()
    assert f"it hung: no byte from {server.url}/health in 2 s, and its processes were idle" in str(monitor.failure)


# --- liveness


def begin(monitor):
    """Begin to check, and wait until the first checks of each kind are done."""
    monitor.start()
    assert monitor.has_begun.wait(30)


def test_any_response_is_a_sign_of_life(server, monitor_of, eventually):
    monitor = monitor_of(server.url)
    begin(monitor)
    assert monitor.speaks_http
    eventually(lambda: len(server.requests) > 3)
    assert set(server.requests) == {"GET /maas-liveness HTTP/1.1"}
    assert monitor.failure is None


def test_an_idle_instance_without_a_response_has_hung_and_says_so_before(server, monitor_of, eventually):
    monitor = monitor_of(server.url)
    begin(monitor)
    server.answer = None
    problem = eventually(lambda: monitor.problem)
    assert "no response from" in problem.reason
    assert "it hung" in str(eventually(lambda: monitor.failure))
    assert '"health": false' in monitor.failure.fix


def test_an_instance_whose_processes_are_busy_has_not_hung(server, monitor_of, eventually):
    now = [0.0]

    def measure():
        now[0] += 1.0
        return now[0]

    monitor = monitor_of(server.url, cpu=measure)
    begin(monitor)
    server.answer = None
    count = len(server.requests)
    eventually(lambda: len(server.requests) > count + 1)  # a further probe after the one that got no response
    assert monitor.failure is None


def test_an_instance_whose_cpu_time_is_unknown_has_not_hung(server, monitor_of, eventually):
    monitor = monitor_of(server.url, cpu=lambda: None)
    begin(monitor)
    server.answer = None
    count = len(server.requests)
    eventually(lambda: len(server.requests) > count + 1)
    assert monitor.failure is None


def test_there_is_no_second_probe_while_one_is_open(server, monitor_of, eventually):
    monitor = monitor_of(server.url, limits=HealthLimits(0.01, 3, 600.0))
    begin(monitor)
    eventually(lambda: len(server.requests) > 1)
    server.answer = None
    eventually(lambda: monitor.problem)
    count = len(server.requests)
    sleep(0.5)
    assert len(server.requests) == count


@pytest.mark.parametrize("answer", [None, b"", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_a_model_that_never_spoke_http_is_not_probed(answer, server, monitor_of, eventually):
    server.answer = answer
    monitor = monitor_of(server.url)
    begin(monitor)
    eventually(lambda: monitor._checks > 10)
    assert len(server.requests) == 1
    assert monitor.failure is None


def test_without_health_checks_no_request_is_sent_but_a_closed_port_is_noticed(server, monitor_of, eventually):
    monitor = monitor_of(server.url, False)
    begin(monitor)
    eventually(lambda: monitor._checks > 10)
    assert server.requests == []
    assert monitor.failure is None
    server.close()
    assert "no server is listening" in str(eventually(lambda: monitor.failure))


@pytest.fixture
def turns(tmp_path):
    turns = [ModelTurn(DirectoryStateStore(tmp_path), DGA) for _ in range(2)]
    yield turns
    for turn in turns:
        turn.release()


def test_only_the_instance_with_the_turn_is_ended(turns, server, monitor_of, eventually):
    assert turns[0].take()
    monitor = monitor_of(server.url, turn=turns[1])
    begin(monitor)
    server.answer = None
    count = len(server.requests)
    eventually(lambda: len(server.requests) > count + 1)
    assert monitor.failure is None
    turns[0].release()
    assert "it hung" in str(eventually(lambda: monitor.failure))
    assert not turns[0].take()  # kept until the process of the instance has ended


def test_the_turn_is_released_by_an_instance_that_responds_again(turns, server, monitor_of, eventually):
    monitor = monitor_of(server.url, turn=turns[0], limits=HealthLimits(0.01, 3, 600.0))
    begin(monitor)
    server.answer = None
    eventually(lambda: monitor.problem)
    eventually(lambda: not turns[1].take())
    server.answer = status(404)
    server._connections[-1].sendall(status(404))
    server._connections[-1].close()
    eventually(turns[1].take)


# --- with processes of models

# Handles one call at a time, and takes 100 ms for each: computing, or waiting with hardly any CPU time
BUSY = """
import json, socket, sys, time

with socket.create_server(("127.0.0.1", 0), backlog=int(sys.argv[3])) as server:
    with open("endpoint.dat", "w") as file:
        json.dump({"url": "http://127.0.0.1:%d" % server.getsockname()[1], **json.loads(sys.argv[1])}, file)
    while True:
        connection, _ = server.accept()
        try:
            with connection:
                if connection.recv(10_000):
                    end = time.monotonic() + 0.1
                    if sys.argv[2] == "sleep":
                        time.sleep(0.1)
                    while time.monotonic() < end:
                        pass
                    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
        except OSError:
            pass
"""
CALLERS = 60


class Crowd:
    """Callers that each send one request after the other, each on a new connection, which they close at the end."""

    def __init__(self, url):
        self._open = set()
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._address, self._ended = (host, int(port)), threading.Event()
        self.answered = 0
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _call(self):
        while not self._ended.is_set():
            with suppress(OSError), socket.create_connection(self._address, timeout=60) as connection:
                self._open.add(connection)
                connection.sendall(b"GET /apply?host=a HTTP/1.0\r\n\r\n")
                if connection.recv(1000):
                    self.answered += 1
                self._open.discard(connection)

    def close(self):
        self._ended.set()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@pytest.fixture
def deploy(make_local_deployer, store, collateral, tmp_path):
    def deploy(server, *arguments, instances=1, hang=2.0):
        words = " ".join(f"'{argument}'" for argument in arguments)
        script = f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec {sys.executable} server.py {words}\n"
        store.upload(collateral(script, **{"server.py": server}), "/dga")
        deployer = make_local_deployer(Limits(start=60.0, drain=0.0, end=1.0, probe=0.1, misses=3, hang=hang))
        deployer.scale(Deployment(DGA, "/dga"), instances)
        return deployer

    return deploy


@pytest.mark.parametrize(
    ("said", "kind", "backlog"),
    [("{}", "spin", 128), ("{}", "sleep", 5), ('{"health": "/health"}', "sleep", 128)],
)
def test_a_model_that_is_busy_for_longer_than_the_limit_is_not_ended(said, kind, backlog, deploy, registry, eventually):
    deployer = deploy(BUSY, said, kind, backlog, hang=1.0)
    instance = eventually(lambda: registry.instances())[0]
    crowd = Crowd(instance.url)
    try:
        eventually(lambda: crowd.answered > 60)
        assert deployer.running(DGA) == 1
        assert registry.instances() == (instance,)
    finally:
        crowd.close()


def test_a_stopped_model_is_ended_with_the_reason_and_can_be_replaced(
    deploy, registry, state_store, eventually, tmp_path
):
    deployer = deploy(BUSY, "{}", "sleep", 128)
    eventually(lambda: registry.instances())
    os.kill(int((tmp_path / "pids").read_text()), signal.SIGSTOP)
    eventually(lambda: deployer.running(DGA) == 0)
    assert "it hung: no byte from http://127.0.0.1:" in state_store.read("failures/dga/1.0")["last"]
    assert registry.instances() == ()
    deployer.scale(Deployment(DGA, "/dga"), 1)
    assert eventually(lambda: registry.instances())


def test_a_stopped_model_under_load_is_ended(deploy, registry, eventually, tmp_path):
    deployer = deploy(BUSY, "{}", "sleep", 128)
    crowd = Crowd(eventually(lambda: registry.instances())[0].url)
    try:
        eventually(lambda: crowd.answered > 5)
        os.kill(int((tmp_path / "pids").read_text()), signal.SIGSTOP)
        eventually(lambda: deployer.running(DGA) == 0)
    finally:
        crowd.close()


# Accepts connections and starts a thread for each; once a file exists, the threads wait for ever
DEADLOCK = """
import os, socket, threading

def talk(connection):
    with connection:
        connection.recv(10_000)
        if os.path.exists(os.environ["DEADLOCK"]):
            threading.Event().wait()
        connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n{}")

with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
    with open("endpoint.dat", "w") as file:
        file.write('{"url": "http://127.0.0.1:%d"}' % server.getsockname()[1])
    while True:
        threading.Thread(target=talk, args=[server.accept()[0]], daemon=True).start()
"""


def test_a_deadlocked_model_that_accepts_connections_is_ended(deploy, registry, eventually, tmp_path, monkeypatch):
    monkeypatch.setenv("DEADLOCK", str(tmp_path / "deadlock"))
    deployer = deploy(DEADLOCK)
    instance = eventually(lambda: registry.instances())[0]
    (tmp_path / "deadlock").touch()
    crowd = Crowd(instance.url)
    try:
        eventually(lambda: deployer.running(DGA) == 0)
    finally:
        crowd.close()


def test_stopped_instances_of_a_model_are_ended_one_after_the_other(
    deploy, registry, state_store, eventually, tmp_path
):
    deployer = deploy(BUSY, "{}", "sleep", 128, instances=2)
    eventually(lambda: len(registry.instances()) == 2)
    for pid in (tmp_path / "pids").read_text().split():
        os.kill(int(pid), signal.SIGSTOP)
    seen = {eventually(lambda: (running := deployer.running(DGA)) < 2 and [running])[0]}
    eventually(lambda: seen.add(deployer.running(DGA)) or 0 in seen)
    assert seen == {0, 1}
    assert state_store.read("failures/dga/1.0")["count"] == 2
