"""Models by ZooKeeper, from maas_deploy.sh to a call: services that lead, wait, are killed and follow each other."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.cli import maas_deploy, maas_service, main
from stellar import compile
from stellar.context import Context
from stellar.maas import ModelClient, Registry, ZooKeeper, ZooKeeperQueue, ZooKeeperRegistry

pytestmark = pytest.mark.engine

PACKAGES = Path(maas_runtime.__file__).parents[1]
SESSION_SECONDS = 2.0
AT = ("-n", "dga", "-v", "1.0")
ADD = ("-mo", "ADD", "-hmp", "/user/root/models", "-m", "512", *AT)

MODEL = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answer = "legit" if self.path == "/apply?host=yahoo.com" else "malicious"
        body = json.dumps({"is_malicious": answer, "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
with open("endpoint.dat", "w") as file:
    json.dump({"url": f"http://0.0.0.0:{server.server_port}"}, file)
server.serve_forever()
"""


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def lives(pid):
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class World:
    """Services, commands and clients around one ZooKeeper; what is not said is the same for all."""

    def __init__(self, hosts, folder, capsys):
        self.hosts, self.folder, self._capsys = hosts, folder, capsys
        self.place = folder / "place"
        self.services = []
        self.model = folder / "mock_dga"
        self.model.mkdir()
        (self.model / "dga.py").write_text(MODEL)
        (self.model / "rest.sh").write_text(f"#!/bin/bash\n{sys.executable} dga.py\n")
        self.registry = ZooKeeperRegistry(hosts)

    def run(self, command, *arguments):
        """Status, output and errors of a command."""
        status = command(["-zq", self.hosts, *map(str, arguments)])
        return (status, *self._capsys.readouterr())

    def deploy(self, *arguments):
        status, output, errors = self.run(maas_deploy, *arguments)
        assert (status, errors) == (0, "")
        return output

    def status(self):
        assert main(["status", "-zq", self.hosts]) == 0
        return self._capsys.readouterr().out.splitlines()

    def start(self, *, log="serve.log"):
        """A service, which may have to wait until it leads."""
        line = [sys.executable, "-m", "maas_runtime.cli", "serve", "-zq", self.hosts, "--drain-seconds", "0"]
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
        return int((self.place / "containers" / instance.id / "lock").read_text())

    def end(self):
        for service in self.services:
            service.terminate()
        for service in self.services:
            service.wait(20)
        self.registry.close()
        for lock in self.place.glob("containers/*/lock"):  # what a failed test left running
            with suppress(ValueError, ProcessLookupError):
                os.kill(int(lock.read_text()), signal.SIGTERM)


@pytest.fixture
def make_world(tmp_path, capsys, monkeypatch):
    (tmp_path / "zk.json").write_text(json.dumps({"session_seconds": SESSION_SECONDS}))
    monkeypatch.setenv("MAAS_ZK_CLIENT", str(tmp_path / "zk.json"))
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "place"))
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


def test_metrons_walkthrough(world):
    status, output, errors = world.run(maas_service, "--drain-seconds", "0", "-mm", "512")
    assert (status, errors) == (0, "maas_service.sh: -mm (--master_memory) has no effect: no YARN is used\n")
    service = int(re.fullmatch(r"the service runs as process (\d+); its log is .*\n", output)[1])
    try:
        uploaded = world.deploy("-lmp", world.model, *ADD, "-ni", 1)
        assert uploaded == "uploaded dga.py\nuploaded rest.sh\ndga @ 1.0: 1 wanted\n"
        (one,) = world.ready(1)  # seen by watch
        assert world.deploy("-mo", "LIST") == f"Model dga @ 1.0\ndga:1.0 @ {one.url} serving:\n\tapply=apply\n"
        ask = compile("MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host}))")
        with ModelClient(world.registry) as client:
            context = Context({Registry: world.registry, ModelClient: client})
            assert [ask({"host": host}, context) for host in ("yahoo.com", "x.ru")] == ["legit", "malicious"]
        assert world.deploy(*ADD, "-ni", 2, "--wait").endswith("3 ready\n")
        assert world.status()[0] == f"service: running on ZooKeeper at {world.hosts}"
        assert world.status()[2].split()[:6] == ["dga", "@", "1.0", "3", "3", "0"]
        removed = world.deploy("-mo", "REMOVE", "-m", 512, "-ni", 5, *AT, "--wait")
        assert removed == "dga @ 1.0: 0 wanted\ndga @ 1.0: 0 ready\n"
        assert world.deploy("-mo", "LIST") == ""
    finally:
        os.kill(service, signal.SIGTERM)
        wait_for(lambda: not lives(service))


