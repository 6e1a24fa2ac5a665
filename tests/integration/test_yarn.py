"""Models on a real YARN: their life cycle, and recovery from killed processes."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from kazoo.client import KazooClient

import maas_runtime
from maas_runtime.cli.main import main
from maas_runtime.cli.metron import maas_deploy, maas_service
from maas_runtime.deployers.yarn.deployer import YarnDeployer
from maas_runtime.deployers.yarn.rest import YarnServices
from stellar.maas import MaasError, Model, ModelClient, ZooKeeperRegistry
from tests.maas_runtime.serving.models import write_model

from .conftest import is_running
from .conftest import wait_for as soon

pytestmark = pytest.mark.engine

PACKAGES = Path(maas_runtime.__file__).parents[1]
DGA = Model("dga", "1.0")
ADD = ["-hmp", "/user/root/models", "-mo", "ADD", "-m", "512", "-n", "dga", "-v", "1.0"]
REMOVE = ["-mo", "REMOVE", "-n", "dga", "-v", "1.0"]

MODEL = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if "eat" in asked:
            self.server.eaten = b"x" * (int(asked["eat"]) << 20)
        answer = "legit" if asked.get("host") in ("yahoo.com", "amazon.com") else "malicious"
        body = json.dumps({"is_malicious": answer, "pid": os.getpid(), "greeting": os.environ.get("GREETING")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
with open("endpoint.dat", "w") as file:
    json.dump({"url": f"http://0.0.0.0:{server.server_port}"}, file)
server.serve_forever()
"""


def wait_for(condition, seconds=120.0):
    """Wait until a condition on YARN is met."""
    return soon(condition, seconds)


def command_of(pid):
    """Return the command line of a process, with a zero byte after each word; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Calls:
    """A stream of calls of a model without a cache.

    errors: errors of failed calls
    fewest: the smallest number of registered instances at any time
    """

    def __init__(self, world):
        self._world, self._stop = world, threading.Event()
        self._thread = threading.Thread(target=self._call)
        self.errors, self.fewest = [], len(world.registry.instances("dga"))

    def _call(self):
        for number in itertools.takewhile(lambda _: not self._stop.is_set(), itertools.count()):
            try:
                self._world.call(number=str(number))
            except MaasError as error:
                self.errors.append(error)
            self.fewest = min(self.fewest, len(self._world.registry.instances("dga")))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


class YarnWorld:
    """A service with models on YARN, and its commands."""

    def __init__(self, yarn, zookeeper, hosts, folder, capsys):
        self.yarn, self._zookeeper, self.hosts, self.folder, self._capsys = yarn, zookeeper, hosts, folder, capsys
        self.model = folder / "mock_dga"
        self.model.mkdir()
        (self.model / "dga.py").write_text(MODEL)
        (self.model / "rest.sh").write_text(f"#!/bin/bash\nexec {sys.executable} -S dga.py\n")
        self.registry = ZooKeeperRegistry(hosts)
        self.client = ModelClient(self.registry)
        self.rest = YarnServices([yarn.url])
        self.services = []

    def serve(self, *arguments):
        """Start `maas serve --yarn` as a process of this machine."""
        line = [sys.executable, "-m", "maas_runtime.cli", "serve", "-zq", self.hosts, "--yarn", self.yarn.url]
        more = ["--drain-seconds=0.5", "--yarn-python", sys.executable, "--leave-running", *arguments]
        with (self.folder / "serve.log").open("ab") as log:
            self.services.append(subprocess.Popen([*line, *more], cwd=PACKAGES, stdout=log, stderr=log))
        log = self.folder / "serve.log"
        wait_for(lambda: log.read_text().count("this service leads\n") == len(self.services))
        return self.services[-1]

    def run(self, command, *arguments):
        """Run one of Metron's commands. Return status, output and errors."""
        status = command(["-zq", self.hosts, *map(str, arguments)])
        return (status, *self._capsys.readouterr())

    def deploy(self, *arguments):
        status, output, errors = self.run(maas_deploy, *arguments)
        assert (status, errors) == (0, "")
        return output

    def add(self, count, *arguments):
        return self.deploy("-lmp", self.model, *ADD, "-ni", count, *arguments)

    def status(self):
        assert main(["status", "-zq", self.hosts]) == 0
        return self._capsys.readouterr().out

    def ready(self, count, seconds=120.0):
        return wait_for(lambda: len(found := self.registry.instances("dga")) == count and found, seconds)

    def call(self, **arguments):
        """Call an instance."""
        return self.client.apply(self.registry.endpoint("dga").as_map(), arguments=arguments)

    def pids(self):
        """Return the process of each instance, by instance id."""
        pids = {}
        for instance in self.registry.instances("dga"):
            # Not by the client, which may get the response of another instance
            with urlopen(f"{instance.url}/apply", timeout=60) as response:
                pids[instance.id] = json.load(response)["pid"]
        return pids

    def state(self):
        """Return the state of the model's YARN service."""
        deployer = YarnDeployer(self.rest, self.options, None, self.registry, None, None)
        return self.rest.state(deployer.service_name(DGA))

    def masters(self):
        """Return the processes of the masters of services."""
        words = {pid: command_of(pid) for pid in self.yarn.processes()}
        return [
            pid
            for pid, line in words.items()
            if line.startswith(b"/") and b"service.ServiceMaster" in line and b"/bin/java" in line.split(b"\0")[0]
        ]

    def kill_master(self):
        """Kill the master of the model's service, and wait until YARN has started another one."""
        (master,) = self.masters()
        os.kill(master, signal.SIGKILL)
        wait_for(lambda: self.masters() not in ([], [master]))

    def delete_container_records(self, count):
        """Delete the records from which a restarted master recovers its oldest containers."""
        containers = [container.id for container in self.state().containers][:count]
        (name,) = self.yarn.services()
        client = KazooClient(self._zookeeper.hosts)
        client.start()
        for id in containers:
            record = id.replace("container_", "ctr-").replace("_", "-")
            (user,) = client.get_children("/registry/users")
            client.delete(f"/registry/users/{user}/services/yarn-service/{name}/components/{record}")
        client.stop()
        client.close()
        return set(containers)

    @property
    def options(self):
        client = [f"--zk-client={path}"] if (path := os.environ.get("MAAS_ZK_CLIENT_GIVEN")) else []
        return [f"--zk_quorum={self.hosts}", "--zk_root=/metron/maas/config", *client]

    def end(self):
        for service in self.services:
            service.kill()
            service.wait()
        for name in self.yarn.services():
            self.rest.delete(name)
        self.rest.close()
        self.client.close()
        self.registry.close()


