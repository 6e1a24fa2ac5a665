"""The YARN deployer with a fake YARN; the deployer contract uses a real one."""

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
from maas_runtime.deployers.yarn.container import write_failure
from maas_runtime.deployers.yarn.deployer import YarnDeployer, YarnSettings
from maas_runtime.deployers.yarn.principal import ServicePrincipal
from maas_runtime.deployers.yarn.rest import YarnContainer, YarnServiceState
from maas_runtime.errors import DeployError
from maas_runtime.runner.limits import Limits
from maas_runtime.runner.runner import make_parser
from maas_runtime.service.desired_state import DeploymentSpec
from maas_runtime.service.service import Service
from maas_runtime.store import options as stores
from stellar.maas import MemoryRegistry, Model, ServiceInstance
from stellar.maas.schema import Endpoint

DGA = Model("dga", "1.0")
SHELL = Model("$(reboot); `id` 'x' \"y\"", "${USER} && rm -rf ~")


class FakeYarn:
    """A fake YARN without processes; `room` is the maximum number of containers."""

    def __init__(self):
        self.services, self.calls, self.room, self.numbers = {}, [], 100, iter(range(1, 1000))

    def create(self, specification):
        self.calls.append(("create", specification))
        (component,) = specification["components"]
        properties = specification["configuration"]["properties"]
        self.services[specification["name"]] = YarnServiceState("STABLE", "application_17_0001", 0, (), properties)
        self.resize(specification["name"], "model", component["number_of_containers"])

    def state(self, name):
        return self.services.get(name)

    def resize(self, name, component, containers):
        self.calls.append(("resize", containers))
        state = self.services[name]
        missing = min(containers, self.room) - len(state.containers)
        new = [self._container() for _ in range(missing)]
        self.services[name] = state._replace(desired=containers, containers=(*state.containers, *new))

    def _container(self):
        number = next(self.numbers)
        return YarnContainer(f"container_17_0001_01_{number:06}", f"model-{number}", number)

    def decommission(self, name, component, instances):
        self.calls.append(("take away", list(instances)))
        state = self.services[name]
        left = tuple(one for one in state.containers if one.instance not in instances)
        self.services[name] = state._replace(desired=state.desired - len(instances), containers=left)

    def delete(self, name):
        self.calls.append(("delete", name))
        del self.services[name]

    def read_diagnostics(self, application):
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
def deployer(yarn, store, registry, state_store, reports):
    settings = YarnSettings(allocation_seconds=0.0)
    limits = Limits(drain=0.0)
    registry_options = ["--zk_quorum=h:1"]
    return YarnDeployer(
        yarn, registry_options, store, registry, state_store, lambda *said: reports.append(said), limits, settings
    )


def register(registry, id):
    registry.register(ServiceInstance.of(DGA, id, Endpoint(url=f"http://h:1/{id}")))


def ids(deployer, yarn):
    return [container.id for container in yarn.state(deployer.service_name(DGA)).containers]


def test_service_names_are_unique_dns_labels(deployer):
    models = [("dga", "1.0"), ("dga", "1-0"), ("DGA", "1.0"), ("dga-1", "0"), ("modèle", "1"), ("x" * 200, "1"), SHELL]
    names = [deployer.service_name(Model(*model)) for model in models]
    assert len({*names}) == len(names)
    for name in names:
        assert len(name) <= 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert name.startswith("maas-")
    elsewhere = replace(deployer, registry_options=["--zk_quorum=h:1/other"])
    assert elsewhere.service_name(DGA) != deployer.service_name(DGA)


def test_user_input_never_reaches_the_shell(deployer, yarn, deployment):
    settings = YarnSettings(python="my python; reboot", allocation_seconds=0.0)
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
    given = make_parser().parse_args([*description["arguments"], "--container_id=c", "--container=."])
    assert (given.name, given.version, given.zk_quorum) == (*SHELL, "h:1")
    assert description["environment"] == environment


def test_queue_label_and_memory_are_in_the_specification(deployer, yarn, deployment):
    settings = YarnSettings(queue="models", label="gpu", allocation_seconds=0.0)
    replace(deployer, settings=settings).scale(replace(deployment, memory=1000), 2)
    (_, specification), *_ = yarn.calls
    (component,) = specification["components"]
    assert specification["queue"] == "models"
    assert component["placement_policy"]["constraints"][0]["node_partitions"] == ["gpu"]
    assert component["resource"] == {"cpus": 1, "memory": "1000"}
    assert "--memory=952" in component["configuration"]["files"][2]["properties"]["instance"]
    assert component["number_of_containers"] == 2


