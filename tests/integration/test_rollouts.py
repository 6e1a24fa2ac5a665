"""Rollouts on a real ZooKeeper at full load: no record is lost."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from maas_runtime.cli.main import main
from maas_runtime.cli.metron import maas_deploy
from stellar import compile, evaluate_many
from stellar.language.context import Context
from stellar.maas import ClientSettings, ModelClient, Registry, TrafficPlan, ZooKeeper

from .conftest import ADD, wait_for
from .test_staying_power import Stream, assert_nothing_was_lost, by_id, serving

pytestmark = pytest.mark.engine


def version(number):
    return ("-mo", "ADD", "-n", "dga", "-v", number, "-m", "512", "-hmp", f"/user/root/models/{number}")


def ready_versions(world):
    return Counter(instance.model.version for instance in world.registry.instances())


def traffic(world, *words):
    status, output, errors = world.run(lambda line: main(["traffic", *line]), *words)
    assert (status, errors) == (0, "")
    return output


def test_a_version_replaces_another_at_full_load(world):
    fewest = []
    with serving(world, 3), Stream(world.registry) as stream:
        stream.await_results()
        world.registry.listen(lambda *_: fewest.append(len(world.registry.instances())))
        output = world.deploy("-lmp", world.model, *version("2.0"), "-ni", 3, "--replace", "--wait")
        stream.await_results()
    assert output.endswith("dga @ 2.0: 3 desired, replacing the others\ndga @ 2.0: 3 ready, the others removed\n")
    assert ready_versions(world) == {"2.0": 3}
    assert stream.versions.keys() == {"1.0", "2.0"}
    assert min(fewest) == 3
    assert traffic(world) == ""
    assert_nothing_was_lost(stream)


def test_calls_move_with_the_instances_so_that_the_first_one_is_not_overloaded(world):
    with serving(world, 3), Stream(world.registry) as stream:
        stream.await_results()
        slow = world.folder / "slow"  # the second instance becomes ready slowly
        world.model.rename(slow)
        wait = f"mkdir {world.folder}/first 2>/dev/null || while [ ! -e {world.folder}/go ]; do sleep 0.05; done"
        script = (slow / "rest.sh").read_text()
        (slow / "rest.sh").write_text(script.replace("#!/bin/bash\n", f"#!/bin/bash\n{wait}\n"))
        world.deploy("-lmp", slow, *version("2.0"), "-ni", 3, "--replace")
        wait_for(lambda: ready_versions(world) == {"1.0": 2, "2.0": 1})
        stream.await_results(200)
        before = Counter(stream.versions)
        stream.await_results(1500)
        counts = stream.versions - before
        expected = {"1.0": counts.total() * 2 / 3, "2.0": counts.total() / 3}
        assert sum((counts[each] - wanted) ** 2 / wanted for each, wanted in expected.items()) < 33
        (world.folder / "go").touch()
        wait_for(lambda: ready_versions(world) == {"2.0": 3})
        wait_for(lambda: "replaces" not in "".join(world.status()))
        stream.await_results()
    assert_nothing_was_lost(stream)


def test_the_same_version_is_replaced_at_full_load(world):
    with serving(world, 3), Stream(world.registry) as stream:
        stream.await_results()
        before = by_id(world)
        world.deploy("-lmp", world.model, *ADD, "-ni", 3, "--replace", "--wait")
        stream.await_results()
    assert ready_versions(world) == {"1.0": 3}
    assert not before.keys() & by_id(world).keys()
    assert stream.versions.keys() == {"1.0"}
    assert_nothing_was_lost(stream)


def test_a_new_service_continues_the_rollout_of_a_killed_one(world):
    with serving(world, 3) as service, Stream(world.registry) as stream:
        stream.await_results()
        world.deploy("-lmp", world.model, *version("2.0"), "-ni", 3, "--replace")
        wait_for(lambda: ready_versions(world)["2.0"])
        service.kill()
        service.wait()
        assert ready_versions(world)["1.0"]
        world.start(log="again.log")
        wait_for(lambda: ready_versions(world) == {"2.0": 3})
        wait_for(lambda: "replaces" not in "".join(world.status()))
        stream.await_results()
    assert stream.versions.keys() == {"1.0", "2.0"}
    assert traffic(world) == ""
    assert_nothing_was_lost(stream)


def test_a_version_that_is_never_ready_is_rolled_back_with_its_traffic(world):
    with serving(world, 2), Stream(world.registry) as stream:
        before = by_id(world)
        traffic(world, "-n", "dga", "--weight", "1.0=7")
        broken = world.folder / "broken"
        broken.mkdir()
        (broken / "rest.sh").write_text("#!/bin/bash\necho out of luck >&2; exit 3\n")
        status, _, errors = world.run(maas_deploy, "-lmp", broken, *version("2.0"), "-ni", 2, "--replace", "--wait")
        assert status == 1
        assert "dga @ 2.0: 3 instances of 2.0 failed; last failure: rest.sh ended with status 3" in errors
        stream.await_results()
    assert by_id(world) == before
    assert traffic(world) == "dga: calls go to 1.0 100 %\n"
    assert stream.versions.keys() == {"1.0"}
    assert_nothing_was_lost(stream)


# Serves on the port, but responds with status 500
FAILING = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_error(500)
    def log_message(self, *_):
        pass
with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    with open("endpoint.dat", "w") as file:
        json.dump({"url": f"http://127.0.0.1:{server.server_port}"}, file)
    server.serve_forever()
"""


