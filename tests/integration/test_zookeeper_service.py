"""Services on ZooKeeper: the walkthrough, leader election, and recovery from killed processes."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from maas_runtime.cli.metron import maas_service
from stellar import compile
from stellar.language.context import Context
from stellar.maas import ModelClient, Registry, ZooKeeper, ZooKeeperQueue

from .conftest import ADD, AT, is_running, wait_for

pytestmark = pytest.mark.engine


def test_metrons_walkthrough(world):
    status, output, errors = world.run(maas_service, "--drain-seconds", "0", "-mm", "512")
    assert (status, errors) == (0, "maas_service.sh: -mm (--master_memory) has no effect: YARN is not used\n")
    service = int(re.fullmatch(r"the service runs as process (\d+), stand-alone; its log is .*\n", output)[1])
    try:
        uploaded = world.deploy("-lmp", world.model, *ADD, "-ni", 1)
        assert uploaded == "uploaded dga.py\nuploaded rest.sh\ndga @ 1.0: 1 desired\n"
        (one,) = world.ready(1)  # seen by a watch
        assert world.deploy("-mo", "LIST") == f"Model dga @ 1.0\ndga:1.0 @ {one.url} serving:\n\tapply=apply\n"
        ask = compile("MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host}))")
        with ModelClient(world.registry) as client:
            context = Context({Registry: world.registry, ModelClient: client})
            assert [ask({"host": host}, context) for host in ("yahoo.com", "x.ru")] == ["legit", "malicious"]
        assert world.deploy(*ADD, "-ni", 2, "--wait").endswith("3 ready\n")
        assert world.status()[0] == f"service: running on ZooKeeper at {world.hosts}"
        assert world.status()[2].split()[:6] == ["dga", "@", "1.0", "3", "3", "0"]
        removed = world.deploy("-mo", "REMOVE", "-m", 512, "-ni", 5, *AT, "--wait")
        assert removed == "dga @ 1.0: 0 desired\ndga @ 1.0: 0 ready\n"
        assert world.deploy("-mo", "LIST") == ""
    finally:
        os.kill(service, signal.SIGTERM)
        wait_for(lambda: not is_running(service))


def test_invalid_queue_items_are_rejected_and_null_is_skipped(world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    with ZooKeeperQueue(world.hosts) as queue:
        for data in (b"null", b"{}", b"not json", b"\xff", b'{"action":"LIST"}'):
            queue.put(data)
        world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    assert "null" not in world.log()
    assert world.log().count(" rejected: ") == 4


def test_a_killed_runner_is_unregistered_at_once_and_replaced(world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    (before,) = world.registry.instances()
    os.kill(world.runner_of(before), signal.SIGKILL)
    wait_for(lambda: before not in world.registry.instances())
    (after,) = world.ready(1)
    assert after.id != before.id
    assert world.status()[2].split()[5] == "1"


def test_without_a_service_a_killed_runner_is_unregistered_when_its_session_expires(world):
    service = world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    (one,) = world.ready(1)
    service.kill()
    service.wait()
    os.kill(world.runner_of(one), signal.SIGKILL)
    wait_for(lambda: not world.registry.instances())


def test_a_second_service_takes_over_when_the_leader_is_killed(world):
    first, second = world.start(log="0"), world.start(log="1")  # at once
    logs = ("0", "1")
    leader = wait_for(lambda: [log for log in logs if "this service leads" in world.log(log)])
    waiting = wait_for(lambda: [log for log in logs if "waiting for its end" in world.log(log)])
    assert {*leader, *waiting} == {"0", "1"}
    world.deploy("-lmp", world.model, *ADD, "-ni", 2, "--wait")
    before = world.registry.instances()
    killed, left = (first, second) if leader == ["0"] else (second, first)
    killed.kill()
    killed.wait()
    wait_for(lambda: "this service leads" in world.log(*waiting))
    assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 3 ready\n")
    assert world.urls() > {instance.url for instance in before}
    left.terminate()
    left.wait(20)
    assert left.returncode == 0
    assert world.registry.instances() == ()


def test_a_waiting_service_can_be_stopped(world):
    world.start(log="0")
    wait_for(lambda: "this service leads" in world.log("0"))
    second = world.start(log="1")
    wait_for(lambda: "waiting for its end" in world.log("1"))
    second.terminate()
    assert second.wait(10) == 0
    third, output, _ = world.run(maas_service)
    assert third == 0
    message = r"the service waits to take over from another service, as process (\d+), stand-alone; .*\n"
    waiting = int(re.fullmatch(message, output)[1])
    os.kill(waiting, signal.SIGTERM)
    wait_for(lambda: not is_running(waiting))


def test_a_service_loses_the_leadership_with_its_session_and_regains_it_later(world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    before = world.registry.instances()
    with ZooKeeper(world.hosts) as zookeeper:
        for name in zookeeper.children("/maas/ext/am"):
            zookeeper.delete(f"/maas/ext/am/{name}")  # as an expired session does
    wait_for(lambda: world.log().count("this service leads") >= 2)  # again, after losing the leadership
    assert "leadership lost; the instances go on" in world.log()
    assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 2 ready\n")
    assert world.urls() > {instance.url for instance in before}


def test_models_go_on_while_zookeeper_is_down(engines, make_quorum, make_world, tmp_path):
    from engines.zookeeper.server import ZooKeeper as Engine

    (tmp_path / "zk.json").write_text('{"session_seconds": 8}')  # so the service still leads when ZooKeeper is back
    with Engine() as engine:
        world = make_world(make_quorum(engine))
        service = world.start()
        wait_for(lambda: "this service leads" in world.log())
        world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
        (before,) = world.registry.instances()
        runner = world.runner_of(before)
        engine.stop()
        with ModelClient(world.registry) as client:
            endpoint = world.registry.endpoint("dga").as_map()
            for number in range(5):
                assert client.apply(endpoint, arguments={"host": f"{number}"})["is_malicious"] == "malicious"
                time.sleep(0.3)
        engine.start()
        assert world.deploy(*ADD, "-ni", 1, "--wait").endswith("dga @ 1.0: 2 ready\n")
        assert before in world.registry.instances()
        assert is_running(runner)
        engine.stop()
        service.terminate()  # ends its instances, although it cannot unregister them
        assert service.wait(60) == 0
        assert not is_running(runner)
