"""A stream of records at full load, while processes are killed, stopped or disconnected: no record is lost."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from stellar import compile, evaluate_many
from stellar.language.context import Context
from stellar.maas import ClientSettings, ModelClient, Registry

from .conftest import ADD, is_running, wait_for

pytestmark = pytest.mark.engine

ASK = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host})")


class Stream:
    """A stream of records with different hosts, many in flight at once, until it is closed.

    succeeded: number of records with a result; nulls: number of null results; pids, versions: number of results by
        process and by version of the model
    """

    def __init__(self, registry, pause=0.0):
        self.client = ModelClient(registry, ClientSettings(cache_size=0, timeout_ms=3000))
        self.succeeded = self.nulls = 0
        self.pids, self.versions = Counter(), Counter()
        self._context = Context({Registry: registry, ModelClient: self.client})
        self._pause, self._closing = pause, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _records(self):
        for number in itertools.count():
            if self._closing.wait(self._pause) if self._pause else self._closing.is_set():
                return
            yield {"host": "yahoo.com" if number % 3 == 0 else f"host{number}"}

    def _run(self):
        for number, answer in enumerate(evaluate_many(ASK, self._records(), self._context, in_flight=32)):
            if answer is None:
                self.nulls += 1
                continue
            self.succeeded += 1
            self.pids[answer["pid"]] += 1
            self.versions[answer["version"]] += 1
            expected = "legit" if number % 3 == 0 else "malicious"
            assert answer["is_malicious"] == expected, f"record {number} has another one's answer"

    def await_results(self, records=100, seconds=20.0):
        """Wait until `count` more records have a result."""
        goal = self.succeeded + records
        wait_for(lambda: self.succeeded >= goal, seconds)

    def count_by(self, pid):
        return self.pids[pid]

    def close(self):
        self._closing.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.client.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.close()


@contextmanager
def serving(world, instances):
    """Start a service with ready instances of the model."""
    service = world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", instances, "--wait")
    world.ready(instances)
    yield service


def by_id(world):
    return {instance.id: instance for instance in world.registry.instances()}


def new_ones(world, before):
    """Return the instances that are registered now and were not before."""
    return [instance for id, instance in by_id(world).items() if id not in before]


def pid_of(client, instance):
    """Return the process of an instance."""
    endpoint = instance.payload.as_map()
    return client.apply(endpoint, None, {"host": instance.id})["pid"]


def assert_nothing_was_lost(stream):
    counters = stream.client.counters()
    assert stream.nulls == 0, counters
    assert counters.failures == {}


@pytest.mark.parametrize("victim", ["model", "runner"])
def test_one_of_three_instances_is_killed_at_full_load(victim, world):
    with serving(world, 3), Stream(world.registry) as stream:
        before = by_id(world)
        pids = {id: pid_of(stream.client, instance) for id, instance in before.items()}
        stream.await_results(300)
        dead = next(iter(before.values()))
        os.kill(pids[dead.id] if victim == "model" else world.runner_of(dead), signal.SIGKILL)
        wait_for(lambda: dead.id not in by_id(world))
        (new,) = wait_for(lambda: new_ones(world, before))
        new_pid = pid_of(stream.client, new)
        wait_for(lambda: stream.count_by(new_pid) > 1)
        stream.await_results(300)
        wait_for(lambda: not is_running(pids[dead.id]))
    assert_nothing_was_lost(stream)
    # Failed calls were active when it died, or chose it before that was known; later single calls probe it until
    # it is unregistered
    counters = stream.client.counters()
    assert counters.retries <= 32 + counters.quarantined


def test_the_service_is_killed_and_started_again_at_full_load(world):
    with serving(world, 2) as service, Stream(world.registry) as stream:
        before = by_id(world)
        stream.await_results()
        service.kill()
        service.wait()
        stream.await_results()
        world.start(log="again.log")
        wait_for(lambda: "this service leads" in world.log("again.log"))
        assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 3 ready\n")
        assert by_id(world).keys() > before.keys()
        stream.await_results()
    assert_nothing_was_lost(stream)


def test_a_version_is_followed_by_the_next_and_removed_at_full_load(world):
    with serving(world, 2), Stream(world.registry) as stream:
        stream.await_results()
        second = ("-n", "dga", "-v", "2.0")
        files = ("-lmp", world.model, "-hmp", "/user/root/models/2", "-m", "512")
        assert world.deploy("-mo", "ADD", *files, *second, "-ni", 2, "--wait").endswith("2 ready\n")
        removed = world.deploy("-mo", "REMOVE", "-n", "dga", "-v", "1.0", "-ni", 2, "--wait")
        assert removed.endswith("dga @ 1.0: 0 ready\n")
        stream.await_results()
    assert {instance.model.version for instance in world.registry.instances()} == {"2.0"}
    assert_nothing_was_lost(stream)


def test_a_runner_whose_session_has_ended_registers_its_model_again(world):
    with serving(world, 2), Stream(world.registry) as stream:
        one, other = world.registry.instances()
        runner = world.runner_of(one)
        os.kill(runner, signal.SIGSTOP)  # as on a suspended machine
        try:
            wait_for(lambda: world.registry.instances() == (other,))
            stream.await_results()
        finally:
            os.kill(runner, signal.SIGCONT)
        wait_for(lambda: world.registry.instances() == (one, other))
        stream.await_results()
    assert_nothing_was_lost(stream)


def test_the_leader_of_three_zookeepers_is_killed_at_full_load(engines, make_quorum, make_world):
    from engines.zookeeper.server import ZooKeeper as Engine

    with Engine(3) as engine:
        world = make_world(make_quorum(engine))
        with serving(world, 2), Stream(world.registry) as stream:
            before = by_id(world)
            stream.await_results()
            engine.leader.daemon.kill()
            stream.await_results()
            assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 3 ready\n")
            assert by_id(world).keys() > before.keys()
            stream.await_results()
        assert_nothing_was_lost(stream)
        world.end()


def test_calls_go_on_while_zookeeper_is_away_for_a_minute(engines, make_quorum, make_world):
    from engines.zookeeper.server import ZooKeeper as Engine

    with Engine() as engine:
        world = make_world(make_quorum(engine))
        with serving(world, 3), Stream(world.registry, pause=0.005) as stream:
            before = by_id(world)
            dead, *living = before
            pid = pid_of(stream.client, before[dead])
            stream.await_results()
            engine.stop()
            back = time.monotonic() + 60
            stream.await_results()
            os.kill(pid, signal.SIGKILL)  # not visible to any process meanwhile
            while time.monotonic() < back:
                stream.await_results(50)
            assert by_id(world) == before  # known instances stay known
            engine.start()
            # All sessions have expired: living instances register again, dead ones are replaced
            wait_for(lambda: dead not in by_id(world) and len(by_id(world)) == 3)
            assert by_id(world).keys() > {*living}
            stream.await_results()
        assert_nothing_was_lost(stream)
        world.end()