def test_the_kerberos_principal_is_in_the_specification(deployer, yarn, deployment):
    principal = ServicePrincipal("maas/_HOST@EXAMPLE.ORG", "hdfs:///user/maas/maas.keytab")
    settings = YarnSettings(allocation_seconds=0.0, principal=principal)
    replace(deployer, settings=settings).scale(deployment, 1)
    (_, specification), *_ = yarn.calls
    assert specification["kerberos_principal"] == {
        "principal_name": "maas/_HOST@EXAMPLE.ORG",
        "keytab": "hdfs:///user/maas/maas.keytab",
    }


def test_a_cluster_without_kerberos_gets_no_principal(deployer, yarn, deployment):
    deployer.scale(deployment, 1)
    assert "kerberos_principal" not in yarn.calls[0][1]


def test_the_files_are_published_for_the_nodes_once(deployer, yarn, deployment):
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


def test_too_little_memory_is_rejected_before_any_request(deployer, yarn, deployment):
    with pytest.raises(DeployError, match="64 MB is too little memory; the runner alone needs 48"):
        deployer.scale(replace(deployment, memory=64), 1)
    assert yarn.calls == []


def test_unallocated_containers_are_reported_and_scaling_again_changes_nothing(deployer, yarn, deployment):
    yarn.room = 1
    for _ in range(2):
        with pytest.raises(DeployError, match="YARN allocated 1 of 3 containers within 0 seconds; the others wait"):
            deployer.scale(deployment, 3)
    assert [call[0] for call in yarn.calls] == ["create", "resize"]


def test_a_node_label_adds_a_hint(deployer, yarn, deployment):
    yarn.room = 0
    deployer = replace(deployer, settings=YarnSettings(label="gpu", allocation_seconds=0.0))
    with pytest.raises(
        DeployError,
        match=r"wait for resources on a node labelled 'gpu'; node labels of services require .*handler=scheduler",
    ):
        deployer.scale(deployment, 1)


