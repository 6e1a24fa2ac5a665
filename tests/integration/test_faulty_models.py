"""Models that hang, print without end, exhaust memory or return invalid responses: each record gets a result."""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from contextlib import suppress

import pytest

from stellar.maas import ClientSettings, ModelClient

from .conftest import AT, wait_for

pytestmark = pytest.mark.engine

MODEL = """
import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

state = {"fault": ""}

def flood():
    line = b"x" * 999 + b"\\n"
    for _ in range(200_000):
        os.write(1, line)
    state["flooded"] = True

def eat():
    held = []
    while True:
        held.append(bytearray(b"x") * 20_000_000)
        time.sleep(0.02)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in ("/flood", "/eat"):
            threading.Thread(target=globals()[path[1:]], daemon=True).start()
        elif path in ("/hang", "/rubbish"):
            state["fault"] = path
        elif state["fault"] == "/hang":
            time.sleep(600)
        body = json.dumps({"pid": os.getpid(), "flooded": state.get("flooded", False)}).encode()
        if path == "/apply" and state["fault"] == "/rubbish":
            body = b"\\x00\\xff<html>" * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

server = Server(("127.0.0.1", 0), Handler)
with open("endpoint.dat", "w") as file:
    json.dump({"url": f"http://127.0.0.1:{server.server_port}", "health": "/health"}, file)
server.serve_forever()
"""


class Records:
    """Calls in a loop, from several threads, with a count of those without a result."""

    def __init__(self, registry):
        settings = ClientSettings(cache_size=0, timeout_ms=1000)
        self.client = ModelClient(registry, settings)
        self.registry, self.succeeded, self.lost = registry, 0, []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]

    def _call(self):
        while not self._ended.is_set():
            try:
                self.client.apply(self.registry.endpoint("dga").as_map(), None, {"host": "x"})
            except Exception as error:  # noqa: BLE001 - any error is a record without a result
                self.lost.append(error)
            else:
                self.succeeded += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self.client.close()


@pytest.fixture
def world(world):
    """Start two ready instances, with a service that checks health often."""
    (world.model / "dga.py").write_text(MODEL)
    (world.model / "rest.sh").write_text(f"#!/bin/bash\nexec {sys.executable} dga.py\n")
    world.start(options=("--probe-seconds", "0.3", "--hang-seconds", "2"))
    wait_for(lambda: world.status()[0].startswith("service: running"))
    options = ("-mo", "ADD", "-hmp", "/dga", "-lmp", world.model, "-m", 300, "-ni", 2, *AT)
    world.deploy(*options, "--wait")
    return world


def send(url, path):
    with urllib.request.urlopen(url + path, timeout=5) as answer:
        return json.load(answer)


def last_failure(world):
    return world.status()[-1]


@pytest.mark.parametrize(("fault", "reason"), [("/hang", "it hung: no byte from"), ("/eat", "limit of 300 MB")])
def test_a_lost_model_is_replaced_and_each_record_gets_a_result(fault, reason, world):
    first, other = world.ready(2)
    with Records(world.registry) as records:
        with suppress(OSError):  # it may end before it responds
            send(first.url, fault)
        wait_for(lambda: first.url not in world.urls())
        wait_for(lambda: len(world.urls()) == 2)
        before = records.succeeded
        wait_for(lambda: records.succeeded > before + 50)
    assert records.lost == []
    assert other.url in world.urls()
    assert reason in last_failure(world)


def test_a_model_that_prints_without_end_goes_on_and_uses_little_space(world):
    first, _ = world.ready(2)
    pid = send(first.url, "/health")["pid"]
    with Records(world.registry) as records:
        send(first.url, "/flood")
        wait_for(lambda: send(first.url, "/health")["flooded"], 60)
    assert records.lost == []
    assert send(first.url, "/health")["pid"] == pid
    folder = world.registry_dir / "containers" / first.id
    kept = sum(file.stat().st_size for file in folder.glob("stdout*"))
    assert 20_000_000 < kept <= 5 * 20_000_000


def test_a_model_with_invalid_responses_is_avoided_and_each_record_gets_a_result(world):
    first, other = world.ready(2)
    with Records(world.registry) as records:
        send(first.url, "/rubbish")
        wait_for(lambda: first.url in world.registry.breakers)
        before = records.succeeded
        wait_for(lambda: records.succeeded > before + 50)
        assert records.client.counters().quarantined == 1
    assert records.lost == []
    assert world.urls() == {first.url, other.url}  # it is healthy, by its health check
