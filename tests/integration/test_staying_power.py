"""A stream of records at full load, while everything around it is killed, stopped or cut off: no record is lost."""

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

from .conftest import ADD, lives, wait_for

pytestmark = pytest.mark.engine

ASK = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host})")


class Stream:
    """Records with different hosts, many in the air at once, until it is closed.

    answered: how many have an answer; nulls: how many have none; pids, versions: which process and which version of
        the model answered how often
    """

    def __init__(self, registry, pause=0.0):
        self.client = ModelClient(registry, ClientSettings(cache_size=0, timeout_ms=3000))
        self.answered = self.nulls = 0
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
            self.answered += 1
            self.pids[answer["pid"]] += 1
            self.versions[answer["version"]] += 1
            expected = "legit" if number % 3 == 0 else "malicious"
            assert answer["is_malicious"] == expected, f"record {number} has another one's answer"

    def goes_on(self, records=100, seconds=20.0):
        """Wait until so many more records have an answer."""
        goal = self.answered + records
        wait_for(lambda: self.answered >= goal, seconds)

    def answers_by(self, pid):
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
    """A service with so many instances of the model, all ready."""
    service = world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", instances, "--wait")
    world.ready(instances)
    yield service


def by_id(world):
    return {instance.id: instance for instance in world.registry.instances()}


def new_ones(world, before):
    """Instances that are there now, and were not before."""
    return [instance for id, instance in by_id(world).items() if id not in before]


def pid_of(client, instance):
    """The process that answers for an instance."""
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
        stream.goes_on(300)
        dead = next(iter(before.values()))
        os.kill(pids[dead.id] if victim == "model" else world.runner_of(dead), signal.SIGKILL)
        wait_for(lambda: dead.id not in by_id(world))
        (new,) = wait_for(lambda: new_ones(world, before))
        new_pid = pid_of(stream.client, new)
        wait_for(lambda: stream.answers_by(new_pid) > 1)
        stream.goes_on(300)
        wait_for(lambda: not lives(pids[dead.id]))
    assert_nothing_was_lost(stream)
    # What failed was under way when it died, or chosen before that was known; then one call now and then tries it,
    # until it is unregistered
    counters = stream.client.counters()
    assert counters.retries <= 32 + counters.quarantined


def test_the_service_is_killed_and_started_again_at_full_load(world):
    with serving(world, 2) as service, Stream(world.registry) as stream:
        before = by_id(world)
        stream.goes_on()
        service.kill()
        service.wait()
        stream.goes_on()
        world.start(log="again.log")
        wait_for(lambda: "this service leads" in world.log("again.log"))
        assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 3 ready\n")
        assert by_id(world).keys() > before.keys()
        stream.goes_on()
    assert_nothing_was_lost(stream)


def test_a_version_is_followed_by_the_next_and_removed_at_full_load(world):
    with serving(world, 2), Stream(world.registry) as stream:
        stream.goes_on()
        second = ("-n", "dga", "-v", "2.0")
        files = ("-lmp", world.model, "-hmp", "/user/root/models/2", "-m", "512")
        assert world.deploy("-mo", "ADD", *files, *second, "-ni", 2, "--wait").endswith("2 ready\n")
        removed = world.deploy("-mo", "REMOVE", "-n", "dga", "-v", "1.0", "-ni", 2, "--wait")
        assert removed.endswith("dga @ 1.0: 0 ready\n")
        stream.goes_on()
    assert {instance.model.version for instance in world.registry.instances()} == {"2.0"}
    assert_nothing_was_lost(stream)


def test_a_runner_whose_session_has_ended_registers_its_model_again(world):
    with serving(world, 2), Stream(world.registry) as stream:
        one, other = world.registry.instances()
        runner = world.runner_of(one)
        os.kill(runner, signal.SIGSTOP)  # as on a machine that stands still
        try:
            wait_for(lambda: world.registry.instances() == (other,))
            stream.goes_on()
        finally:
            os.kill(runner, signal.SIGCONT)
        wait_for(lambda: world.registry.instances() == (one, other))
        stream.goes_on()
    assert_nothing_was_lost(stream)


def test_the_leader_of_three_zookeepers_is_killed_at_full_load(engines, make_quorum, make_world):
    from engines.zookeeper.server import ZooKeeper as Engine

    with Engine(3) as engine:
        world = make_world(make_quorum(engine))
        with serving(world, 2), Stream(world.registry) as stream:
            before = by_id(world)
            stream.goes_on()
            engine.leader.daemon.kill()
            stream.goes_on()
            assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 3 ready\n")
            assert by_id(world).keys() > before.keys()
            stream.goes_on()
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
            stream.goes_on()
            engine.stop()
            back = time.monotonic() + 60
            stream.goes_on()
            os.kill(pid, signal.SIGKILL)  # what nobody can be told of meanwhile
            while time.monotonic() < back:
                stream.goes_on(50)
            assert by_id(world) == before  # what was known stays known
            engine.start()
            # All sessions are long over: what lives registers again, what died is followed by another
            wait_for(lambda: dead not in by_id(world) and len(by_id(world)) == 3)
            assert by_id(world).keys() > {*living}
            stream.goes_on()
        assert_nothing_was_lost(stream)
        world.end()