def test_unallocated_containers_are_removed_first_then_the_unready_then_the_oldest(
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


def test_other_files_memory_or_environment_are_rejected(deployer, yarn, deployment, store, collateral):
    deployer.scale(deployment, 1)
    other = replace(deployment, memory=1024)
    with pytest.raises(DeployError, match="with other files, memory or environment; remove it first, or deploy"):
        deployer.scale(other, 2)
    deployer.scale(other, 1)  # the same number: no instance is started
    store.upload(collateral(more="x"), "/dga")
    with pytest.raises(DeployError, match="with other files"):
        deployer.scale(deployment, 2)


def test_an_ended_service_is_created_again(deployer, yarn, deployment):
    deployer.scale(deployment, 1)
    name = deployer.service_name(DGA)
    yarn.services[name] = yarn.services[name]._replace(state="FAILED", containers=())
    assert deployer.running(DGA) == 0
    deployer.scale(deployment, 2)
    assert deployer.running(DGA) == 2


def test_a_service_that_ends_at_once_is_reported_with_the_reason(deployer, yarn, deployment, monkeypatch):
    monkeypatch.setattr(yarn, "resize", lambda *_: None)
    monkeypatch.setattr(
        yarn, "state", lambda name: YarnServiceState("FAILED", "a", 1, (), {}) if name in yarn.services else None
    )
    with pytest.raises(DeployError, match="YARN ended its service: queue models was emptied"):
        deployer.scale(deployment, 1)


def test_running_fails_while_the_master_is_unavailable(deployer, yarn, deployment):
    deployer.scale(deployment, 1)
    name = deployer.service_name(DGA)
    yarn.services[name] = yarn.services[name]._replace(state="ACCEPTED", desired=None, containers=())
    with pytest.raises(ConnectionError, match="does not report its containers now"):
        deployer.running(DGA)
    with pytest.raises(ConnectionError, match="is not available now"):
        deployer.scale(deployment, 2)


def lose(deployer, yarn, count=1):
    """Replace containers by new ones, as YARN does."""
    name = deployer.service_name(DGA)
    state = yarn.services[name]
    new = tuple(yarn._container() for _ in range(count))
    yarn.services[name] = state._replace(containers=(*state.containers[count:], *new))


def test_a_failure_recorded_by_the_runner_is_reported_once_with_the_reason(
    deployer, yarn, deployment, state_store, reports
):
    deployer.scale(deployment, 2)
    (failed, _) = ids(deployer, yarn)
    write_failure(state_store, DGA, failed, "rest.sh ended with status 3")
    write_failure(state_store, Model("other", "1.0"), "container_17_0009_01_000001", "not of this model")
    assert deployer.running(DGA) == 2
    lose(deployer, yarn)
    deployer.running(DGA)
    deployer.running(DGA)
    where = f"see: yarn logs -applicationId application_17_0001 -containerId {failed}"
    assert reports == [(DGA, f"rest.sh ended with status 3; {where}")]


def test_without_restarts_failed_instances_are_removed(deployer, yarn, deployment, state_store, reports):
    deployer = replace(deployer, settings=YarnSettings(restart=False, allocation_seconds=0.0))
    deployer.scale(deployment, 2)
    (failed, left) = ids(deployer, yarn)
    write_failure(state_store, DGA, failed, "rest.sh ended with status 3")
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
    assert reason.startswith("YARN ended its container, for memory or preemption, or its node was lost; see: ")
    assert reason.endswith(lost)


def test_a_requested_end_is_not_a_failure(deployer, yarn, deployment, reports):
    deployer.scale(deployment, 3)
    deployer.scale(deployment, 1)
    deployer.running(DGA)
    deployer.scale(deployment, 0)
    assert deployer.running(DGA) == 0
    assert reports == []


def test_a_failure_while_no_service_ran_is_reported_by_the_next_one(deployer, deployment, state_store, reports):
    write_failure(state_store, DGA, "container_e17_1600_0042_01_000003", "it used 600 MB")
    assert deployer.running(DGA) == 0
    ((_, reason),) = reports
    assert "yarn logs -applicationId application_1600_0042 -containerId container_e17_1600_0042_01_000003" in reason


# --- orphans: registered_ids, and not listed by YARN


def registered_ids(registry):
    return [instance.id for instance in registry.instances(*DGA)]


def poll(deployer, times=20):
    """Call `running` repeatedly, as a service does within some seconds. Return the last result."""
    return [deployer.running(DGA) for _ in range(times)][-1]


@pytest.fixture
def serving(deployer, yarn, deployment, registry):
    """Start instances that become ready. Return their ids."""

    def start(count):
        deployer.scale(deployment, count)
        for id in ids(deployer, yarn):
            register(registry, id)
        return ids(deployer, yarn)

    return start


def set_containers(deployer, yarn, *containers, **changes):
    """Set the containers that YARN lists."""
    name = deployer.service_name(DGA)
    state = yarn.services[name]
    kept = tuple(one if isinstance(one, YarnContainer) else YarnContainer(one, one, 0) for one in containers)
    yarn.services[name] = state._replace(containers=kept, **changes)


def test_orphans_serve_until_replacements_are_ready_and_are_unregistered_one_by_one(deployer, yarn, registry, serving):
    first, second, third = serving(3)
    lose(deployer, yarn, 3)
    new = ids(deployer, yarn)
    poll(deployer)
    assert registered_ids(registry) == [first, second, third]
    register(registry, new[1])
    poll(deployer)
    assert sorted(registered_ids(registry)) == [second, third, new[1]]
    register(registry, new[0])
    register(registry, new[2])
    deployer.running(DGA)
    assert len(registered_ids(registry)) == 4
    deployer.running(DGA)
    assert sorted(registered_ids(registry)) == new


def test_an_orphan_is_unregistered_only_when_yarn_has_not_listed_it_several_times(deployer, yarn, registry, serving):
    (orphan,) = serving(1)
    lose(deployer, yarn)
    register(registry, *ids(deployer, yarn))
    poll(deployer, 4)
    assert orphan in registered_ids(registry)
    poll(deployer, 1)
    assert registered_ids(registry) == ids(deployer, yarn)


def test_only_orphans_that_are_not_recovered_are_replaced(deployer, yarn, registry, serving):
    recovered, orphan = serving(2)
    set_containers(deployer, yarn)  # a restarted master lists no container at first
    assert poll(deployer) == 2
    set_containers(deployer, yarn, recovered)
    assert poll(deployer) == 2
    new = yarn._container()
    set_containers(deployer, yarn, recovered, new)
    assert poll(deployer) == 2
    assert registered_ids(registry) == [recovered, orphan]
    register(registry, new.id)
    poll(deployer)
    assert registered_ids(registry) == [recovered, new.id]


def test_an_orphan_counts_as_running_so_that_no_other_instance_is_started_or_failed(deployer, yarn, serving):
    serving(2)
    set_containers(deployer, yarn)
    before = list(yarn.calls)
    assert poll(deployer) == 2
    assert yarn.calls == before


def test_orphans_in_excess_of_what_is_desired_do_not_count_as_running(deployer, yarn, serving):
    serving(2)
    lose(deployer, yarn, 2)
    assert deployer.running(DGA) == 2


def test_scaling_down_leaves_fewer_orphans(deployer, yarn, deployment, registry, serving):
    *_, youngest = serving(3)
    lose(deployer, yarn, 3)
    deployer.scale(deployment, 1)
    poll(deployer)
    assert registered_ids(registry) == [youngest]
    (new,) = ids(deployer, yarn)
    register(registry, new)
    poll(deployer)
    assert registered_ids(registry) == [new]


def test_orphans_are_removed_before_listed_instances_without_reducing_ready_ones(
    deployer, yarn, deployment, registry, serving
):
    _, *listed = serving(3)
    replacement = yarn._container()
    set_containers(deployer, yarn, *listed, replacement)  # not ready
    deployer.scale(deployment, 2)
    assert ids(deployer, yarn) == listed
    poll(deployer)
    assert registered_ids(registry) == listed


def test_without_capacity_for_replacements_surplus_orphans_are_removed_after_a_minute(
    deployer, yarn, deployment, registry, serving
):
    now = [0.0]
    deployer.clock = lambda: now[0]
    serving(3)
    set_containers(deployer, yarn)
    yarn.room = 0
    with pytest.raises(DeployError, match="YARN allocated 0 of 2 containers"):
        deployer.scale(deployment, 2)
    poll(deployer)
    assert len(registered_ids(registry)) == 3
    now[0] = 60.0
    poll(deployer)
    assert len(registered_ids(registry)) == 2


@pytest.mark.parametrize("state", ["STABLE", "FAILED", None])
def test_removing_a_model_unregisters_its_orphans(deployer, yarn, deployment, registry, serving, reports, state):
    serving(2)
    lose(deployer, yarn)
    deployer.running(DGA)
    name = deployer.service_name(DGA)
    if state is None:
        yarn.delete(name)
    else:
        yarn.services[name] = yarn.services[name]._replace(state=state)
    deployer.scale(deployment, 0)
    assert registered_ids(registry) == []
    assert deployer.running(DGA) == 0
    assert yarn.state(name) is None
    assert reports == []


def test_instances_of_a_failed_service_serve_until_the_next_ones_are_ready(
    deployer, yarn, deployment, registry, serving
):
    (orphan,) = serving(1)  # on a partitioned node; otherwise YARN would have ended it
    set_containers(deployer, yarn, state="FAILED")
    assert deployer.running(DGA) == 0
    deployer.scale(deployment, 1)
    poll(deployer)
    assert registered_ids(registry) == [orphan]
    (new,) = ids(deployer, yarn)
    register(registry, new)
    poll(deployer)
    assert registered_ids(registry) == [new]


def test_a_dead_orphan_is_reported_when_its_registration_ends(deployer, yarn, registry, serving, reports):
    dead, _ = serving(2)
    lose(deployer, yarn)
    poll(deployer)
    assert reports == []
    registry.unregister("dga", dead)
    poll(deployer)
    ((_, reason),) = reports
    assert reason.endswith(dead)


def test_an_orphan_that_is_replaced_is_reported_once(deployer, yarn, registry, serving, reports):
    orphan, _ = serving(2)
    lose(deployer, yarn)
    register(registry, ids(deployer, yarn)[1])
    poll(deployer)
    ((_, reason),) = reports
    assert "its node was lost" in reason
    assert reason.endswith(orphan)


def test_containers_recovered_by_a_restarted_master_are_not_failures(deployer, yarn, deployment, reports):
    deployer.scale(deployment, 2)  # not ready yet
    containers = ids(deployer, yarn)
    set_containers(deployer, yarn)
    poll(deployer)
    set_containers(deployer, yarn, *containers)
    poll(deployer)
    assert reports == []


def test_a_container_not_replaced_for_lack_of_capacity_is_reported_after_a_minute(deployer, yarn, deployment, reports):
    now = [0.0]
    deployer.clock = lambda: now[0]
    deployer.scale(deployment, 2)
    lost, left = ids(deployer, yarn)
    set_containers(deployer, yarn, left)
    poll(deployer)
    assert reports == []
    now[0] = 60.0
    poll(deployer)
    ((_, reason),) = reports
    assert reason.endswith(lost)


def test_other_registrations_are_never_touched(deployer, yarn, deployment, registry, serving):
    (listed,) = serving(1)
    others = ["by-hand", "container_18_0001_01_000002", "container_17_0002_01_000002"]
    for id in others:
        register(registry, id)
    poll(deployer)
    assert sorted(registered_ids(registry)) == sorted([listed, *others])
    deployer.scale(deployment, 0)
    assert sorted(registered_ids(registry)) == sorted(others)


def test_a_new_service_finds_the_orphans_of_the_previous_one(deployer, yarn, registry, serving):
    (orphan,) = serving(1)
    lose(deployer, yarn)
    following = replace(deployer)
    assert poll(following) == 1
    assert registered_ids(registry) == [orphan]
    register(registry, *ids(deployer, yarn))
    poll(following)
    assert registered_ids(registry) == ids(deployer, yarn)


@pytest.mark.parametrize("restart", [True, False])
def test_the_desired_number_is_unchanged_while_a_master_restarts(
    deployer, yarn, store, registry, state_store, deployment, restart
):
    deployer = replace(deployer, settings=YarnSettings(restart=restart, allocation_seconds=0.0))
    service = Service(None, registry, deployer, store, state_store, restart=restart)
    service._desired.set(DeploymentSpec(deployment, 2))
    with ThreadPoolExecutor(1) as pool:
        for containers in (None, (), None):
            if containers is not None:
                kept = yarn.state(deployer.service_name(DGA)).containers
                for container in kept:
                    register(registry, container.id)
                set_containers(deployer, yarn)
            for _ in range(3):
                service.reconcile(pool)
                wait(service._reconciling.values())
            if containers is not None:
                set_containers(deployer, yarn, *kept)
    assert [call[0] for call in yarn.calls] == ["create", "resize"]
    assert service._desired.get(DGA).instances == 2


# --- the options


def given(*words):
    parser = argparse.ArgumentParser()
    stores.add_store_options(parser)
    cluster.add_yarn_options(parser)
    return parser.parse_args(words)


METRON_OPTIONS = {
    "-q": "a", "-nle": "b", "-mm": "1", "-mc": "1", "-t": "1", "-j": "a", "-l": "b", "-d": "c", "-va": "d", "-ma": "e"
}  # fmt: skip
ALL = [*(word for pair in METRON_OPTIONS.items() for word in pair), "-c"]


@pytest.mark.parametrize(
    ("words", "effective"),
    [
        ([], []),
        (["--yarn"], ["-q", "-nle"]),
        (["--yarn", "http://h:1"], ["-q", "-nle"]),
        (["--on-yarn"], ["-q", "-nle", "-mm", "-mc", "-t"]),
    ],
)
def test_options_without_effect_are_reported(words, effective):
    said = [line.split()[0] for line in cluster.explain_ignored_options(given(*words, *ALL))]
    assert sorted(said) == sorted(word for word in [*METRON_OPTIONS, "-c"] if word not in effective)


def test_yarn_without_a_url_or_a_configuration_is_rejected(monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    with (
        pytest.raises(ValueError, match=r"\$HADOOP_CONF_DIR has no yarn-site\.xml; add --yarn URL"),
        cluster.open_services(given("--yarn")),
    ):
        pass


def test_urls_come_from_the_options_or_the_configuration(monkeypatch, tmp_path):
    with cluster.open_services(given("--yarn", "http://a:1", "--yarn", "http://b:1")) as yarn:
        assert yarn.urls == ["http://a:1", "http://b:1"]
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    (tmp_path / "yarn-site.xml").write_text(
        "<configuration><property><name>yarn.resourcemanager.hostname</name><value>rm</value></property></configuration>"
    )
    with cluster.open_services(given("--yarn")) as yarn:
        assert yarn.urls == ["http://rm:8088"]


def test_published_files_are_readable_by_all_users(store, tmp_path):
    (tmp_path / "file").write_text("x")
    path = Path(unquote(urlsplit(store.publish(tmp_path / "file", "name-1")).path))
    assert path.read_text() == "x"
    assert path.stat().st_mode & 0o777 == 0o644
    (tmp_path / "file").write_text("other")
    store.publish(tmp_path / "file", "name-1")
    assert path.read_text() == "x"  # a name identifies one content


def test_unspecified_memory_is_limited_by_yarn_only(deployer, yarn, deployment):
    deployer.scale(Deployment(DGA, deployment.path), 1)
    (component,) = yarn.calls[0][1]["components"]
    assert component["resource"]["memory"] == "512"
    assert "--memory=0" in component["configuration"]["files"][2]["properties"]["instance"]
