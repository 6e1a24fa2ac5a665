"""Instances as processes: what kills them, what they leave behind, what they may use."""

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
from maas_runtime.errors import DeployError
from maas_runtime.runner.runner import Limits
from stellar.maas import ClientSettings, Model, ModelClient

DGA = Model("dga", "1.0")
QUICK_END = 2.0  # what the quick limits give a model to end


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@pytest.fixture
def deployer(make_local_deployer):
    deployer = make_local_deployer()
    yield deployer
    deployer.scale(Deployment(DGA, "/dga"), 0)


@pytest.fixture
def one(deployer, deployment, registry, eventually, place):
    """One instance that serves."""
    deployer.scale(deployment, 1)
    return eventually(lambda: registry.instances())[0]


def about(instance, name="GREETING"):
    return get(f"{instance.url}/environment?name={name}")


def runner_of(instance, place):
    return int((place / "containers" / instance.id / "lock").read_text())


def folders(place):
    return sorted(str(folder.relative_to(place)) for folder in place.glob("containers/*") if folder.name != "failed")


def last_failure(notes):
    return (notes.read("failures/dga/1.0") or {}).get("last", "")


def test_a_model_serves_where_it_is_registered(one, registry):
    assert one.url.startswith("http://127.0.0.1:")
    with ModelClient(registry) as client:
        endpoint = registry.endpoint("dga").as_map()
        assert client.apply(endpoint, None, {"host": "yahoo.com"}) == {"is_malicious": "legit"}
        assert client.apply(endpoint, None, {"host": "cnn.com"}) == {"is_malicious": "malicious"}


def test_a_model_sees_its_variables_as_they_stand(one):
    assert about(one)["value"] == "hello; $HOME"
    assert about(one, "MAAS_MODEL_NAME")["value"] == "dga"
    assert about(one, "MAAS_MODEL_VERSION")["value"] == "1.0"
    assert about(one, "MAAS_CONTAINER_ID")["value"] == one.id
    assert about(one, "MAAS_ENVIRONMENT")["value"] is None


def test_stopping_ends_the_grandchildren_and_leaves_nothing(one, deployer, deployment, place, is_alive):
    model = about(one)
    assert model["parent"] != os.getpid()  # the script stands between
    deployer.scale(deployment, 0)
    assert not is_alive(model["pid"])
    assert not is_alive(model["parent"])
    assert folders(place) == []
    assert list(place.glob("containers/failed/*")) == []


@pytest.mark.parametrize("victim", ["runner", "script", "model"])
def test_whatever_is_killed_the_registration_goes_and_so_does_the_rest(
    victim, one, deployer, registry, place, notes, eventually, is_alive
):
    model, runner = about(one), runner_of(one, place)
    os.kill({"runner": runner, "script": model["parent"], "model": model["pid"]}[victim], signal.SIGKILL)
    eventually(lambda: registry.instances() == ())
    eventually(lambda: not any(map(is_alive, (runner, model["pid"], model["parent"]))))
    assert deployer.running(DGA) == 0
    assert folders(place) == []
    reason = {"runner": "its runner was killed", "script": "by signal 9 while it served", "model": "with status 137"}
    assert reason[victim] in last_failure(notes)
    assert notes.read("failures/dga/1.0")["count"] == 1


@pytest.mark.parametrize("how", ["asked", "killed"])
def test_what_a_model_started_in_a_session_of_its_own_ends_with_it(
    how, deployer, store, collateral, registry, place, is_alive, eventually, tmp_path
):
    daemon = tmp_path / "daemon"
    leaves = f"#!/bin/bash\nsetsid sh -c 'echo $$ > {daemon}; sleep 60' </dev/null >/dev/null 2>&1 &\n"
    store.upload(collateral(f"{leaves}{sys.executable} -S server.py\n"), "/dga")
    deployer.scale(Deployment(DGA, "/dga"), 1)
    instance = eventually(lambda: registry.instances())[0]
    pid = int(eventually(lambda: daemon.exists() and daemon.read_text().strip()))
    assert os.getsid(pid) == pid
    if how == "killed":
        os.kill(runner_of(instance, place), signal.SIGKILL)
        eventually(lambda: deployer.running(DGA) == 0)
    else:
        deployer.scale(Deployment(DGA, "/dga"), 0)
    eventually(lambda: not is_alive(pid))
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as environment:
                assert f"MAAS_CONTAINER_ID={instance.id}".encode() not in environment.read()


def test_the_logs_of_a_failed_instance_are_kept_but_not_its_files(one, deployer, place, notes, registry, eventually):
    os.kill(about(one)["pid"], signal.SIGKILL)
    eventually(lambda: deployer.running(DGA) == 0)
    kept = place / "containers/failed" / one.id
    assert sorted(file.name for file in kept.iterdir()) == [
        "instance.json", "lock", "outcome.json", "runner.log", "stderr", "stdout"
    ]  # fmt: skip
    assert "Killed" in (kept / "stderr").read_text()
    assert str(kept) in last_failure(notes)


