"""A request is handled exactly once, even if the service is killed at any access to the state store or the queue."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import pytest

from maas_runtime.deployers.memory import MemoryDeployer
from maas_runtime.service.service import Service
from maas_runtime.state.store import DirectoryStateStore
from maas_runtime.state.zookeeper import LeadershipLost, ZooKeeperStateStore
from stellar.maas import FileQueue, MemoryRegistry, ModelRequest, ZooKeeper, ZooKeeperQueue
from stellar.maas.registries.file_registrar import ASIDE
from stellar.maas.requests import make_note


class Killed(BaseException):
    """The process was killed."""


class Killer:
    """Kills the service at the access with a number, before it takes effect or just after."""

    def __init__(self, number, when):
        self.left, self.when = number, when

    def wrap(self, access):
        def call(*arguments, **options):
            self.left -= 1
            if self.left == 0 and self.when == "before":
                raise Killed
            result = access(*arguments, **options)
            if self.left == 0:
                raise Killed
            return result

        return call


def add(name="dga"):
    return ModelRequest(name=name, version="1.0", num_instances=1, action="ADD", path="/dga")


class ZooKeeperSide:
    """Queue and state store in ZooKeeper; each access to the server counts."""

    accesses = ("begin", "transact")

    def __init__(self, hosts):
        self.hosts, self.connections = hosts, []

    def open(self):
        self.connections.append(ZooKeeper(self.hosts))
        return ZooKeeperQueue(self.connections[-1]), ZooKeeperStateStore(self.connections[-1])

    def arm(self, killer, monkeypatch):
        for name in self.accesses:
            monkeypatch.setattr(self.connections[-1], name, killer.wrap(getattr(self.connections[-1], name)))

    def close(self):
        for connection in self.connections:
            connection.close()


class DirectorySide:
    """Queue and state store in a directory; each write and removal counts."""

    def __init__(self, folder):
        self.folder = folder

    def open(self):
        self.store = DirectoryStateStore(self.folder)
        return FileQueue(self.folder), self.store

    def arm(self, killer, monkeypatch):
        monkeypatch.setattr(self.store, "write", killer.wrap(self.store.write))
        monkeypatch.setattr("stellar.maas.registries.directory_queue._remove", killer.wrap(directory_remove))

    def close(self):
        pass


def directory_remove(*files):
    for file in files:
        file.unlink(missing_ok=True)


@pytest.fixture(params=["directory", pytest.param("zookeeper", marks=pytest.mark.engine)])
def side(request, tmp_path):
    opened = (
        DirectorySide(tmp_path / "registry")
        if request.param == "directory"
        else ZooKeeperSide(request.getfixturevalue("quorum"))
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("noted", [True, False])
def test_a_request_is_handled_once_whenever_the_service_is_killed(when, noted, side, store, collateral, monkeypatch):
    store.upload(collateral(), "/dga")
    content = store.snapshot("/dga")
    for number in itertools.count(1):
        queue, state_store = side.open()
        queue.enqueue(add(), make_note(content=content) if noted else None)
        service = Service(queue, MemoryRegistry(), MemoryDeployer(store, MemoryRegistry()), store, state_store)
        service.load()
        killer = Killer(number, when)
        with monkeypatch.context() as patched:
            side.arm(killer, patched)
            with contextlib.suppress(Killed):
                handle_all(service)
        queue, state_store = side.open()
        service = Service(queue, MemoryRegistry(), MemoryDeployer(store, MemoryRegistry()), store, state_store)
        service.load()
        handle_all(service)
        assert queue.items() == []
        assert state_store.read("wanted/dga/1.0")["instances"] == number, f"killed {when} access {number}"
        assert len(state_store.names("requests")) == number
        assert state_store.names("notes") == []
        if killer.left > 0:
            break
    assert number > 2


def handle_all(service):
    while service.handle_requests():
        pass


@pytest.mark.engine
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_is_sent_once_although_the_connection_is_lost(when, quorum, monkeypatch):
    with ZooKeeper(quorum) as zookeeper, ZooKeeperQueue(zookeeper) as queue:
        transact, lost = zookeeper.transact, []

        def lose(*arguments, **options):
            if when == "after":
                transact(*arguments, **options)
            if not lost:
                lost.append(True)
                raise ConnectionError("lost")
            return transact(*arguments, **options)

        zookeeper.ensure_path("/maas/queue")
        zookeeper.ensure_path("/maas/ext/notes")
        monkeypatch.setattr(zookeeper, "transact", lose)
        name = queue.enqueue(add(), make_note())
        assert [item.name for item in queue.items()] == [name]


@pytest.mark.engine
def test_a_leader_that_lost_the_leadership_cannot_change_the_state(quorum):
    with ZooKeeper(quorum) as first, ZooKeeper(quorum) as second, ZooKeeperQueue(second) as queue:
        paused, other = ZooKeeperStateStore(first), ZooKeeperStateStore(second)
        queue.enqueue(add(), make_note())
        (item,) = queue.items()
        with paused.lead(lambda: False):
            paused.write("wanted/dga/1.0", {"instances": 1})
            for name in second.children("/maas/ext/am"):
                second.delete(f"/maas/ext/am/{name}")  # as when its session expires
            with other.lead(lambda: False):
                other.write("wanted/dga/1.0", {"instances": 2})
                with pytest.raises(LeadershipLost):
                    paused.write("wanted/dga/1.0", {"instances": 3})
                with pytest.raises(LeadershipLost):
                    paused.commit({"wanted/dga/1.0": {"instances": 3}}, item)
                assert queue.items() == [item]
                assert other.commit({f"requests/{item.id}": {}}, item)
                assert other.commit({f"requests/{item.id}": {}}, item)  # again, as after a lost connection
                assert not other.commit({"wanted/dga/1.0": {"instances": 9}}, replace(item, id="0-qn-0"))
        assert other.read("wanted/dga/1.0") == {"instances": 2}
        assert queue.items() == []


def test_names_of_items_that_restart_do_not_hide_a_request(side, store, collateral):
    store.upload(collateral(), "/dga")
    queue, state_store = side.open()
    ids = set()
    for number in (1, 2):
        assert queue.enqueue(add(), make_note()) == "qn-0000000000"
        (item,) = queue.items()
        ids.add(item.id)
        service = Service(queue, MemoryRegistry(), MemoryDeployer(store, MemoryRegistry()), store, state_store)
        service.load()
        handle_all(service)
        assert state_store.read("wanted/dga/1.0")["instances"] == number
        delete_queue(side)
        queue, state_store = side.open()
    assert len(ids) == 2


def delete_queue(side):
    if isinstance(side, ZooKeeperSide):
        side.connections[-1].delete("/maas/queue")
        return
    (side.folder / ASIDE / "next-request").unlink()
    (side.folder / "maas/queue").rmdir()
