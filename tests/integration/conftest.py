"""Fixtures: services, commands and clients on a real ZooKeeper."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

import maas_runtime
from drills.services import Host
from maas_runtime.cli.main import main
from maas_runtime.cli.metron import maas_deploy
from stellar.maas import ZooKeeperRegistry

JAVA = Path(__file__).parent / "java"
PACKAGES = Path(maas_runtime.__file__).parents[1]
SESSION_SECONDS = 2.0
AT = ("-n", "dga", "-v", "1.0")
ADD = ("-mo", "ADD", "-hmp", "/user/root/models", "-m", "512", *AT)

MODEL = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answer = "legit" if self.path == "/apply?host=yahoo.com" else "malicious"
        version = os.environ["MAAS_MODEL_VERSION"]
        body = json.dumps({"is_malicious": answer, "pid": os.getpid(), "version": version}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class Server(ThreadingHTTPServer):
    request_queue_size = 128

server = Server(("0.0.0.0", 0), Handler)
with open("endpoint.dat", "w") as file:
    json.dump({"url": f"http://0.0.0.0:{server.server_port}"}, file)
server.serve_forever()
"""


def wait_for(condition, seconds=60.0):
    """Call `condition` until it returns a true value, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)
    return found


def is_running(pid):
    """Return whether a process runs; a zombie does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class World:
    """Services, commands and clients of one ZooKeeper, with common defaults."""

    def __init__(self, hosts, folder, capsys):
        self.hosts, self.folder, self._capsys = hosts, folder, capsys
        self.registry_dir = folder / "registry"
        self.services = []
        self.model = folder / "mock_dga"
        self.model.mkdir()
        (self.model / "dga.py").write_text(MODEL)
        (self.model / "rest.sh").write_text(f"#!/bin/bash\n{sys.executable} dga.py\n")
        self.registry = ZooKeeperRegistry(hosts)

    def run(self, command, *arguments):
        """Run a command. Return its status, output and errors."""
        status = command(["-zq", self.hosts, *map(str, arguments)])
        return (status, *self._capsys.readouterr())

    def deploy(self, *arguments):
        """Run maas_deploy.sh. If it waited, wait until this process sees the same instances by its watches."""
        status, output, errors = self.run(maas_deploy, *arguments)
        assert (status, errors) == (0, "")
        for name, version, count in re.findall(r"^(\S+) @ (\S+): (\d+) ready$", output, re.MULTILINE):
            wait_for(lambda: len(self.registry.instances(name, version)) == int(count))  # noqa: B023
        return output

    def status(self):
        assert main(["status", "-zq", self.hosts]) == 0
        return self._capsys.readouterr().out.splitlines()

    def start(self, *, log="serve.log", options=()):
        """Start a service, which may wait for leadership."""
        line = [sys.executable, "-m", "maas_runtime.cli", "serve", "-zq", self.hosts, "--drain-seconds", "0", *options]
        with (self.folder / log).open("ab") as file:
            process = subprocess.Popen(line, cwd=PACKAGES, stdout=file, stderr=file)
        self.services.append(process)
        return process

    def log(self, log="serve.log"):
        return (self.folder / log).read_text()

    def ready(self, count):
        return wait_for(lambda: len(found := self.registry.instances("dga")) == count and found)

    def urls(self):
        return {instance.url for instance in self.registry.instances()}

    def runner_of(self, instance):
        return int((self.registry_dir / "containers" / instance.id / "lock").read_text())

    def end(self):
        for service in self.services:
            service.terminate()
        for service in self.services:
            service.wait(20)
        self.registry.close()
        for lock in self.registry_dir.glob("containers/*/lock"):  # left running by a failed test
            with suppress(ValueError, ProcessLookupError):
                os.kill(int(lock.read_text()), signal.SIGTERM)


@pytest.fixture
def make_world(tmp_path, capsys, monkeypatch):
    (tmp_path / "zk.json").write_text(json.dumps({"session_seconds": SESSION_SECONDS}))
    monkeypatch.setenv("MAAS_ZK_CLIENT", str(tmp_path / "zk.json"))
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "registry"))
    worlds = []

    def make(hosts):
        worlds.append(World(hosts, tmp_path, capsys))
        return worlds[-1]

    yield make
    for world in worlds:
        world.end()


@pytest.fixture
def world(make_world, quorum):
    return make_world(quorum)


@pytest.fixture(scope="module")
def kdc(engines, need):
    """A Kerberos server. The tests of a module are its clients."""
    from engines.kerberos.kdc import PROGRAMS, Kdc

    need(*PROGRAMS)
    if find_spec("gssapi") is None:
        why = "apt-get install gcc python3-dev libkrb5-dev; pip install 'stellar-maas[kerberos]'"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    with pytest.MonkeyPatch.context() as patch, Kdc() as kdc:
        for name, value in kdc.environment.items():
            patch.setenv(name, value)
        yield kdc


def open_host(world, name, *options):
    """Start a service with a registry directory of its own, as on another machine."""
    return Host(world.hosts, world.folder / name, world.folder / "store", options)


@pytest.fixture
def make_host(world):
    """Start services of one ZooKeeper and one model store: `make_host("--memory", 1000)`."""
    hosts = []

    def make(*options):
        memory = () if "--memory" in options else ("--memory", 100_000)
        hosts.append(open_host(world, f"host{len(hosts)}", *memory, *options))
        return hosts[-1]

    yield make
    for host in hosts:
        host.end()


@pytest.fixture(scope="session")
def classpath(engines, need, tmp_path_factory):
    from engines.daemon import jars, run

    need("javac")
    classes = tmp_path_factory.mktemp("classes")
    libraries = f"{jars(JAVA)}/*"
    run(["javac", "-nowarn", "-d", str(classes), "-cp", libraries, *map(str, sorted(JAVA.rglob("*.java")))], 60)
    return f"{classes}:{libraries}"


@pytest.fixture
def java(classpath, quorum):
    """Run a Java program with Metron's libraries: `java("list", "/maas/service")` returns its lines."""
    from engines.daemon import JVM, run

    return lambda *words: run(["java", *JVM, "-cp", classpath, "Clients", quorum, *words], 30).splitlines()