@pytest.fixture
def world(yarn, zookeeper, quorum, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "registry"))
    world = YarnWorld(yarn, zookeeper, quorum, tmp_path, capsys)
    yield world
    world.end()


def test_the_output_of_an_instance_is_read_from_its_node(world, capsys):
    script = world.model / "rest.sh"
    script.write_text(script.read_text().replace("exec", "echo begun; echo failing >&2; exec"))
    world.serve()
    world.add(1)
    world.ready(1)
    logs = ["logs", "-zq", world.hosts, "dga", "--yarn", world.yarn.url]
    capsys.readouterr()
    assert main(logs) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1]) == ("begun", "failing")  # Bash may warn of the locale between them
    assert main([*logs, "--runner"]) == 0
    assert "dga @ 1.0 is ready at" in capsys.readouterr().out


def test_a_model_is_scaled_up_and_down_with_the_service_on_yarn(world, monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(world.yarn.conf))
    status, output, errors = world.run(
        maas_service, "--yarn-python", sys.executable, "-q", "default", "-mm", 300, "-e", "GREETING=${USER} $HOME; 'x'"
    )
    assert (status, errors) == (0, "")
    service = re.fullmatch(rf"the service runs on YARN at {world.yarn.url} as (\S+); to end it: .*\n", output)[1]
    assert world.add(1).endswith("1 desired\n")
    (instance,) = world.ready(1)
    assert world.deploy("-mo", "LIST") == f"Model dga @ 1.0\ndga:1.0 @ {instance.url} serving:\n\tapply=apply\n"
    answer = world.call(host="yahoo.com")
    assert (answer["is_malicious"], answer["greeting"]) == ("legit", "${USER} $HOME; 'x'")
    assert world.call(host="caseystella.com")["is_malicious"] == "malicious"
    world.deploy(*ADD, "-ni", "2", "--wait")
    world.ready(3)
    calls = Counter(world.call(number=str(number))["pid"] for number in range(600))
    assert len(calls) == 3
    assert (
        sum((count - 200) ** 2 / 200 for count in calls.values()) < 27.6
    )  # chi-square, 2 degrees of freedom: exceeded by chance once in a million times
    oldest = world.state().containers[0].id
    world.deploy(*REMOVE, "-ni", "1", "-m", "512")
    assert oldest not in {left.id for left in world.ready(2)}
    wait_for(lambda: len(world.state().containers) == 2)
    world.deploy(*REMOVE, "-ni", "5")
    wait_for(lambda: not world.registry.instances())
    wait_for(lambda: world.yarn.services() == [service])
    world.rest.delete(service)
    wait_for(lambda: not world.yarn.services() and not world.yarn.processes())


def test_a_model_without_a_script_is_deployed_with_the_options_of_users(world, tmp_path):
    write_model(tmp_path / "ffsn")
    world.serve()
    ffsn = f"-lmp {tmp_path}/ffsn -hmp ffsn/1.0 -mo ADD -m 512 -n ffsn -v 1.0 -ni 2".split()
    assert world.deploy(*ffsn, "--wait", 120).endswith("ffsn @ 1.0: 2 ready\n")
    wait_for(lambda: len(world.registry.instances("ffsn")) == 2)
    result = world.client.apply(world.registry.endpoint("ffsn").as_map(), None, {"n_systems": 9, "tld": "ru"})
    assert result == {"ffsn": "1", "probability(0)": 0.0, "probability(1)": 1.0}
    published = [settings["model"] for settings in world.registry.version("ffsn", "1.0").settings.values()]
    assert [(each["kind"], each["path"].rpartition("/")[2]) for each in published] == [("pmml", "model.pmml")] * 2
    world.deploy("-mo", "REMOVE", "-n", "ffsn", "-v", "1.0", "-ni", 2)
    wait_for(lambda: not world.registry.instances())


