"""The commands that inspect and apply, with a registry in ZooKeeper."""

from __future__ import annotations

import json

import pytest

from maas_runtime.cli.main import main

from .conftest import wait_for

pytestmark = pytest.mark.engine

ADD = ["-hmp", "/user/root/models", "-mo", "ADD", "-m", "0", "-n", "dga", "-v", "1.0"]


@pytest.fixture
def maas(world, capsys):
    """Run the command: `maas("status")` returns status, output and errors."""

    def run(command, *words):
        try:
            status = main([command, "-zq", world.hosts, *map(str, words)])
        except SystemExit as ended:
            status = ended.code
        return (status, *capsys.readouterr())

    return run


@pytest.mark.parametrize("command", [["status"], ["traffic"], ["export"], ["call", "dga"], ["logs", "dga"]])
def test_a_path_of_zookeeper_that_does_not_exist_is_an_error(command, zookeeper, capsys):
    assert main([*command, "-zq", f"{zookeeper.hosts}/no-such-path"]) == 1
    assert f"the path in -zq {zookeeper.hosts}/no-such-path does not exist" in capsys.readouterr().err


def test_instances_are_applied_inspected_called_and_removed(maas, world, tmp_path):
    world.start()
    wait_for(lambda: world.status()[0].startswith("service: running"))
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    (tmp_path / "models.yaml").write_text(maas("export")[1].replace("instances: 1", "instances: 2"))
    words = ("apply", "-f", tmp_path / "models.yaml", "--wait")
    assert maas(*words)[1].splitlines() == [
        "dga @ 1.0: add 1 (1 to 2) of /user/root/models",
        "dga @ 1.0: 2 ready",
    ]
    assert maas(*words) == (0, "no changes\n", "")
    world.ready(2)
    document = json.loads(maas("status", "-n", "dga", "--output", "json")[1])
    assert [each["state"] for each in document["instances"]] == ["ready"] * 2
    assert all(each["pid"] and each["memory"] for each in document["instances"])
    assert json.loads(maas("call", "dga", "host=yahoo.com")[1])["is_malicious"] == "legit"
    assert "is ready at" in maas("logs", "dga", "--runner", "--instance", 1)[1]
    (tmp_path / "models.yaml").write_text("models: {}")
    assert maas(*words, "--prune")[1].splitlines() == ["dga @ 1.0: remove 2 (2 to 0)", "dga @ 1.0: 0 ready"]
