"""Services on several hosts with one ZooKeeper: one desired state, whatever is killed, paused or deleted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time

import pytest

from drills.services import delete_all
from maas_runtime.cli.metron import maas_deploy
from stellar.maas import ZooKeeper

from .conftest import ADD, AT, is_running, open_host, wait_for
from .test_staying_power import Stream

pytestmark = pytest.mark.engine

SETTLED_SECONDS = 3.0  # for a change that must not happen


def deploy(world, *arguments):
    return world.deploy("--store", world.folder / "store", *arguments)


def add(world, count, *arguments, memory=512):
    return deploy(
        world, "-mo", "ADD", "-hmp", "/user/root/models", "-m", memory, *AT, "-ni", count, "--wait", *arguments
    )


def upload(world):
    return ("-lmp", world.model)


def stays(condition, seconds=SETTLED_SECONDS):
    """Return whether a condition holds for so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.1)
    return True


def test_instances_are_distributed_over_the_hosts_by_free_memory(world, make_host):
    large, small = make_host("--memory", 3000), make_host("--memory", 1600)
    add(world, 4, *upload(world))
    assert (len(large.instances()), len(small.instances())) == (3, 1)
    status, _, errors = world.run(maas_deploy, "--store", world.folder / "store", *ADD, "-ni", 6, "--wait", 10)
    assert status == 1
    assert "no host has 512 MB for it" in errors
    assert len(world.registry.instances("dga")) == 8  # as many as fit: 5 × 512 of 3,000 MB and 3 × 512 of 1,600 MB


def test_a_paused_leader_moves_nothing_and_a_removal_reaches_its_instances(world, make_host):
    first = make_host()
    second = make_host()
    add(world, 4, *upload(world))
    leader, other = (first, second) if first.leads() else (second, first)
    before = world.urls()
    leader.service.send_signal(signal.SIGSTOP)
    wait_for(other.leads)
    assert stays(lambda: world.urls() == before)
    theirs = leader.instances()
    assert theirs
    assert deploy(world, "-mo", "REMOVE", *AT, "-ni", 4, "--wait").endswith("0 ready\n")  # the runners drain themselves
    assert add(world, 1).endswith("1 ready\n")
    one = world.urls()
    leader.service.send_signal(signal.SIGCONT)
    assert stays(lambda: world.urls() == one)
    wait_for(lambda: len(first.instances() | second.instances()) == 1)


def test_the_instances_of_a_failed_host_run_elsewhere_and_no_record_is_lost(world, make_host):
    hosts = [make_host() for _ in range(3)]
    add(world, 6, *upload(world), memory=0)
    assert [len(host.instances()) for host in hosts] == [2, 2, 2]
    victim = next(host for host in hosts if not host.leads())
    with Stream(world.registry, pause=0.002) as stream:
        stream.await_results()
        lost = victim.instances()
        victim.signal_all(signal.SIGKILL)  # as if the machine had lost its power
        victim.service.wait()
        wait_for(lambda: len(ids := {each.id for each in world.registry.instances("dga")}) == 6 and not ids & lost)
        stream.await_results()
    assert stream.nulls == 0
    victim.start()  # its instances are gone, so it starts none
    assert stays(lambda: len(world.registry.instances("dga")) == 6)
    assert sum(len(host.instances()) for host in hosts) == 6


def test_a_host_that_was_paused_as_a_whole_finds_its_instances_replaced(world, make_host):
    hosts = [make_host() for _ in range(2)]
    add(world, 2, *upload(world), memory=0)
    victim = next(host for host in hosts if not host.leads())
    (paused,) = victim.instances()
    processes = victim.processes()
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: paused not in {each.id for each in world.registry.instances("dga")})
    world.ready(2)
    for pid in processes:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: paused not in victim.instances())
    assert len(world.ready(2)) == 2


