"""What the deployer asks of YARN, and what it makes of the answers; the deployer contract has a real YARN."""

from __future__ import annotations

import argparse
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from maas_runtime import cluster, stores
from maas_runtime.archive import pack
from maas_runtime.container import note_failed
from maas_runtime.deployers import Deployment
from maas_runtime.deployers.yarn import YarnDeployer, YarnSettings
from maas_runtime.errors import DeployError
from maas_runtime.runner import Limits, options
from maas_runtime.yarn import Container, State
from stellar.maas import MemoryRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

DGA = Model("dga", "1.0")
SHELL = Model("$(reboot); `id` 'x' \"y\"", "${USER} && rm -rf ~")


class FakeYarn:
    """Services that are only counted; `room` is how many containers there can be."""

    def __init__(self):
        self.services, self.calls, self.room, self.numbers = {}, [], 100, iter(range(1, 1000))

    def create(self, specification):
        self.calls.append(("create", specification))
        (component,) = specification["components"]
        properties = specification["configuration"]["properties"]
        self.services[specification["name"]] = State("STABLE", "application_17_0001", 0, (), properties)
        self.resize(specification["name"], "model", component["number_of_containers"])

    def state(self, name):
        return self.services.get(name)

    def resize(self, name, component, containers):
        self.calls.append(("resize", containers))
        state = self.services[name]
        missing = min(containers, self.room) - len(state.containers)
        new = [self._container() for _ in range(missing)]
        self.services[name] = state._replace(wanted=containers, containers=(*state.containers, *new))

    def _container(self):
        number = next(self.numbers)
        return Container(f"container_17_0001_01_{number:06}", f"model-{number}", number)

    def take_away(self, name, component, instances):
        self.calls.append(("take away", list(instances)))
        state = self.services[name]
        left = tuple(one for one in state.containers if one.instance not in instances)
        self.services[name] = state._replace(wanted=state.wanted - len(instances), containers=left)

    def delete(self, name):
        self.calls.append(("delete", name))
        del self.services[name]

    def why(self, application):
        return "queue models was emptied"


@pytest.fixture
def yarn():
    return FakeYarn()


@pytest.fixture
def registry():
    with MemoryRegistry() as registry:
        yield registry


@pytest.fixture
def reports():
    return []


@pytest.fixture
def deployer(yarn, store, registry, notes, reports):
    settings = YarnSettings(place_seconds=0.0)
    limits = Limits(drain=0.0)
    place = ["--zk_quorum=h:1"]
    return YarnDeployer(yarn, place, store, registry, notes, lambda *said: reports.append(said), limits, settings)


def register(registry, id):
    registry.register(ServiceInstance.of(DGA, id, Endpoint(url=f"http://h:1/{id}")))


def ids(deployer, yarn):
    return [container.id for container in yarn.state(deployer.service_name(DGA)).containers]


def test_names_of_services_are_dns_like_and_never_the_same(deployer):
    models = [("dga", "1.0"), ("dga", "1-0"), ("DGA", "1.0"), ("dga-1", "0"), ("modèle", "1"), ("x" * 200, "1"), SHELL]
    names = [deployer.service_name(Model(*model)) for model in models]
    assert len({*names}) == len(names)
    for name in names:
        assert len(name) <= 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert name.startswith("maas-")
    elsewhere = replace(deployer, place=["--zk_quorum=h:1/other"])
    assert elsewhere.service_name(DGA) != deployer.service_name(DGA)


def test_what_users_say_never_reaches_the_shell(deployer, yarn, deployment):
    settings = YarnSettings(python="my python; reboot", place_seconds=0.0)
    environment = {"A": "$(id) ${CONTAINER_ID}"}
    replace(deployer, settings=settings).scale(replace(deployment, model=SHELL, environment=environment), 1)
    (_, specification), *_ = yarn.calls
    (component,) = specification["components"]
    assert component["launch_command"] == "exec 'my python; reboot' maas.pyz container"
    said = json.dumps({**component, "configuration": None})
    assert "reboot)" not in said
    (file,) = [file for file in component["configuration"]["files"] if file["type"] == "JSON"]
    assert "$" not in file["properties"]["instance"]
    description = json.loads(file["properties"]["instance"])
    given = options().parse_args([*description["arguments"], "--container_id=c", "--container=."])
    assert (given.name, given.version, given.zk_quorum) == (*SHELL, "h:1")
    assert description["environment"] == environment


