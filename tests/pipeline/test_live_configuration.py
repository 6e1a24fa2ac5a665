"""Pipelines that follow their configuration in ZooKeeper."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from stellar.language.errors import ConfigError
from stellar.maas.zookeeper import ZooKeeper
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.group_loading import load_stored_pipelines
from stellar.pipeline.live_configuration import LiveConfiguration
from stellar.pipeline.records import Raw
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.run import Counts, run_pipeline
from stellar.pipeline.worker.plan import WorkerLoader, WorkerPhase
from stellar.stores.configurations import ROOT
from tests.forked import Child, Parent
from tests.pipeline.killing import wait_for
from tests.zookeeper_sessions import expire_session

pytestmark = pytest.mark.engine


def parser(expression: str = "'first'", **more: Any) -> dict[str, Any]:
    """Return the configuration of a parser that sets the field `state`."""
    transformation = {"transformation": "STELLAR", "output": ["state"], "config": {"state": expression}}
    return {"parserClassName": "JSONMap", "fieldTransformations": [transformation], **more}


class Cluster:
    """The configurations of a cluster, and what a follower reported about them."""

    def __init__(self, zookeeper: ZooKeeper) -> None:
        self.zookeeper = zookeeper
        self.problems: list[str] = []
        self.news: list[str] = []

    def put(self, path: str, value: object) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.zookeeper.write(f"{ROOT}/{path}", data)

    @contextmanager
    def follow(self, names: str = "web", **options: Any) -> Iterator[LiveConfiguration[PipelineGroup]]:
        load = partial(load_stored_pipelines, names=names)
        with LiveConfiguration(
            self.zookeeper, load, report=self.problems.append, inform=self.news.append, **options
        ) as live:
            yield live


@pytest.fixture
def cluster(quorum: str) -> Iterator[Cluster]:
    with ZooKeeper(quorum) as zookeeper:
        cluster = Cluster(zookeeper)
        cluster.put("parsers/web", parser())
        yield cluster


def process(live: LiveConfiguration, content: bytes = b'{"timestamp": 1}') -> Any:
    """Return the outcome of a message."""
    ((outcome, _),) = live.pipeline.processed(Raw(content))
    return outcome


def state_of(live: LiveConfiguration) -> Any:
    return process(live)["state"]


def test_a_change_takes_effect_between_two_records(cluster: Cluster) -> None:
    with cluster.follow() as live:
        assert (state_of(live), live.changes) == ("first", 0)
        cluster.put("parsers/web", parser("'second'"))
        wait_for(lambda: state_of(live) == "second")
        assert (cluster.problems, cluster.news) == ([], ["the changed configuration is in force: parsers/web"])
        assert (live.changes, live.rejections, live.problem) == (1, 0, None)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("global", {"fieldValidations": [{"input": ["state"], "validation": "IP"}]}),
        ("enrichments/web", {"enrichment": {"fieldMap": {"stellar": {"config": {"more": "1"}}}}}),
        ("parsers/web", parser(filterClassName="STELLAR", parserConfig={"filter.query": "false"})),
    ],
)
def test_each_kind_of_configuration_is_followed(cluster: Cluster, path: str, value: dict[str, Any]) -> None:
    with cluster.follow() as live:
        before = repr(process(live))
        cluster.put(path, value)
        wait_for(lambda: live.changes == 1)
        assert cluster.news == [f"the changed configuration is in force: {path}"]
        assert type(process(live)).__name__ != "dict" or repr(process(live)) != before


def test_a_broken_change_is_reported_with_its_position_and_has_no_effect(cluster: Cluster) -> None:
    with cluster.follow() as live:
        broken = json.dumps(parser("TO_UPER('x')"), indent=1).encode()
        cluster.put("parsers/web", broken)
        wait_for(lambda: live.rejections == 1)
        line = 1 + broken[: broken.index(b"TO_UPER")].count(b"\n")
        error, last = cluster.problems
        assert error.startswith(f"zookeeper:{cluster.zookeeper.hosts}{ROOT}/parsers/web:{line}:")
        assert ": fieldTransformations[0].config.state: " in error
        assert "did you mean TO_UPPER?" in error
        assert last == "the configuration that was valid last stays in force"
        assert (state_of(live), live.changes) == ("first", 0)
        assert live.problem == error
        cluster.put("parsers/web", parser("'second'"))
        wait_for(lambda: state_of(live) == "second")
        assert live.problem is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"colour": 1}'])
def test_content_that_is_no_configuration_is_rejected(cluster: Cluster, data: bytes) -> None:
    with cluster.follow() as live:
        cluster.put("parsers/web", data)
        wait_for(lambda: live.rejections == 1)
        assert state_of(live) == "first"


def test_a_deleted_configuration_stays_in_force(cluster: Cluster) -> None:
    with cluster.follow() as live:
        cluster.zookeeper.delete(f"{ROOT}/parsers/web")
        wait_for(lambda: live.rejections == 1)
        assert "unknown sensor 'web'" in cluster.problems[0]
        assert state_of(live) == "first"
        cluster.put("parsers/web", parser())
        wait_for(lambda: live.problem is None)
        assert cluster.news == ["the stored configuration is the one in force again"]
        assert live.changes == 0


def test_configurations_of_other_sensors_have_no_effect(cluster: Cluster) -> None:
    with cluster.follow() as live:
        group = live.pipeline.current
        cluster.put("parsers/other", b"{")
        cluster.put("enrichments/other", {})
        cluster.put("parsers/web", parser("'second'"))
        wait_for(lambda: live.changes == 1)
        assert cluster.news == ["the changed configuration is in force: parsers/web"]
        assert live.pipeline.current is not group


def test_all_that_was_read_is_followed(cluster: Cluster) -> None:
    """Also what did not exist, and new sensors of a kind whose sensors were listed."""

    def connect(group: PipelineGroup, configs: Sequence[SensorConfig]) -> None:
        list(configs[0].read_indexing())
        configs[0].load_sibling("profiler")

    with cluster.follow(connect=connect) as live:
        for number, path in enumerate(["indexing/other", "enrichments/profiler", "profiler", "enrichments/web"], 1):
            cluster.put("parsers/other", {"number": number})
            cluster.put(path, {"profiles": []} if path == "profiler" else {})
            wait_for(lambda number=number: live.changes == number)
            assert cluster.news[-1] == f"the changed configuration is in force: {path}"


def test_an_enriching_worker_follows_new_sensors(cluster: Cluster) -> None:
    def enrich(value: str) -> dict[str, Any]:
        return {"enrichment": {"fieldMap": {"stellar": {"config": {"state": value}}}}}

    def state_of_mail() -> Any:
        content = b'{"source.type": "mail", "timestamp": 1}'
        ((outcome, _),) = live.pipeline.processed(Raw(content))
        return outcome.get("state")

    cluster.put("enrichments/web", enrich("'web'"))
    loader = WorkerLoader(WorkerPhase.ENRICH)
    with LiveConfiguration(cluster.zookeeper, loader.load, report=cluster.problems.append) as live:
        assert state_of_mail() is None
        cluster.put("enrichments/mail", enrich("'new'"))
        wait_for(lambda: state_of_mail() == "new")
        cluster.put("enrichments/mail", enrich("'newer'"))
        wait_for(lambda: state_of_mail() == "newer")
    assert cluster.problems == []


def test_groups_are_followed(cluster: Cluster) -> None:
    cluster.put("parsers/mail", parser())
    cluster.put("global", {"parser.groups": [{"name": "all", "sensors": ["web"]}]})
    with cluster.follow("all") as live:
        assert live.pipeline.sensor == "web"
        cluster.put("global", {"parser.groups": [{"name": "all", "sensors": ["web", "mail"]}]})
        wait_for(lambda: live.pipeline.sensor == "web__mail")
        assert [config.sensor for config in live.configs] == ["web", "mail"]
        cluster.put("parsers/mail", parser("'second'"))
        wait_for(lambda: live.changes == 2)


def test_new_pipelines_are_connected_before_they_are_used(cluster: Cluster) -> None:
    connected: list[tuple[PipelineGroup, list[str]]] = []

    def connect(group: PipelineGroup, configs: Sequence[SensorConfig]) -> None:
        connected.append((group, [config.sensor for config in configs]))

    with cluster.follow(connect=connect) as live:
        assert connected == [(live.pipeline.current, ["web"])]
        cluster.put("parsers/web", parser("'second'"))
        wait_for(lambda: live.changes == 1)
        assert connected[1:] == [(live.pipeline.current, ["web"])]


def test_a_change_that_lacks_a_service_is_tried_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stellar.pipeline.live_configuration.RETRY_SERVICES_SECONDS", 0.05)
    attempts: list[int] = []

    def connect(group: PipelineGroup, configs: Sequence[SensorConfig]) -> None:
        attempts.append(1)
        if 1 < len(attempts) < 5:
            raise ValueError("the store is not available")

    with cluster.follow(connect=connect) as live:
        cluster.put("parsers/web", parser("'second'"))
        wait_for(lambda: state_of(live) == "second")
        assert cluster.problems == [
            "the store is not available",
            "the configuration that was valid last stays in force",
        ]
        assert (len(attempts), live.rejections) == (5, 1)


def test_a_first_configuration_that_is_invalid_is_an_error(cluster: Cluster) -> None:
    cluster.put("parsers/web", {"colour": 1})
    with pytest.raises(ConfigError, match="unknown key 'colour'"), cluster.follow():
        pass
    with pytest.raises(ConfigError, match="unknown sensor 'wep'; did you mean web"), cluster.follow("wep"):
        pass


def test_an_empty_cluster_is_an_error_with_the_fix(quorum: str) -> None:
    with (
        ZooKeeper(quorum) as zookeeper,
        pytest.raises(ConfigError, match=r"no configuration in this node; .*zk_load_configs.sh -m PUSH"),
        LiveConfiguration(zookeeper, partial(load_stored_pipelines, names="web")),
    ):
        pass


def test_a_run_continues_with_the_new_pipeline(cluster: Cluster) -> None:
    """Records in flight are finished by the old one, and the window is that of the new one."""
    records: list[Any] = []
    with cluster.follow() as live:

        def source() -> Iterator[Raw]:
            for number in range(10):
                yield Raw(json.dumps({"timestamp": number}).encode())
            cluster.put("parsers/web", parser("MAAS_GET_ENDPOINT('dga')"))
            wait_for(lambda: live.pipeline.calls_models)
            cluster.put("parsers/web", parser("'third'"))
            wait_for(lambda: live.changes == 2)
            for number in range(10, 20):
                yield Raw(json.dumps({"timestamp": number}).encode())

        counts = run_pipeline(live.pipeline, source(), records.append, records.append, Counts())
    assert [record["timestamp"] for record in records] == list(range(20))
    assert [record["state"] for record in records] == ["first"] * 10 + ["third"] * 10
    assert (counts.read, counts.out) == (20, 20)


def test_the_child_of_a_fork_follows_when_asked(cluster: Cluster) -> None:
    with cluster.follow() as live:

        def work(parent: Parent) -> str:
            before = state_of(live)
            live.follow()
            parent.send(before)
            wait_for(lambda: state_of(live) != "first")
            return state_of(live)

        child = Child(work)
        assert child.receive() == "first"
        cluster.put("parsers/web", parser("'second'"))
        assert child.result() == "second"


def test_each_record_has_one_configuration_while_others_change_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parser and enrichment change together, some changes are broken, and sessions expire."""
    monkeypatch.setattr("stellar.pipeline.live_configuration.SETTLE_SECONDS", 0.0001)
    last = 60

    def write(number: int) -> None:
        text = f"{number}" if number % 5 else f"{number} +"
        enrichment = {"enrichment": {"fieldMap": {"stellar": {"config": {"enriched": text}}}}}
        contents = {"parsers/web": parser(str(number)), "enrichments/web": enrichment}
        cluster.zookeeper.write_all({f"{ROOT}/{path}": json.dumps(each).encode() for path, each in contents.items()})

    def change() -> None:
        chance = random.Random(1)
        for number in range(1, last):
            write(number)
            if not number % 20:
                expire_session(following)
            time.sleep(chance.choice([0, 0.005, 0.15]))

    write(1)
    with ZooKeeper(cluster.zookeeper.hosts) as following:
        load = partial(load_stored_pipelines, names="web")
        with LiveConfiguration(following, load, report=cluster.problems.append) as live:
            thread = threading.Thread(target=change)
            thread.start()
            seen, torn = [], []
            while (record := process(live))["state"] < last - 1:
                seen.append(record["state"])
                if record["state"] != record["enriched"]:
                    torn.append(record)
            thread.join()
    assert not torn
    assert seen == sorted(seen)
    assert live.changes
    assert not any(number % 5 == 0 for number in seen)


@pytest.fixture
def restartable() -> Iterator[Any]:
    from engines.zookeeper.server import ZooKeeper as Engine

    with Engine() as engine:
        yield engine


def test_while_zookeeper_is_away_the_configuration_stays(engines: None, restartable: Any) -> None:
    with ZooKeeper(restartable.hosts) as zookeeper:
        cluster = Cluster(zookeeper)
        cluster.put("parsers/web", parser())
        with cluster.follow() as live:
            restartable.stop()
            wait_for(lambda: cluster.problems)
            assert "can't be reached; the configuration in force stays" in cluster.problems[0]
            assert not live.is_connected
            assert state_of(live) == "first"
            restartable.start()
            wait_for(lambda: cluster.news)
            assert "again" in cluster.news[0]
            cluster.put("parsers/web", parser("'second'"))
            wait_for(lambda: state_of(live) == "second")
            assert len(cluster.problems) == 1