def test_rubbish_on_the_queue_does_no_harm_and_null_is_skipped(world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    with ZooKeeperQueue(world.hosts) as queue:
        for data in (b"null", b"{}", b"not json", b"\xff", b'{"action":"LIST"}'):
            queue.put(data)
        world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    assert "null" not in world.log()
    assert world.log().count("is refused") == 4


def test_a_runner_that_is_killed_is_unregistered_at_once_and_followed_by_another(world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    (before,) = world.registry.instances()
    os.kill(world.runner_of(before), signal.SIGKILL)
    wait_for(lambda: before not in world.registry.instances(), SESSION_SECONDS)
    (after,) = world.ready(1)
    assert after.id != before.id
    assert world.status()[2].split()[5] == "1"


def test_without_a_service_a_killed_runner_is_gone_when_its_session_times_out(world):
    service = world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    (one,) = world.registry.instances()
    service.kill()
    service.wait()
    os.kill(world.runner_of(one), signal.SIGKILL)
    wait_for(lambda: not world.registry.instances(), SESSION_SECONDS + 2)


def test_of_two_services_one_leads_and_when_it_is_killed_the_other_takes_over_what_runs(world):
    first, second = world.start(log="0"), world.start(log="1")  # at once
    logs = ("0", "1")
    leader = wait_for(lambda: [log for log in logs if "this service leads" in world.log(log)])
    waiting = wait_for(lambda: [log for log in logs if "waits for its end" in world.log(log)])
    assert {*leader, *waiting} == {"0", "1"}
    world.deploy("-lmp", world.model, *ADD, "-ni", 2, "--wait")
    before = world.registry.instances()
    killed, left = (first, second) if leader == ["0"] else (second, first)
    killed.kill()
    killed.wait()
    wait_for(lambda: "this service leads" in world.log(*waiting), SESSION_SECONDS + 5)
    assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 3 ready\n")
    assert world.urls() > {instance.url for instance in before}
    left.terminate()
    left.wait(20)
    assert left.returncode == 0
    assert world.registry.instances() == ()


def test_a_service_that_waits_can_be_ended(world):
    world.start(log="0")
    wait_for(lambda: "this service leads" in world.log("0"))
    second = world.start(log="1")
    wait_for(lambda: "waits for its end" in world.log("1"))
    second.terminate()
    assert second.wait(10) == 0
    third, output, _ = world.run(maas_service)
    assert third == 0
    waiting = int(re.fullmatch(r"the service waits for another one to end, .* process (\d+); .*\n", output)[1])
    os.kill(waiting, signal.SIGTERM)
    wait_for(lambda: not lives(waiting))


def test_a_service_whose_session_has_ended_leads_no_longer_until_it_is_its_turn_again(world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    before = world.registry.instances()
    with ZooKeeper(world.hosts) as zookeeper:
        for name in zookeeper.names("/maas/ext/am"):
            zookeeper.delete(f"/maas/ext/am/{name}")  # as the end of its session would
    wait_for(lambda: world.log().count("this service leads") >= 3)  # leads, leads no longer, leads
    assert "this service leads no longer; what it runs goes on" in world.log()
    assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 2 ready\n")
    assert world.urls() > {instance.url for instance in before}


def test_models_run_on_while_zookeeper_is_away(engines, make_quorum, make_world, tmp_path):
    from engines.zookeeper.server import ZooKeeper as Engine

    (tmp_path / "zk.json").write_text('{"session_seconds": 8}')  # so the service leads on when ZooKeeper is back
    with Engine() as engine:
        world = make_world(make_quorum(engine))
        service = world.start()
        wait_for(lambda: "this service leads" in world.log())
        world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
        (before,) = world.registry.instances()
        runner = world.runner_of(before)
        engine.stop()
        with ModelClient(world.registry) as client:
            endpoint = world.registry.endpoint("dga").as_map()
            for number in range(5):
                assert client.apply(endpoint, arguments={"host": f"{number}"})["is_malicious"] == "malicious"
                time.sleep(0.3)
        engine.start()
        assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 2 ready\n")
        assert before in world.registry.instances()
        assert lives(runner)
        engine.stop()
        service.terminate()  # ends what runs, though it can't tell anybody
        assert service.wait(60) == 0
        assert not lives(runner)