def test_queue_label_and_memory_are_those_asked_for(deployer, yarn, deployment):
    settings = YarnSettings(queue="models", label="gpu", place_seconds=0.0)
    replace(deployer, settings=settings).scale(replace(deployment, memory=1000), 2)
    (_, specification), *_ = yarn.calls
    (component,) = specification["components"]
    assert specification["queue"] == "models"
    assert component["placement_policy"]["constraints"][0]["node_partitions"] == ["gpu"]
    assert component["resource"] == {"cpus": 1, "memory": "1000"}
    assert "--memory=952" in component["configuration"]["files"][2]["properties"]["instance"]
    assert component["number_of_containers"] == 2


def test_the_files_are_where_the_nodes_find_them_and_are_packed_once(deployer, yarn, deployment):
    deployer.scale(deployment, 1)
    deployer.scale(replace(deployment, model=Model("dga", "2.0")), 1)
    first, second = (call[1] for call in yarn.calls if call[0] == "create")
    files = first["components"][0]["configuration"]["files"]
    assert [file["dest_file"] for file in files] == ["maas.pyz", "model", "instance.json"]
    assert [f["src_file"] for f in files[:2]] == [
        f["src_file"] for f in second["components"][0]["configuration"]["files"][:2]
    ]
    with tarfile.open(unquote(urlsplit(files[1]["src_file"]).path)) as packed:
        assert {"rest.sh", "server.py"} <= set(packed.getnames())


def test_packing_the_same_files_gives_the_same_bytes(tmp_path, collateral):
    first = pack(collateral(), tmp_path / "first").read_bytes()
    assert pack(collateral(folder="again"), tmp_path / "second").read_bytes() == first


def test_too_little_memory_is_refused_before_anything_is_asked(deployer, yarn, deployment):
    with pytest.raises(DeployError, match="64 MB are too little; its runner alone takes 48"):
        deployer.scale(replace(deployment, memory=64), 1)
    assert yarn.calls == []


def test_what_waits_for_room_is_said_and_asking_again_changes_nothing(deployer, yarn, deployment):
    yarn.room = 1
    for _ in range(2):
        with pytest.raises(DeployError, match="YARN has given 1 of 3 containers within 0 seconds; the others wait"):
            deployer.scale(deployment, 3)
    assert [call[0] for call in yarn.calls] == ["create", "resize"]


def test_where_a_label_is_asked_for_it_is_said_what_that_needs(deployer, yarn, deployment):
    yarn.room = 0
    deployer = replace(deployer, settings=YarnSettings(label="gpu", place_seconds=0.0))
    with pytest.raises(DeployError, match=r"wait for room on a node labelled 'gpu'; YARN needs .*handler=scheduler to"):
        deployer.scale(deployment, 1)


def test_those_that_wait_for_room_are_the_first_to_go_then_the_unready_then_the_oldest(
    deployer, yarn, deployment, registry
):
    yarn.room = 3
    with pytest.raises(DeployError):
        deployer.scale(deployment, 4)
    first, second, third = ids(deployer, yarn)
    register(registry, first)
    register(registry, third)
    deployer.scale(deployment, 2)
    assert yarn.calls[-2:] == [("resize", 3), ("take away", ["model-2"])]
    assert ids(deployer, yarn) == [first, third]
    assert second not in ids(deployer, yarn)
    deployer.scale(deployment, 1)
    assert ids(deployer, yarn) == [third]
    assert [instance.id for instance in registry.instances()] == [third]


def test_other_files_memory_or_environment_are_no_more_of_the_same(deployer, yarn, deployment, store, collateral):
    deployer.scale(deployment, 1)
    other = replace(deployment, memory=1024)
    with pytest.raises(DeployError, match="with other files, memory or environment; remove it first, or deploy"):
        deployer.scale(other, 2)
    deployer.scale(other, 1)  # as many as there are: nothing is to be started
    store.upload(collateral(more="x"), "/dga")
    with pytest.raises(DeployError, match="with other files"):
        deployer.scale(deployment, 2)


