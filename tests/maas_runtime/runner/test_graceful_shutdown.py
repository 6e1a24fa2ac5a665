"""The graceful shutdown of an instance whose clients are calling it, and the signals that request it."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import maas_runtime
from stellar.maas import ClientSettings, ModelClient
from stellar.maas.errors import MaasError

PACKAGES = Path(maas_runtime.__file__).parents[1]

# Serves keep-alive connections concurrently, and takes 0.3 s for each call
SLOW = """
import socket, threading, time

def talk(connection):
    with connection:
        while connection.recv(10_000):
            time.sleep(0.3)
            connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 14\\r\\n\\r\\n{"slow": true}')

with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
    with open("endpoint.dat", "w") as file:
        file.write('{"url": "http://127.0.0.1:%d"}' % server.getsockname()[1])
    while True:
        threading.Thread(target=talk, args=[server.accept()[0]], daemon=True).start()
"""
CALLERS = 16


def start_with_default_signals(command):
    """Start a process that does not ignore SIGHUP, although the tests may run under nohup."""
    return subprocess.Popen(
        command,
        cwd=PACKAGES,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


@pytest.fixture
def start(collateral, registry_dir, tmp_path):
    """Start a runner; arguments before its command line can be given in `prefix`."""
    started = []

    def start(*more, prefix=(), **files):
        container = tmp_path / "container"
        container.mkdir()
        collateral(**files).rename(container / "work")
        line = ["-n", "dga", "-v", "1.0", "-s", "rest.sh", "-ci", "7", "--registry", registry_dir]
        line += ["--container", container, "--end-seconds", 1, *more]
        command = [*prefix, sys.executable, "-m", "maas_runtime.runner.runner", *map(str, line)]
        started.append(start_with_default_signals(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


class Callers:
    """Threads that call a model until it is no longer registered; `results` has the result or error of each call."""

    def __init__(self, client):
        self._client = client
        self.results = []
        self._threads = [threading.Thread(target=self._call, args=[number]) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _call(self, number):
        for count in itertools.count():
            try:
                endpoint = self._client.endpoint("dga")
            except MaasError:
                return
            try:
                self.results.append(self._client.apply(endpoint.as_map(), None, {"host": f"{number}-{count}"}))
            except MaasError as error:
                self.results.append(error)
                return

    def join(self):
        for thread in self._threads:
            thread.join(60)


def test_calls_in_flight_are_answered_and_later_ones_are_refused_at_once(start, registry, eventually):
    runner = start("--drain-seconds", 60, **{"server.py": SLOW})
    eventually(lambda: registry.instances())
    with ModelClient(registry, ClientSettings(retries=0, timeout_ms=60_000, wait_ms=0)) as client:
        callers = Callers(client)
        eventually(lambda: len(callers.results) > 2 * CALLERS)
        runner.terminate()
        callers.join()
        assert [result for result in callers.results if result != {"slow": True}] == []
        assert runner.wait(30) == 0  # clients closed their connections, so before the limit


def test_an_idle_connection_of_a_client_does_not_delay_the_end(start, registry, eventually):
    runner = start("--drain-seconds", 600, **{"server.py": SLOW})
    eventually(lambda: registry.instances())
    with ModelClient(registry) as client:
        assert client.apply(client.endpoint("dga").as_map()) == {"slow": True}
        runner.terminate()
        assert runner.wait(60) == 0


def test_sighup_ends_an_instance_like_sigterm(start, registry, eventually):
    runner = start("--drain-seconds", 0)
    eventually(lambda: registry.instances())
    runner.send_signal(signal.SIGHUP)
    assert runner.wait(30) == 0
    assert registry.instances() == ()


def test_sighup_is_ignored_if_it_was_ignored_at_the_start(start, registry, eventually):
    runner = start("--drain-seconds", 0, prefix=["nohup"])
    eventually(lambda: registry.instances())
    runner.send_signal(signal.SIGHUP)
    ignored = [line for line in Path(f"/proc/{runner.pid}/status").read_text().splitlines() if "SigIgn" in line]
    assert int(ignored[0].split()[1], 16) >> (signal.SIGHUP - 1) & 1
    runner.terminate()
    assert runner.wait(30) == 0


@pytest.mark.parametrize("is_ignored", [False, True])
def test_sighup_ends_the_service_unless_it_was_ignored(is_ignored, registry_dir, state_store, eventually):
    line = [sys.executable, "-m", "maas_runtime.cli", "serve", "--registry", str(registry_dir)]
    line = ["nohup", *line] if is_ignored else line
    with start_with_default_signals(line) as service:
        eventually(state_store.is_led)
        service.send_signal(signal.SIGHUP)
        if is_ignored:
            service.terminate()
        assert service.wait(30) == 0
