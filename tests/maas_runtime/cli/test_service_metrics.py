"""The metrics and the health of a service that runs models."""

import json
import os
import re
import signal
import urllib.error
import urllib.request

import pytest

from maas_runtime.cli.main import main
from maas_runtime.cli.service_metrics import ServiceMetrics
from maas_runtime.deployers.memory import MemoryDeployer
from maas_runtime.service.rollouts import ROLLOUTS
from maas_runtime.service.service import Service
from maas_runtime.state.backend import open_directory
from stellar.maas import FileQueue
from stellar.maas.schema import CONFIG_PATH
from stellar.monitoring.metrics import render
from stellar.monitoring.process import METRICS as PROCESS_METRICS

MODEL = 'model="dga",version="1.0"'


class Monitored:
    """The server of metrics of a service, by its log."""

    def __init__(self, log):
        self._log = log

    def get(self, path="/metrics"):
        url = re.search(r"metrics at (http://\S+)/metrics", self._log.read_text())[1]
        try:
            with urllib.request.urlopen(f"{url}{path}", timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def read(self, name):
        """Return the values of a metric by their labels."""
        found = re.findall(rf"^{name}(?:{{(.*)}})? (.+)$", self.get()[1], re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    def read_of_model(self, name):
        """Return the value of the only series of a metric with the labels of the model."""
        (value,) = [value for labels, value in self.read(name).items() if MODEL in labels]
        return value


def test_a_service_shows_its_models_and_the_instances_of_this_machine(
    maas, collateral, registry_dir, tmp_path, eventually, is_alive, check_metrics
):
    maas("serve", "--metrics", "127.0.0.1:0", "--drain-seconds", "0")
    service = Monitored(tmp_path / "serve.log")
    eventually(lambda: service.get("/readyz") == (200, "ok\n"))
    assert service.get("/healthz") == (200, "ok\n")
    assert service.read("stellar_service_leading") == {"": 1}
    FileQueue(registry_dir).put(b"garbage")
    files = ("-lmp", collateral(), "-hmp", "/dga")
    done = maas("deploy", "-mo", "ADD", *files, "-n", "dga", "-v", "1.0", "-ni", 1, "-m", 0, "--wait")
    assert done.returncode == 0, done.stderr
    eventually(lambda: service.read_of_model("stellar_instance_up") == 1)
    check_metrics(service.get()[1].encode())
    assert service.read_of_model("stellar_service_desired_instances") == 1
    assert service.read_of_model("stellar_service_ready_instances") == 1
    assert service.read("stellar_service_requests_total") == {'outcome="stored"': 1, 'outcome="rejected"': 1}
    assert service.read("stellar_service_waiting_requests") == {"": 0}
    assert service.read_of_model("stellar_instance_memory_bytes") > 1_000_000
    assert service.read_of_model("stellar_instance_restarts") == 0

    (lock,) = registry_dir.glob("containers/*/lock")
    os.kill(int(lock.read_text()), signal.SIGKILL)  # the runner, whose processes then end, too
    eventually(lambda: service.read("stellar_service_instance_failures_total") == {MODEL: 1})
    eventually(lambda: service.read_of_model("stellar_instance_restarts") == 1)


def test_an_address_that_cannot_be_used_ends_the_service(maas):
    done = maas("serve", "--metrics", "192.0.2.1:9100", wait=False)
    assert done.returncode == 1
    assert "maas: cannot serve metrics on 192.0.2.1:9100: Cannot assign requested address" in done.stderr


def test_messages_of_a_service_are_lines_of_json_on_request(maas, tmp_path):
    maas("serve", "--log-format", "json").terminate()
    found = [json.loads(line) for line in (tmp_path / "serve.log").read_text().splitlines()]
    assert found[0]["message"].startswith("serving ")
    assert found[0]["level"] == "INFO"
    done = maas("serve", "--log-format", "json", "--metrics", "192.0.2.1:9100", wait=False)
    *_, error = map(json.loads, done.stderr.splitlines())
    assert (error["level"], error["message"][:32]) == ("ERROR", "cannot serve metrics on 192.0.2.")


def test_metrics_of_a_service_on_yarn_are_rejected(registry_dir, capsys):
    arguments = ["-zq", "127.0.0.1:1", "--yarn", "http://127.0.0.1:1", "--on-yarn", "--store", str(registry_dir)]
    assert main(["serve", *arguments, "--metrics", ":9100"]) == 2
    assert "--metrics has no effect with --on-yarn, where the service may run on any host" in capsys.readouterr().err


@pytest.fixture
def backend(registry_dir):
    with open_directory(registry_dir, CONFIG_PATH) as backend:
        yield backend


def test_a_service_that_starts_is_alive_but_not_ready(backend, registry_dir):
    metrics = ServiceMetrics(backend, registry_dir)
    assert metrics.find_ready_problem() == "the service is starting"
    assert metrics.find_live_problem() is None
    assert {sample.metric for sample in metrics.collect()} >= set(PROCESS_METRICS)
    metrics.close()


def test_a_leader_whose_turns_have_stopped_is_not_healthy(backend, registry_dir, store):
    now = [0.0]
    deployer = MemoryDeployer(store, backend.registry)
    service = Service(backend.queue, backend.registry, deployer, store, backend.state_store, clock=lambda: now[0])
    metrics = ServiceMetrics(backend, registry_dir)
    metrics.service = service
    found = []

    def check(role):
        metrics.role = role
        found.append(metrics.find_live_problem())
        now[0] += 121
        found.append(metrics.find_live_problem())

    service.run(lambda: bool(found), notify=check)
    assert found == [None, "the service last took a turn 121 s ago; restart it"]
    assert metrics.find_live_problem() is None  # it does not lead any more
    metrics.close()


def test_a_state_that_cannot_be_read_is_the_reason_why_a_service_is_not_ready(backend, registry_dir, monkeypatch):
    def fail(path):
        raise ConnectionError("ZooKeeper at node1:2181 is not available")

    metrics = ServiceMetrics(backend, registry_dir)
    metrics.role = "waiting"
    assert metrics.find_ready_problem() is None
    monkeypatch.setattr(backend.state_store, "read", fail)
    assert metrics.find_ready_problem() == "ZooKeeper at node1:2181 is not available"


def test_rollouts_are_shown_and_broken_state_counts_as_nothing(backend, registry_dir, check_metrics):
    request = {"name": "dga", "version": "2.0", "path": "/dga", "instances": 1}
    rollout = {"id": "re-1", "request": request, "before": {}, "plan": None, "serving": ["1.0"], "state": "failed"}
    backend.state_store.write(f"{ROLLOUTS}/dga", rollout)
    backend.state_store.write("wanted/dga/1.0", {"instances": "many"})
    metrics = ServiceMetrics(backend, registry_dir)
    shown = {(sample.metric.name, sample.labels): sample.value for sample in metrics.collect()}
    assert shown["stellar_service_desired_instances", ("dga", "1.0")] == 0
    assert shown["stellar_service_rollout", ("dga", "failed")] == 1
    check_metrics(render(metrics.collect()))
    metrics.close()