def test_a_killed_model_is_replaced_and_callers_see_no_error(world):
    world.serve()
    world.add(2)
    before = {instance.id for instance in world.ready(2)}
    pids = world.pids()
    killed, pid = next(iter(pids.items()))
    with Calls(world) as calls:
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        wait_for(lambda: killed not in {instance.id for instance in world.registry.instances("dga")})
        gone = time.monotonic() - began
        wait_for(lambda: len({instance.id for instance in world.registry.instances("dga")} - before) == 1)
        replaced = time.monotonic() - began
    print(f"gone after {gone:.1f} s, replaced after {replaced:.1f} s")
    assert calls.errors == []
    status = wait_for(lambda: "ended" in (message := world.status()) and message)
    assert re.search(
        r"rest\.sh ended by signal 9 while it served.*; see: yarn logs -applicationId application_\d+_\d+", status
    )


def test_a_container_above_its_memory_limit_is_ended_and_reported(world):
    world.serve()
    world.deploy("-lmp", world.model, *ADD, "-m", "128", "-ni", "1")
    (before,) = world.ready(1)
    with suppress(MaasError):
        world.call(eat="300")
    # Reported by the kernel, the runner or YARN, whichever detects it first
    message = r"memory.* limit of 80 MB|YARN ended its container, for memory"
    wait_for(lambda: re.search(message, world.status()))
    assert wait_for(lambda: [i for i in world.registry.instances("dga") if i.id != before.id])


def test_models_survive_a_killed_service_and_the_next_one_adopts_them(world):
    service = world.serve()
    world.add(2)
    world.ready(2)
    before = world.pids()
    service.kill()
    service.wait()
    assert world.pids() == before
    world.serve()
    world.deploy(*ADD, "-ni", "1", "--wait")
    assert before.items() <= world.pids().items()
    assert len(world.state().containers) == 3


def test_models_serve_while_processes_of_yarn_are_killed(world):
    """After killing the resource manager and the service's master, the same processes serve."""
    world.serve()
    world.add(2)
    world.ready(2)
    before = world.pids()
    with Calls(world) as calls:
        world.yarn.resource_manager.kill()
        assert world.pids() == before
        world.yarn.resource_manager.start()
        world.yarn.resource_manager.await_ready(120)
        # A master that starts before the nodes have reported their containers does not recover them
        wait_for(lambda: world.yarn.running_containers() == 3)
        wait_for(lambda: world.state().state == "STABLE")
        assert world.pids() == before
        world.kill_master()
        assert world.pids() == before
        wait_for(lambda: settled(world) and world.state().state == "STABLE")
        assert world.pids() == before
        world.deploy(*ADD, "-ni", "1", "--wait")
        assert before.items() <= world.pids().items()
    assert (calls.errors, calls.fewest) == ([], 2)
    assert "ended" not in world.status()


@pytest.mark.parametrize("forgotten", [1, 2])
def test_containers_not_recovered_by_a_restarted_master_serve_until_they_are_replaced(world, forgotten):
    """Such a master ends all of them before it starts others."""
    world.serve()
    world.add(2)
    before = {instance.id for instance in world.ready(2)}
    wait_for(lambda: world.state().state == "STABLE")
    with Calls(world) as calls:
        gone = world.delete_container_records(forgotten)
        world.kill_master()
        wait_for(lambda: not gone & {instance.id for instance in world.registry.instances("dga")})
        after = {instance.id for instance in world.ready(2)}
    assert len(before & after) == 2 - forgotten
    assert (calls.errors, calls.fewest) == ([], 2)


def settled(world):
    try:
        return world.state().desired is not None
    except ConnectionError:
        return False


def test_instances_of_a_lost_node_are_replaced_on_others_and_end(world):
    world.serve("--yarn-node-seconds", "6")
    world.add(3)
    world.ready(3)
    pids = world.pids()
    masters = set(world.masters())
    node = next(node for node in world.yarn.nodes if masters & {*node.processes()})
    other = next(one for one in world.yarn.nodes if one is not node)
    lost = {id for id, pid in pids.items() if pid in other.processes()}
    other.daemon.kill()
    try:
        began = time.monotonic()
        with Calls(world) as calls:
            wait_for(lambda: len({i.id for i in world.registry.instances("dga")} - pids.keys()) == len(lost))
            print(f"{len(lost)} of 3 replaced after {time.monotonic() - began:.1f} s")
            wait_for(lambda: not lost & {i.id for i in world.registry.instances("dga")})
            assert len(world.ready(3)) == 3
        wait_for(lambda: not [pid for id, pid in pids.items() if id in lost and is_running(pid)])
        print(f"orphans ended after {time.monotonic() - began:.1f} s")
        assert (calls.errors, calls.fewest) == ([], 3)
    finally:
        other.end_processes()
        other.daemon.start()
        other.daemon.await_ready(120)
