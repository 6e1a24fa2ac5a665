"""What the deployer asks of YARN, and what it makes of the answers; the deployer contract has a real YARN."""

from __future__ import annotations

import argparse
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from maas_runtime.archive import pack
from maas_runtime.deployers import Deployment
from maas_runtime.deployers.yarn import cluster
from maas_runtime.deployers.yarn.container import note_failed
from maas_runtime.deployers.yarn.deployer import YarnDeployer, YarnSettings
from maas_runtime.deployers.yarn.rest import Container, State
from maas_runtime.errors import DeployError
from maas_runtime.runner.runner import Limits, options
from maas_runtime.service.desired_state import DeploymentSpec
from maas_runtime.service.service import Service
from maas_runtime.store import options as stores
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


# --- orphans: registered, and not listed by YARN


def registered(registry):
    return [instance.id for instance in registry.instances(*DGA)]


def look(deployer, times=20):
    """What `running` returns, looked at as often as a service does within some seconds."""
    return [deployer.running(DGA) for _ in range(times)][-1]


@pytest.fixture
def serving(deployer, yarn, deployment, registry):
    """Starts so many instances, which get ready; returns their ids."""

    def start(count):
        deployer.scale(deployment, count)
        for id in ids(deployer, yarn):
            register(registry, id)
        return ids(deployer, yarn)

    return start


def set_containers(deployer, yarn, *containers, **changes):
    """Let YARN list these containers."""
    name = deployer.service_name(DGA)
    state = yarn.services[name]
    kept = tuple(one if isinstance(one, Container) else Container(one, one, 0) for one in containers)
    yarn.services[name] = state._replace(containers=kept, **changes)


def test_orphans_serve_until_replacements_are_ready_and_are_unregistered_one_by_one(deployer, yarn, registry, serving):
    first, second, third = serving(3)
    lose(deployer, yarn, 3)
    new = ids(deployer, yarn)
    look(deployer)
    assert registered(registry) == [first, second, third]
    register(registry, new[1])
    look(deployer)
    assert sorted(registered(registry)) == [second, third, new[1]]
    register(registry, new[0])
    register(registry, new[2])
    deployer.running(DGA)
    assert len(registered(registry)) == 4
    deployer.running(DGA)
    assert sorted(registered(registry)) == new


def test_an_orphan_is_unregistered_only_when_yarn_has_not_listed_it_several_times(deployer, yarn, registry, serving):
    (orphan,) = serving(1)
    lose(deployer, yarn)
    register(registry, *ids(deployer, yarn))
    look(deployer, 4)
    assert orphan in registered(registry)
    look(deployer, 1)
    assert registered(registry) == ids(deployer, yarn)


def test_only_those_that_are_not_recovered_are_replaced(deployer, yarn, registry, serving):
    recovered, orphan = serving(2)
    set_containers(deployer, yarn)  # a restarted master lists nothing first
    assert look(deployer) == 2
    set_containers(deployer, yarn, recovered)
    assert look(deployer) == 2
    new = yarn._container()
    set_containers(deployer, yarn, recovered, new)
    assert look(deployer) == 2
    assert registered(registry) == [recovered, orphan]
    register(registry, new.id)
    look(deployer)
    assert registered(registry) == [recovered, new.id]


def test_an_orphan_counts_as_running_so_that_nothing_else_is_started_or_given_up(deployer, yarn, serving):
    serving(2)
    set_containers(deployer, yarn)
    before = list(yarn.calls)
    assert look(deployer) == 2
    assert yarn.calls == before


def test_orphans_in_excess_of_what_is_desired_do_not_count_as_running(deployer, yarn, serving):
    serving(2)
    lose(deployer, yarn, 2)
    assert deployer.running(DGA) == 2


def test_fewer_desired_instances_leave_fewer_orphans(deployer, yarn, deployment, registry, serving):
    *_, youngest = serving(3)
    lose(deployer, yarn, 3)
    deployer.scale(deployment, 1)
    look(deployer)
    assert registered(registry) == [youngest]
    (new,) = ids(deployer, yarn)
    register(registry, new)
    look(deployer)
    assert registered(registry) == [new]


def test_orphans_go_before_listed_instances_and_those_that_serve_stay_as_many(
    deployer, yarn, deployment, registry, serving
):
    _, *listed = serving(3)
    replacement = yarn._container()
    set_containers(deployer, yarn, *listed, replacement)  # which is not ready
    deployer.scale(deployment, 2)
    assert ids(deployer, yarn) == listed
    look(deployer)
    assert registered(registry) == listed