def test_deleting_our_nodes_ends_nothing(world, make_host):
    hosts = [make_host(), make_host()]
    add(world, 4, *upload(world), memory=0)
    before, ids = world.urls(), [host.instances() for host in hosts]
    with Stream(world.registry, pause=0.005) as stream, ZooKeeper(world.hosts) as zookeeper:
        for _ in range(3):
            stream.await_results()
            delete_all(zookeeper, "/maas/ext")
            wait_for(lambda: len(assigned(zookeeper)) == 4)
            wait_for(lambda: zookeeper.read("/maas/ext/wanted/dga/1.0"))
            assert world.urls() == before
    assert stream.nulls == 0
    assert [host.instances() for host in hosts] == ids
    assert add(world, 1, memory=0).endswith("5 ready\n")
    assert world.urls() > before


def assigned(zookeeper):
    return zookeeper.children("/maas/ext/assigned/dga")


def test_a_zookeeper_that_lost_its_data_ends_nothing(engines, make_world):
    from engines.zookeeper.server import ZooKeeper as Engine

    with Engine() as engine:
        world = make_world(engine.hosts)
        hosts = []
        try:
            hosts += [open_host(world, f"host{number}") for number in range(2)]
            add(world, 2, *upload(world), memory=0)
            before = world.urls()
            engine.stop()
            for server in engine.folder.glob("*/data/version-2"):
                shutil.rmtree(server)
            engine.start()
            wait_for(lambda: world.urls() == before)
            with ZooKeeper(world.hosts) as zookeeper:
                wait_for(lambda: zookeeper.children("/maas/ext/am") and len(assigned(zookeeper)) == 2)
            assert add(world, 1, memory=0).endswith("3 ready\n")
            assert world.urls() > before
        finally:
            for host in hosts:
                host.end()


def test_a_host_that_cannot_read_the_models_files_gets_no_instances(world, make_host):
    good = make_host()
    other = world.folder / "empty"
    bad = make_host("--store", other, "--memory", 200_000)
    if bad.leads():  # the leader must know the files
        bad.service.terminate()
        bad.service.wait(30)
        wait_for(good.leads)
        bad.start()
    add(world, 2, *upload(world), memory=0)
    assert (len(good.instances()), len(bad.instances())) == (2, 0)
    assert "unknown path /.content/" in bad.log.read_text()


def test_files_that_were_uploaded_to_another_store_are_rejected_with_both_names(world, make_host):
    make_host()
    status, _, errors = world.run(
        maas_deploy, "--store", world.folder / "elsewhere", *upload(world), *ADD, "-ni", 1, "--wait"
    )
    assert status == 1
    assert str(world.folder / "elsewhere") in errors
    assert str(world.folder / "store") in errors


@pytest.mark.parametrize("entry", [b"", b"[]", b"{}", b'{"version":"1.0","owner":"%s","content":"/../etc"}'])
def test_a_hostile_assignment_is_ignored_and_logged_once(entry, world, make_host):
    host = make_host()
    with ZooKeeper(world.hosts) as zookeeper:
        zookeeper.write("/maas/ext/assigned/dga/evil1", entry.replace(b"%s", host.id.encode()))
        add(world, 1, *upload(world), memory=0)
    assert len(host.instances()) == 1
    assert host.log.read_text().count("invalid assignment assigned/dga/evil1, ignored") in (1, 2)  # leader and agent


def test_an_assignment_names_epoch_and_owner(world, make_host):
    host = make_host()
    add(world, 1, *upload(world), memory=0)
    with ZooKeeper(world.hosts) as zookeeper:
        (id,) = assigned(zookeeper)
        entry = json.loads(zookeeper.read(f"/maas/ext/assigned/dga/{id}"))
        wanted = json.loads(zookeeper.read("/maas/ext/wanted/dga/1.0"))
    assert (entry["owner"], entry["epoch"]) == (host.id, wanted["epoch"])


@pytest.mark.parametrize("leaves", [True, False])
def test_a_stopped_service_leaves_its_instances_or_they_move(leaves, world, make_host):
    hosts = [make_host(*(("--leave-running",) if leaves else ())) for _ in range(2)]
    add(world, 2, *upload(world), memory=0)
    before = world.urls()
    stopped = next(host for host in hosts if not host.leads())
    stopped.service.terminate()
    assert stopped.service.wait(30) == 0
    if leaves:
        assert stays(lambda: world.urls() == before)
    else:
        wait_for(lambda: len(world.urls()) == 2 and world.urls() != before)
        assert stopped.instances() == set()
    assert not is_running(stopped.service.pid)
