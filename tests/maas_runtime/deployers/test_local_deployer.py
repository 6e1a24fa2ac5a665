"""The local deployer: termination, clean-up and limits of instances."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import urllib.request
from contextlib import suppress
from dataclasses import replace

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.runner.limits import Limits
from stellar.maas import ClientSettings, Model, ModelClient

DGA = Model("dga", "1.0")
QUICK_END = 2.0  # the time between SIGTERM and SIGKILL in QUICK


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@pytest.fixture
def deployer(make_local_deployer):
    deployer = make_local_deployer()
    yield deployer
    deployer.scale(Deployment(DGA, "/dga"), 0)


@pytest.fixture
def one(deployer, deployment, registry, eventually, registry_dir):
    """Start one instance that is ready."""
    deployer.scale(deployment, 1)
    return eventually(lambda: registry.instances())[0]


def describe(instance, name="GREETING"):
    return get(f"{instance.url}/environment?name={name}")


def runner_of(instance, registry_dir):
    return int((registry_dir / "containers" / instance.id / "lock").read_text())


def folders(registry_dir):
    return sorted(
        str(folder.relative_to(registry_dir)) for folder in registry_dir.glob("containers/*") if folder.name != "failed"
    )


def last_failure(state_store):
    return (state_store.read("failures/dga/1.0") or {}).get("last", "")


def test_a_model_serves_where_it_is_registered(one, registry):
    assert one.url.startswith("http://127.0.0.1:")
    with ModelClient(registry) as client:
        endpoint = registry.endpoint("dga").as_map()
        assert client.apply(endpoint, None, {"host": "yahoo.com"}) == {"is_malicious": "legit"}
        assert client.apply(endpoint, None, {"host": "cnn.com"}) == {"is_malicious": "malicious"}


def test_variables_are_passed_to_a_model_unchanged(one):
    assert describe(one)["value"] == "hello; $HOME"
    assert describe(one, "MAAS_MODEL_NAME")["value"] == "dga"
    assert describe(one, "MAAS_MODEL_VERSION")["value"] == "1.0"
    assert describe(one, "MAAS_CONTAINER_ID")["value"] == one.id
    assert describe(one, "MAAS_ENVIRONMENT")["value"] is None


def test_stopping_ends_grandchildren_and_removes_all_files(one, deployer, deployment, registry_dir, is_alive):
    model = describe(one)
    assert model["parent"] != os.getpid()  # the shell script is its parent
    deployer.scale(deployment, 0)
    assert not is_alive(model["pid"])
    assert not is_alive(model["parent"])
    assert folders(registry_dir) == []
    assert list(registry_dir.glob("containers/failed/*")) == []


@pytest.mark.parametrize("victim", ["runner", "script", "model"])
def test_killing_any_process_unregisters_the_instance_and_ends_the_rest(
    victim, one, deployer, registry, registry_dir, state_store, eventually, is_alive
):
    model, runner = describe(one), runner_of(one, registry_dir)
    os.kill({"runner": runner, "script": model["parent"], "model": model["pid"]}[victim], signal.SIGKILL)
    eventually(lambda: registry.instances() == ())
    eventually(lambda: not any(map(is_alive, (runner, model["pid"], model["parent"]))))
    eventually(lambda: deployer.running(DGA) == 0)
    assert folders(registry_dir) == []
    reason = {"runner": "its runner was killed", "script": "by signal 9 while it served", "model": "with status 137"}
    assert reason[victim] in last_failure(state_store)
    assert state_store.read("failures/dga/1.0")["count"] == 1


@pytest.mark.parametrize("how", ["asked", "killed"])
def test_processes_in_a_new_session_end_with_the_model(
    how, deployer, store, collateral, registry, registry_dir, is_alive, eventually, tmp_path
):
    daemon = tmp_path / "daemon"
    leaves = f"#!/bin/bash\nsetsid sh -c 'echo $$ > {daemon}; sleep 60' </dev/null >/dev/null 2>&1 &\n"
    store.upload(collateral(f"{leaves}{sys.executable} -S server.py\n"), "/dga")
    deployer.scale(Deployment(DGA, "/dga"), 1)
    instance = eventually(lambda: registry.instances())[0]
    pid = int(eventually(lambda: daemon.exists() and daemon.read_text().strip()))
    assert os.getsid(pid) == pid
    if how == "killed":
        os.kill(runner_of(instance, registry_dir), signal.SIGKILL)
        eventually(lambda: deployer.running(DGA) == 0)
    else:
        deployer.scale(Deployment(DGA, "/dga"), 0)
    eventually(lambda: not is_alive(pid))
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as environment:
                assert f"MAAS_CONTAINER_ID={instance.id}".encode() not in environment.read()


def test_the_logs_of_a_failed_instance_stay_but_not_its_files(
    one, deployer, registry_dir, state_store, registry, eventually
):
    os.kill(describe(one)["pid"], signal.SIGKILL)
    eventually(lambda: deployer.running(DGA) == 0)
    kept = registry_dir / "containers/failed" / one.id
    assert sorted(file.name for file in kept.iterdir()) == [
        "instance.json", "lock", "outcome.json", "runner.log", "stderr", "stdout"
    ]  # fmt: skip
    assert "Killed" in (kept / "stderr").read_text()
    assert str(kept) in last_failure(state_store)


def test_failed_instances_are_limited_in_number(deployer, store, collateral, registry_dir, state_store, eventually):
    store.upload(collateral("#!/bin/sh\nexit 3\n"), "/dga")
    deployment = Deployment(DGA, "/dga")
    deployer.scale(deployment, 12)
    eventually(lambda: deployer.running(DGA) == 0)
    assert len(list(registry_dir.glob("containers/failed/*"))) == 10
    assert state_store.read("failures/dga/1.0")["count"] == 12
    assert "rest.sh ended with status 3 before it wrote endpoint.dat" in last_failure(state_store)


def test_ten_megabytes_of_output_do_not_block_a_model(deployer, store, collateral, registry, registry_dir, eventually):
    flood = "head -c 10000000 /dev/zero | tr '\\0' x\nhead -c 1000000 /dev/zero >&2"
    flood = f"#!/bin/bash\n{flood}\n{sys.executable} -S server.py\n"
    store.upload(collateral(flood), "/dga")
    deployer.scale(Deployment(DGA, "/dga"), 1)
    instance = eventually(lambda: registry.instances())[0]
    assert get(f"{instance.url}/apply?host=yahoo.com") == {"is_malicious": "legit"}
    assert (registry_dir / "containers" / instance.id / "stdout").stat().st_size == 10_000_000


def test_a_model_that_ignores_sigterm_is_killed(make_local_deployer, store, collateral, registry, is_alive, eventually):
    store.upload(collateral(f"#!/bin/bash\ntrap '' TERM\n{sys.executable} -S server.py\nsleep 60\n"), "/dga")
    deployer = make_local_deployer(Limits(drain=0.0, end=0.2))
    deployer.scale(Deployment(DGA, "/dga"), 1)
    model = describe(eventually(lambda: registry.instances())[0])
    deployer.scale(Deployment(DGA, "/dga"), 0)
    assert not is_alive(model["pid"])
    assert not is_alive(model["parent"])


def test_a_runner_that_does_not_end_is_killed(
    one, deployer, deployment, registry_dir, is_alive, eventually, monkeypatch
):
    monkeypatch.setattr("maas_runtime.deployers.local.SPARE_SECONDS", -QUICK_END + 0.2)
    model, runner = describe(one), runner_of(one, registry_dir)
    os.kill(runner, signal.SIGSTOP)
    deployer.scale(deployment, 0)
    eventually(lambda: not is_alive(runner) and not is_alive(model["pid"]))
    assert folders(registry_dir) == []


def test_a_partially_created_instance_is_removed(make_local_deployer, registry_dir):
    (registry_dir / "containers/.half/work").mkdir(parents=True)
    make_local_deployer()
    assert list((registry_dir / "containers").iterdir()) == []


def test_a_model_that_cannot_be_copied_fails_and_leaves_no_files(
    deployer, deployment, registry_dir, state_store, eventually, monkeypatch
):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("maas_runtime.store.base.shutil.copytree", refuse)
    deployer.scale(deployment, 1)
    eventually(lambda: "cannot start dga @ 1.0: [Errno 28] No space left" in last_failure(state_store))
    assert deployer.running(DGA) == 0
    assert folders(registry_dir) == []


def test_active_calls_complete_when_a_model_is_stopped(
    make_local_deployer, store, collateral, registry, eventually, tmp_path
):
    files = {"server.py": SLOW_SERVER}
    store.upload(collateral(**files), "/dga")
    deployer = make_local_deployer(Limits(drain=3.0), ASKED=str(tmp_path / "asked"))
    deployment = Deployment(DGA, "/dga")
    deployer.scale(deployment, 1)
    instance = eventually(lambda: registry.instances())[0]
    answers = []
    with ModelClient(registry, ClientSettings(retries=0, timeout_ms=60_000)) as client:
        call = threading.Thread(target=lambda: answers.append(client.apply({"url": instance.url})))
        call.start()
        eventually(lambda: (tmp_path / "asked").exists())
        deployer.scale(deployment, 0)
        call.join()
    assert answers == [{"slow": True}]


SLOW_SERVER = """
import os, socket, time