def test_a_version_that_fails_its_calls_is_rolled_back_at_full_load(world):
    with serving(world, 2), Stream(world.registry) as stream:
        stream.await_results()
        before = by_id(world)
        failing = world.folder / "failing"
        failing.mkdir()
        (failing / "rest.sh").write_text(f"#!/bin/bash\nexec {sys.executable} failing.py\n")
        (failing / "failing.py").write_text(FAILING)
        status, _, errors = world.run(maas_deploy, "-lmp", failing, *version("2.0"), "-ni", 2, "--replace", "--wait")
        assert status == 1
        assert "dga @ 2.0: 2.0 failed " in errors
        stream.await_results()
        with ZooKeeper(world.hosts) as zookeeper:
            wait_for(lambda: zookeeper.children("/maas/ext/reports") == [])
    assert by_id(world) == before
    assert traffic(world) == ""
    assert stream.versions.keys() == {"1.0"}
    assert_nothing_was_lost(stream)


def test_a_canary_by_weight_and_by_key(world):
    ask = compile("MAP_GET('version', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga', null, key), {'host' : host}))")
    with serving(world, 1):
        world.deploy("-lmp", world.model, *version("2.0"), "-ni", 1, "--wait")
        shown = traffic(world, "-n", "dga", "--weight", "1.0=90", "--weight", "2.0=10")
        assert shown == "dga: calls go to 1.0 90 %, 2.0 10 %\n"
        plan = TrafficPlan({"1.0": 90, "2.0": 10})
        wait_for(lambda: world.registry.traffic("dga") == plan)
        with ModelClient(world.registry, ClientSettings(cache_size=0)) as client:
            context = Context({Registry: world.registry, ModelClient: client})
            records = [{"host": f"{n}.com", "key": None} for n in range(3000)]
            counts = Counter(evaluate_many(ask, records, context, in_flight=32))
            assert sum((counts[v] - n) ** 2 / n for v, n in (("1.0", 2700), ("2.0", 300))) < 33
            records = [{"host": f"{n}.com", "key": f"user {n % 200}"} for n in range(1000)]
            chosen = list(evaluate_many(ask, records, context, in_flight=32))
        expected = [plan.choose({"1.0": 1, "2.0": 1}, "dga", record["key"]) for record in records]
        assert chosen == expected
        with ZooKeeper(world.hosts) as zookeeper:  # Metron's programs read every node there
            assert zookeeper.children("/maas/queue") == []
            assert zookeeper.children("/maas/service") == ["dga"]
            assert sorted(zookeeper.children("/maas/service/dga")) == sorted(by_id(world))


def test_a_shadow_receives_a_stream_without_affecting_it(world, tmp_path):
    file = tmp_path / "shadow.jsonl"
    ask = compile("MAP_GET('version', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host}))")
    with serving(world, 1):
        traffic(world, "-n", "dga", "--weight", "1.0=1")
        world.deploy("-lmp", world.model, *version("2.0"), "-ni", 1, "--wait")
        traffic(world, "-n", "dga", "--shadow", "2.0=0.2")
        wait_for(lambda: (plan := world.registry.traffic("dga")) and plan.shadow)
        settings = ClientSettings(cache_size=0, shadow_file=str(file), shadow_keys=("version",))
        with ModelClient(world.registry, settings) as client:
            context = Context({Registry: world.registry, ModelClient: client})
            records = [{"host": f"{n}.com"} for n in range(500)]
            assert set(evaluate_many(ask, records, context, in_flight=32)) == {"1.0"}
    counted = client.counters()
    assert counted.compared == counted.disagreed == len(file.read_text().splitlines()) > 0
    assert counted.shadow_failed == 0
