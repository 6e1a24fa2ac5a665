"""The archive `maas.pyz` runs models with a Python without packages."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from io import BytesIO

import pytest

from maas_runtime import archive as archives
from maas_runtime.archive import NAME, archive_name, build_archive
from maas_runtime.deployers.yarn.container import Description, take_failures
from maas_runtime.state.store import DirectoryStateStore
from stellar.maas import Model, ServiceInstance
from stellar.maas.schema import Endpoint

BARE = [sys.executable, "-I", "-S"]
DGA = Model("dga", "1.0")


@pytest.fixture
def container(tmp_path, collateral, registry_dir):
    """Make a directory as YARN does, and run the archive in it: `container(script, environment)`."""
    folder = tmp_path / "container"

    @contextmanager
    def make(environment=None, script=None, variables=None, **more):
        (folder / "conf").mkdir(parents=True)
        (folder / "logs").mkdir()
        (folder / "model").symlink_to(collateral(script) if script else collateral())
        (folder / NAME).write_bytes(build_archive())
        arguments = [
            f"--registry={registry_dir}",
            "--name=dga",
            "--version=1.0",
            "--script=rest.sh",
            "--drain-seconds=0",
        ]
        description = Description([*arguments, "--probe-seconds=0.1"], environment or {}, **more)
        (folder / "conf/instance.json").write_text(json.dumps(description.as_properties()))
        yarn = {
            "CONTAINER_ID": "container_1",
            "NM_HOST": "localhost",
            "LOG_DIRS": str(folder / "logs"),
            **(variables or {}),
        }
        process = subprocess.Popen(
            [*BARE, NAME, "container"], cwd=folder, env={"PATH": os.environ["PATH"], **yarn}, stderr=subprocess.PIPE
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    make.folder = folder
    return make


def test_the_archive_is_reproducible():
    first = build_archive()
    archives.build_archive.cache_clear()
    assert build_archive() == first
    assert archive_name().startswith("maas-")


def test_the_archive_contains_all_modules_as_source():
    with zipfile.ZipFile(BytesIO(build_archive())) as contents:
        names = contents.namelist()
    assert not [name for name in names if not name.endswith((".py", ".pem"))]
    ours = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in names
        if name.startswith(("maas_runtime/", "stellar/")) and not name.endswith("__main__.py")
    )
    assert {
        "maas_runtime.cli",
        "maas_runtime.deployers.yarn.container",
        "stellar.maas.zookeeper",
        "stellar.maas.client.client",
    } <= {*ours}
    program = f"import sys, importlib; sys.path = [{NAME!r}, *sys.path]; [importlib.import_module(n) for n in {ours}]"
    assert_runs([*BARE, "-c", program])


def assert_runs(command):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/{NAME}", "wb") as file:
            file.write(build_archive())
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_archive_runs_the_maas_command(registry_dir):
    registry_dir.mkdir()
    assert assert_runs([*BARE, NAME, "maas", "status", "--registry", str(registry_dir)]).startswith(
        "service: not running"
    )


def test_a_running_archive_returns_its_own_bytes():
    program = (
        f"import sys; sys.path = [{NAME!r}, *sys.path]; from maas_runtime.archive import archive_name as a; print(a())"
    )
    assert assert_runs([*BARE, "-c", program]).strip() == archive_name()


def test_a_python_without_packages_runs_a_model(container, registry, eventually):
    with container({"GREETING": "hello; $HOME ${CONTAINER_ID}"}) as process:
        (instance,) = eventually(lambda: registry.instances(*DGA))
        assert (instance.id, instance.address) == ("container_1", "localhost")
        answer = get(instance, "/environment?name=GREETING")
        assert answer["value"] == "hello; $HOME ${CONTAINER_ID}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert registry.instances() == ()


def test_a_container_that_yarn_ends_serves_on_until_it_is_replaced(container, registry, eventually, tmp_path):
    (tmp_path / "yarn-site.xml").write_text(
        "<configuration><property><name>yarn.nodemanager.sleep-delay-before-sigkill.ms</name><value>60000</value>"
        "</property></configuration>"
    )
    with container(variables={"HADOOP_CONF_DIR": str(tmp_path)}) as process:
        (instance,) = eventually(lambda: registry.instances(*DGA))
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert get(instance, "/apply?host=yahoo.com") == {"is_malicious": "legit"}
        registry.register(ServiceInstance.of(DGA, "container_2", Endpoint(url="http://h:1")))
        assert process.wait(30) == 0
    assert [left.id for left in registry.instances()] == ["container_2"]


def get(instance, target):
    with socket.create_connection((instance.address, instance.port)) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\n\r\n".encode())
        with connection.makefile() as answer:
            return json.loads(answer.read().rpartition("\n")[2])


def test_output_goes_to_the_logs_and_the_failure_to_the_state_store(container, registry_dir, eventually):
    with container(script="#!/bin/sh\necho out; echo no such luck >&2; exit 3\n"):
        (failure,) = eventually(lambda: take_failures(DirectoryStateStore(registry_dir), DGA)).items()
    assert failure == ("container_1", "rest.sh ended with status 3 before it wrote endpoint.dat: no such luck")
    logs = container.folder / "logs"
    assert ((logs / "model-stdout").read_text(), (logs / "model-stderr").read_text()) == ("out\n", "no such luck\n")
    assert take_failures(DirectoryStateStore(registry_dir), DGA) == {}


def test_dollars_are_escaped_so_that_yarn_substitutes_nothing():
    properties = Description(["--name=$x"], {"A": "${CONTAINER_ID} $$ é \\u0024"}).as_properties()
    assert "$" not in json.dumps(properties)