with socket.create_server(("127.0.0.1", 0)) as server:
    with open("endpoint.dat", "w") as file:
        file.write('{"url" : "http://127.0.0.1:%d"}' % server.getsockname()[1])
    while True:
        connection, _ = server.accept()
        with connection:
            if connection.recv(10_000):
                open(os.environ["ASKED"], "w").close()
                time.sleep(0.4)
                connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n{"slow": true}')
"""


def test_a_model_above_its_memory_limit_is_ended_with_the_reason(
    deployer, store, collateral, registry, state_store, eventually
):
    hungry = "import time; much = b'1' * 150_000_000; time.sleep(60)"
    store.upload(collateral(f'#!/bin/bash\n{sys.executable} -S -c "{hungry}"\n'), "/dga")
    deployer.scale(Deployment(DGA, "/dga", memory=100), 1)
    eventually(lambda: deployer.running(DGA) == 0)
    assert "limit of 100 MB; raise its limit with -m" in last_failure(state_store)


def test_a_model_within_its_memory_limit_runs(deployer, deployment, registry, eventually):
    deployer.scale(replace(deployment, memory=512), 1)
    assert describe(eventually(lambda: registry.instances())[0])["value"] == "hello; $HOME"


def test_unready_instances_are_stopped_first(make_local_deployer, deployment, store, collateral, registry, eventually):
    def ready(model):
        return {instance.id for instance in registry.instances(*model)}

    deployer = make_local_deployer()
    deployer.scale(deployment, 1)
    (serving,) = eventually(lambda: ready(DGA))
    store.upload(collateral("#!/bin/bash\nexec sleep 60\n", folder="hanging"), "/hanging")
    deployer.scale(replace(deployment, path="/hanging"), 3)
    deployer.scale(deployment, 2)
    deployer.scale(deployment, 1)
    assert ready(DGA) == {serving}  # although it is the oldest
    deployer.scale(deployment, 0)
