"""`maas doctor` on a real ZooKeeper and a real YARN, and the removal of lost lasting entries."""

from __future__ import annotations

import socket

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from maas_runtime.cli.main import main
from maas_runtime.cli.metron import maas_deploy
from stellar.maas import Model, ServiceInstance, ZooKeeperRegistry
from stellar.maas.schema import Endpoint

from .conftest import wait_for

pytestmark = pytest.mark.engine


@pytest.fixture
def doctor(tmp_path, capsys):
    """Run the command: `doctor("-zq", quorum)` returns status and results."""
    (tmp_path / "place").mkdir(mode=0o700, exist_ok=True)

    def run(*options):
        status = main(["doctor", "--registry", str(tmp_path / "place"), *map(str, options)])
        return status, capsys.readouterr().out

    return run


@pytest.fixture
def client(quorum):
    client = KazooClient(quorum)
    client.start()
    yield client
    client.stop()
    client.close()


def test_a_running_zookeeper_passes_and_is_left_unchanged(doctor, quorum, client, tmp_path):
    status, output = doctor("-zq", quorum)
    assert status == 0
    assert "ok    ZooKeeper  ZooKeeper 3." in output
    for path in ("/maas/queue", "/maas/service", "/maas/ext"):
        assert f"ok    ZooKeeper  {path} is writable" in output
    assert "its clock agrees with this machine's" in output
    assert "warn  ports      127.0.0.1 is a loopback address" in output
    assert f"fix: start one: maas serve --registry {tmp_path / 'place'} -zq {quorum}" in output
    assert client.get_children("/") == []


def test_a_leading_service_is_reported(doctor, world):
    world.start()
    wait_for(lambda: world.status()[0].startswith("service: running"))
    status, output = doctor("-zq", world.hosts)
    assert status == 0
    assert "ok    service    running" in output
    assert "any client of ZooKeeper can write to" not in output  # the queue does not exist yet


def test_a_queue_open_to_all_is_a_warning(doctor, quorum, client):
    client.ensure_path("/maas/queue")
    status, output = doctor("-zq", quorum)
    assert status == 0
    assert "warn  ZooKeeper  any client of ZooKeeper can write to /maas/queue" in output


def test_an_invalid_configuration_fails(doctor, quorum, client):
    client.create("/metron/maas/config", b'{"serviceRoot": "x"', makepath=True)
    status, output = doctor("-zq", quorum)
    assert status == 1
    assert "fail  ZooKeeper  /metron/maas/config in ZooKeeper at" in output
    assert 'fix: replace it by {"queue":"ZOOKEEPER"' in output
    assert "Traceback" not in output


def test_a_queue_without_write_permission_fails_and_stays_empty(doctor, quorum, client):
    client.ensure_path("/maas")
    client.create("/maas/queue", acl=[make_digest_acl("somebody", "secret", all=True)])
    client.create("/maas/service")
    status, output = doctor("-zq", quorum)
    assert status == 1
    assert "fail  ZooKeeper  /maas/queue is not writable" in output
    assert "fix: grant the permission to create nodes: setAcl /maas/queue" in output
    assert "ok    ZooKeeper  /maas/service is writable" in output


def test_an_unreachable_zookeeper_fails_at_once(doctor, monkeypatch):
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    status, output = doctor("-zq", f"127.0.0.1:{port}")
    assert status == 1
    assert f"fail  ZooKeeper  ZooKeeper at 127.0.0.1:{port} can't be reached" in output
    assert "service" not in output


def test_lost_lasting_entries_are_reported_and_removed(doctor, quorum, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        listens = f"http://127.0.0.1:{server.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as other:
            lost = f"http://127.0.0.1:{other.getsockname()[1]}"
        with ZooKeeperRegistry(quorum) as registry:
            for id, url in enumerate((listens, lost)):
                registry.register(ServiceInstance.of(Model("dga", "1.0"), str(id), Endpoint(url=url), lasting=True))
        status, output = doctor("-zq", quorum)
        assert status == 0
        assert f"warn  models     lasting entries without a server: dga @ 1.0 at {lost} (refused)" in output
        assert maas_deploy(["-zq", quorum, "--prune"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"dga @ 1.0 at {lost}: refused; unregistered",
            "1 of 2 lasting entries unregistered",
        ]
    with ZooKeeperRegistry(quorum) as registry:
        assert [instance.url for instance in registry.instances()] == [listens]


def test_a_running_yarn_passes(doctor, yarn):
    status, output = doctor("--yarn", yarn.url)
    assert status == 0
    assert "ok    YARN       Hadoop 3." in output
    assert "ok    YARN       YARN services are available" in output
    assert "ok    YARN       queue default: 2 nodes, largest container 8,192 MB (-m)" in output


def test_an_unknown_yarn_queue_fails(doctor, yarn):
    status, output = doctor("--yarn", yarn.url, "-q", "models")
    assert status == 1
    assert "fail  YARN       unknown queue models" in output
    assert "fix: choose one with -q: default" in output