def test_where_there_is_no_room_for_replacements_surplus_orphans_go_after_a_minute(
    deployer, yarn, deployment, registry, serving
):
    now = [0.0]
    deployer.clock = lambda: now[0]
    serving(3)
    set_containers(deployer, yarn)
    yarn.room = 0
    with pytest.raises(DeployError, match="YARN has given 0 of 2 containers"):
        deployer.scale(deployment, 2)
    look(deployer)
    assert len(registered(registry)) == 3
    now[0] = 60.0
    look(deployer)
    assert len(registered(registry)) == 2


@pytest.mark.parametrize("state", ["STABLE", "FAILED", None])
def test_a_model_that_is_removed_has_its_orphans_unregistered(
    deployer, yarn, deployment, registry, serving, reports, state
):
    serving(2)
    lose(deployer, yarn)
    deployer.running(DGA)
    name = deployer.service_name(DGA)
    if state is None:
        yarn.delete(name)
    else:
        yarn.services[name] = yarn.services[name]._replace(state=state)
    deployer.scale(deployment, 0)
    assert registered(registry) == []
    assert deployer.running(DGA) == 0
    assert yarn.state(name) is None
    assert reports == []


def test_instances_of_a_service_that_failed_serve_until_those_of_the_next_one_are_ready(
    deployer, yarn, deployment, registry, serving
):
    (orphan,) = serving(1)  # on a node that is cut off, or YARN would have ended it
    set_containers(deployer, yarn, state="FAILED")
    assert deployer.running(DGA) == 0
    deployer.scale(deployment, 1)
    look(deployer)
    assert registered(registry) == [orphan]
    (new,) = ids(deployer, yarn)
    register(registry, new)
    look(deployer)
    assert registered(registry) == [new]


def test_a_dead_orphan_is_reported_when_its_registration_is_gone(deployer, yarn, registry, serving, reports):
    dead, _ = serving(2)
    lose(deployer, yarn)
    look(deployer)
    assert reports == []
    registry.unregister("dga", dead)
    look(deployer)
    ((_, reason),) = reports
    assert reason.endswith(dead)


def test_an_orphan_that_is_replaced_is_reported_once(deployer, yarn, registry, serving, reports):
    orphan, _ = serving(2)
    lose(deployer, yarn)
    register(registry, ids(deployer, yarn)[1])
    look(deployer)
    ((_, reason),) = reports
    assert "its node was lost" in reason
    assert reason.endswith(orphan)


def test_containers_that_a_restarted_master_recovers_are_no_failures(deployer, yarn, deployment, reports):
    deployer.scale(deployment, 2)  # and they are not ready yet
    containers = ids(deployer, yarn)
    set_containers(deployer, yarn)
    look(deployer)
    set_containers(deployer, yarn, *containers)
    look(deployer)
    assert reports == []


def test_a_container_that_is_not_replaced_for_want_of_room_is_reported_after_a_minute(
    deployer, yarn, deployment, reports
):
    now = [0.0]
    deployer.clock = lambda: now[0]
    deployer.scale(deployment, 2)
    lost, left = ids(deployer, yarn)
    set_containers(deployer, yarn, left)
    look(deployer)
    assert reports == []
    now[0] = 60.0
    look(deployer)
    ((_, reason),) = reports
    assert reason.endswith(lost)


def test_registrations_of_others_are_left_alone(deployer, yarn, deployment, registry, serving):
    (listed,) = serving(1)
    others = ["by-hand", "container_18_0001_01_000002", "container_17_0002_01_000002"]
    for id in others:
        register(registry, id)
    look(deployer)
    assert sorted(registered(registry)) == sorted([listed, *others])
    deployer.scale(deployment, 0)
    assert sorted(registered(registry)) == sorted(others)


def test_the_next_service_knows_the_orphans_of_the_one_before(deployer, yarn, registry, serving):
    (orphan,) = serving(1)
    lose(deployer, yarn)
    following = replace(deployer)
    assert look(following) == 1
    assert registered(registry) == [orphan]
    register(registry, *ids(deployer, yarn))
    look(following)
    assert registered(registry) == ids(deployer, yarn)


@pytest.mark.parametrize("restart", [True, False])
def test_a_service_desires_as_many_as_before_while_a_master_is_restarted(
    deployer, yarn, store, registry, notes, deployment, restart
):
    deployer = replace(deployer, settings=YarnSettings(restart=restart, place_seconds=0.0))
    service = Service(None, registry, deployer, store, notes, restart=restart)
    service._wants.want(DeploymentSpec(deployment, 2))
    with ThreadPoolExecutor(1) as pool:
        for containers in (None, (), None):
            if containers is not None:
                kept = yarn.state(deployer.service_name(DGA)).containers
                for container in kept:
                    register(registry, container.id)
                set_containers(deployer, yarn)
            for _ in range(3):
                service.reconcile(pool)
                wait(service._under_way.values())
            if containers is not None:
                set_containers(deployer, yarn, *kept)
    assert [call[0] for call in yarn.calls] == ["create", "resize"]
    assert service._wants.get(DGA).instances == 2


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