def test_only_the_last_failed_instances_are_kept(deployer, store, collateral, place, notes, eventually):
    store.upload(collateral("#!/bin/sh\nexit 3\n"), "/dga")
    deployment = Deployment(DGA, "/dga")
    deployer.scale(deployment, 12)
    eventually(lambda: deployer.running(DGA) == 0)
    assert len(list(place.glob("containers/failed/*"))) == 10
    assert notes.read("failures/dga/1.0")["count"] == 12
    assert "rest.sh ended with status 3 before it wrote endpoint.dat" in last_failure(notes)


def test_ten_megabytes_of_output_hang_no_model(deployer, store, collateral, registry, place, eventually):
    flood = "head -c 10000000 /dev/zero | tr '\\0' x\nhead -c 1000000 /dev/zero >&2"
    flood = f"#!/bin/bash\n{flood}\n{sys.executable} -S server.py\n"
    store.upload(collateral(flood), "/dga")
    deployer.scale(Deployment(DGA, "/dga"), 1)
    instance = eventually(lambda: registry.instances())[0]
    assert get(f"{instance.url}/apply?host=yahoo.com") == {"is_malicious": "legit"}
    assert (place / "containers" / instance.id / "stdout").stat().st_size == 10_000_000


def test_a_model_that_ignores_being_asked_is_killed(
    make_local_deployer, store, collateral, registry, is_alive, eventually
):
    store.upload(collateral(f"#!/bin/bash\ntrap '' TERM\n{sys.executable} -S server.py\nsleep 60\n"), "/dga")
    deployer = make_local_deployer(Limits(drain=0.0, end=0.2))
    deployer.scale(Deployment(DGA, "/dga"), 1)
    model = about(eventually(lambda: registry.instances())[0])
    deployer.scale(Deployment(DGA, "/dga"), 0)
    assert not is_alive(model["pid"])
    assert not is_alive(model["parent"])


def test_a_runner_that_does_not_end_is_killed(one, deployer, deployment, place, is_alive, eventually, monkeypatch):
    monkeypatch.setattr("maas_runtime.deployers.local.SPARE_SECONDS", -QUICK_END + 0.2)
    model, runner = about(one), runner_of(one, place)
    os.kill(runner, signal.SIGSTOP)
    deployer.scale(deployment, 0)
    eventually(lambda: not is_alive(runner) and not is_alive(model["pid"]))
    assert folders(place) == []


def test_what_a_deployer_was_making_when_it_was_killed_is_removed(make_local_deployer, place):
    (place / "containers/.half/work").mkdir(parents=True)
    make_local_deployer()
    assert list((place / "containers").iterdir()) == []


def test_a_model_that_can_not_be_copied_is_an_error_and_leaves_nothing(deployer, deployment, place, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("maas_runtime.store.base.shutil.copytree", refuse)
    with pytest.raises(DeployError, match=r"dga @ 1\.0 can't be started:.*No space left"):
        deployer.scale(deployment, 1)
    assert list((place / "containers").iterdir()) == []


def test_calls_under_way_are_answered_when_a_model_is_stopped(
    make_local_deployer, store, collateral, registry, eventually, tmp_path
):
    files = {"server.py": SLOW_SERVER}
    store.upload(collateral(**files), "/dga")
    deployer = make_local_deployer(Limits(drain=3.0))
    deployment = Deployment(DGA, "/dga", environment={"ASKED": str(tmp_path / "asked")})
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


def test_a_model_over_its_memory_is_ended_and_said_so(deployer, store, collateral, registry, notes, eventually):
    hungry = "import time; much = b'1' * 150_000_000; time.sleep(60)"
    store.upload(collateral(f'#!/bin/bash\n{sys.executable} -S -c "{hungry}"\n'), "/dga")
    deployer.scale(Deployment(DGA, "/dga", memory=100), 1)
    eventually(lambda: deployer.running(DGA) == 0)
    assert "MB of memory, and may use 100 MB" in last_failure(notes)


def test_a_model_within_its_memory_runs(deployer, deployment, registry, eventually):
    deployer.scale(replace(deployment, memory=512), 1)
    assert about(eventually(lambda: registry.instances())[0])["value"] == "hello; $HOME"


def test_what_does_not_serve_is_stopped_first(make_local_deployer, deployment, store, collateral, registry, eventually):
    def ready(model):
        return {instance.id for instance in registry.instances(*model)}

    deployer = make_local_deployer(ready=ready)
    deployer.scale(deployment, 1)
    (serving,) = eventually(lambda: ready(DGA))
    store.upload(collateral("#!/bin/bash\nexec sleep 60\n", folder="hanging"), "/hanging")
    deployer.scale(replace(deployment, path="/hanging"), 3)
    deployer.scale(deployment, 2)
    deployer.scale(deployment, 1)
    assert ready(DGA) == {serving}  # though it is the oldest
    deployer.scale(deployment, 0)