def test_a_service_that_ended_is_made_anew(deployer, yarn, deployment):
    deployer.scale(deployment, 1)
    name = deployer.service_name(DGA)
    yarn.services[name] = yarn.services[name]._replace(state="FAILED", containers=())
    assert deployer.running(DGA) == 0
    deployer.scale(deployment, 2)
    assert deployer.running(DGA) == 2


def test_a_service_that_ends_at_once_tells_why(deployer, yarn, deployment, monkeypatch):
    monkeypatch.setattr(yarn, "resize", lambda *_: None)
    monkeypatch.setattr(yarn, "state", lambda name: State("FAILED", "a", 1, (), {}) if name in yarn.services else None)
    with pytest.raises(DeployError, match="YARN has ended its service: queue models was emptied"):
        deployer.scale(deployment, 1)


def test_how_many_run_is_not_known_while_the_master_is_away(deployer, yarn, deployment):
    deployer.scale(deployment, 1)
    name = deployer.service_name(DGA)
    yarn.services[name] = yarn.services[name]._replace(state="ACCEPTED", wanted=None, containers=())
    with pytest.raises(ConnectionError, match="can't tell now how many run"):
        deployer.running(DGA)
    with pytest.raises(ConnectionError, match="can't be asked now"):
        deployer.scale(deployment, 2)


def lose(deployer, yarn, count=1):
    """YARN replaces containers by new ones."""
    name = deployer.service_name(DGA)
    state = yarn.services[name]
    new = tuple(yarn._container() for _ in range(count))
    yarn.services[name] = state._replace(containers=(*state.containers[count:], *new))


def test_a_failure_that_its_runner_noted_is_reported_once_with_the_reason(deployer, yarn, deployment, notes, reports):
    deployer.scale(deployment, 2)
    (failed, _) = ids(deployer, yarn)
    note_failed(notes, DGA, failed, "rest.sh ended with status 3")
    note_failed(notes, Model("other", "1.0"), "container_17_0009_01_000001", "not of this model")
    assert deployer.running(DGA) == 2
    lose(deployer, yarn)
    deployer.running(DGA)
    deployer.running(DGA)
    where = f"see: yarn logs -applicationId application_17_0001 -containerId {failed}"
    assert reports == [(DGA, f"rest.sh ended with status 3; {where}")]


def test_where_nothing_is_to_be_started_again_what_failed_is_taken_away(deployer, yarn, deployment, notes, reports):
    deployer = replace(deployer, settings=YarnSettings(restart=False, place_seconds=0.0))
    deployer.scale(deployment, 2)
    (failed, left) = ids(deployer, yarn)
    note_failed(notes, DGA, failed, "rest.sh ended with status 3")
    assert deployer.running(DGA) == 1
    assert ids(deployer, yarn) == [left]
    assert yarn.calls[-1] == ("take away", ["model-1"])
    assert len(reports) == 1
    assert (
        '"restart": false' in yarn.calls[0][1]["components"][0]["configuration"]["files"][2]["properties"]["instance"]
    )


def test_an_end_without_a_reason_is_reported_too(deployer, yarn, deployment, reports):
    deployer.scale(deployment, 2)
    (lost, _) = ids(deployer, yarn)
    lose(deployer, yarn)
    deployer.running(DGA)
    deployer.running(DGA)
    ((model, reason),) = reports
    assert model == DGA
    assert reason.startswith("its container was ended by YARN, for memory or for room, or its node was lost; see: ")
    assert reason.endswith(lost)


def test_an_end_that_was_asked_for_is_no_failure(deployer, yarn, deployment, reports):
    deployer.scale(deployment, 3)
    deployer.scale(deployment, 1)
    deployer.running(DGA)
    deployer.scale(deployment, 0)
    assert deployer.running(DGA) == 0
    assert reports == []


