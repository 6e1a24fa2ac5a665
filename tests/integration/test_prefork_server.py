"""A pre-fork web server that calls a model before it forks: each worker gets the responses to its own calls."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import stellar
from stellar.maas import FileRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

SECONDS = 60.0
ROOT = Path(stellar.__file__).parents[1]
PAGE = Path(__file__).parents[2] / "docs/models/processes.md"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

# A model in its own process: it returns the arguments and a verdict on a host
MODEL = """
import json, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        arguments = dict(parse_qsl(self.path.partition("?")[2]))
        time.sleep(0.002)  # so that calls overlap
        malicious = "malicious" if any(map(str.isdigit, arguments.get("host", ""))) else "legit"
        body = json.dumps({**arguments, "is_malicious": malicious}).encode()
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
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
"""

APPLICATION = """
import json, os

import stellar
from stellar.language.context import Context
from stellar.maas import ClientSettings, MemoryRegistry, Model, ModelClient, Registry, ServiceInstance
from stellar.maas.schema import Endpoint

registry = MemoryRegistry()
registry.register(ServiceInstance.of(Model("echo", "1.0"), "1", Endpoint(url=os.environ["MODEL_URL"])))
client = ModelClient(registry, ClientSettings(cache_size=0, timeout_ms=20_000, deadline_ms=30_000))
context = Context({Registry: registry, ModelClient: client})
expression = stellar.compile("MAP_GET('id', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('echo'), {'id': id}))")
loader = os.getpid()
assert expression({"id": "before the fork"}, context) == "before the fork"
numbers = [str(number) for number in range(20)]
assert list(stellar.evaluate_many(expression, [{"id": number} for number in numbers], context)) == numbers


def application(environ, start_response):
    answer = expression({"id": environ["QUERY_STRING"].removeprefix("id=")}, context)
    body = json.dumps({"id": answer, "pid": os.getpid(), "loader": loader}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def model():
    with subprocess.Popen([sys.executable, "-c", MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()


@pytest.fixture
def server(model, tmp_path):
    """Start gunicorn with four workers. Return its port, which accepts connections before gunicorn starts."""
    (tmp_path / "served.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        arguments = ["--preload", "--workers", "4", "--timeout", "60", "--bind", f"fd://{listener.fileno()}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments, "served:application"],
            cwd=tmp_path,
            env={**ENVIRONMENT, "MODEL_URL": model, "GUNICORN_CMD_ARGS": _without_control_socket()},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            _, said = process.communicate(timeout=SECONDS)
            sys.stderr.write(said.decode())  # shown if the test fails


def _without_control_socket():
    """Return the option with which newer versions write no socket into the user's home; older ones lack it."""
    options = subprocess.run([sys.executable, "-m", "gunicorn", "--help"], capture_output=True, text=True, check=True)
    return "--no-control-socket" if "--no-control-socket" in options.stdout else ""


def ask(port, id):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", f"/?id={id}")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_each_worker_gets_the_responses_to_its_own_calls(server):
    ids = [f"record-{number}" for number in range(400)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda id: ask(server, id), ids))
    assert [answer["id"] for answer in answers] == ids
    workers = Counter(answer["pid"] for answer in answers)
    assert 1 < len(workers) <= 4
    assert {answer["loader"] for answer in answers}.isdisjoint(workers)
    assert len({answer["loader"] for answer in answers}) == 1


def test_the_documented_program_prints_the_documented_output(model, tmp_path):
    program, shown = re.findall(r"```(?:python)?\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    with FileRegistry(tmp_path / "registry") as registry:
        registry.register(ServiceInstance.of(Model("dga", "1.0"), "1", Endpoint(url=model)))
        run = subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == shown