def test_a_failure_while_no_service_ran_is_reported_by_the_next_one(deployer, deployment, notes, reports):
    note_failed(notes, DGA, "container_e17_1600_0042_01_000003", "it used 600 MB")
    assert deployer.running(DGA) == 0
    ((_, reason),) = reports
    assert "yarn logs -applicationId application_1600_0042 -containerId container_e17_1600_0042_01_000003" in reason


def test_an_instance_that_yarn_knows_no_more_is_unregistered_after_some_looks(deployer, yarn, deployment, registry):
    deployer.scale(deployment, 2)
    for id in ids(deployer, yarn):
        register(registry, id)
    register(registry, "by-hand")
    lose(deployer, yarn)
    left_behind = {instance.id for instance in registry.instances()} - {*ids(deployer, yarn), "by-hand"}
    for _ in range(4):
        deployer.running(DGA)
    assert left_behind <= {instance.id for instance in registry.instances()}
    deployer.running(DGA)
    assert {instance.id for instance in registry.instances()} == {"by-hand", ids(deployer, yarn)[0]}


def test_nothing_is_unregistered_while_yarn_does_not_know_all(deployer, yarn, deployment, registry):
    deployer.scale(deployment, 2)
    for id in ids(deployer, yarn):
        register(registry, id)
    name = deployer.service_name(DGA)
    yarn.services[name] = yarn.services[name]._replace(containers=())  # a master that was started anew
    for _ in range(10):
        deployer.running(DGA)
    assert len(registry.instances()) == 2


# --- the options


def given(*words):
    parser = argparse.ArgumentParser()
    stores.options(parser)
    cluster.options(parser)
    return parser.parse_args(words)


METRONS = {
    "-q": "a", "-nle": "b", "-mm": "1", "-mc": "1", "-t": "1", "-j": "a", "-l": "b", "-d": "c", "-va": "d", "-ma": "e"
}  # fmt: skip
ALL = [*(word for pair in METRONS.items() for word in pair), "-c"]


@pytest.mark.parametrize(
    ("words", "effective"),
    [
        ([], []),
        (["--yarn"], ["-q", "-nle"]),
        (["--yarn", "http://h:1"], ["-q", "-nle"]),
        (["--on-yarn"], ["-q", "-nle", "-mm", "-mc", "-t"]),
    ],
)
def test_it_is_said_which_options_have_no_effect(words, effective):
    said = [line.split()[0] for line in cluster.without_effect(given(*words, *ALL))]
    assert sorted(said) == sorted(word for word in [*METRONS, "-c"] if word not in effective)


def test_yarn_without_an_address_or_a_configuration_is_refused(monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    with (
        pytest.raises(ValueError, match=r"\$HADOOP_CONF_DIR has no yarn-site\.xml; give an address: --yarn URL"),
        cluster.services(given("--yarn")),
    ):
        pass


def test_the_addresses_are_those_given_or_else_those_configured(monkeypatch, tmp_path):
    with cluster.services(given("--yarn", "http://a:1", "--yarn", "http://b:1")) as yarn:
        assert yarn.urls == ["http://a:1", "http://b:1"]
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    (tmp_path / "yarn-site.xml").write_text(
        "<configuration><property><name>yarn.resourcemanager.hostname</name><value>rm</value></property></configuration>"
    )
    with cluster.services(given("--yarn")) as yarn:
        assert yarn.urls == ["http://rm:8088"]


def test_published_files_can_be_read_by_whoever_runs_the_nodes(store, tmp_path):
    (tmp_path / "file").write_text("x")
    path = Path(unquote(urlsplit(store.publish(tmp_path / "file", "name-1")).path))
    assert path.read_text() == "x"
    assert path.stat().st_mode & 0o777 == 0o644
    (tmp_path / "file").write_text("other")
    store.publish(tmp_path / "file", "name-1")
    assert path.read_text() == "x"  # a name stands for one content


def test_memory_that_is_not_said_is_bounded_by_yarn_alone(deployer, yarn, deployment):
    deployer.scale(Deployment(DGA, deployment.path), 1)
    (component,) = yarn.calls[0][1]["components"]
    assert component["resource"]["memory"] == "512"
    assert "--memory=0" in component["configuration"]["files"][2]["properties"]["instance"]
