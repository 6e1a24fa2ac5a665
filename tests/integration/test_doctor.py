"""What `maas doctor` finds of a real ZooKeeper and a real YARN, and how lasting entries are cleared away."""

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
    """The status, and what was found: `doctor("-zq", quorum)`."""
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


def test_a_zookeeper_that_is_there_is_well_and_nothing_is_left_in_it(doctor, quorum, client):
    status, output = doctor("-zq", quorum)
    assert status == 0
    assert "ok    ZooKeeper  ZooKeeper 3." in output
    for path in ("/maas/queue", "/maas/service", "/maas/ext"):
        assert f"ok    ZooKeeper  {path} can be written to" in output
    assert "its clock and ours agree" in output
    assert "warn  ports      127.0.0.1 is this machine for itself alone" in output
    assert f"mend: start one: maas serve -zq {quorum}" in output
    assert client.get_children("/") == []


def test_a_service_that_leads_is_seen(doctor, world):
    world.start()
    wait_for(lambda: world.status()[0].startswith("service: running"))
    status, output = doctor("-zq", world.hosts)
    assert status == 0
    assert "ok    service    one runs" in output
    assert "everyone who reaches ZooKeeper may write to" not in output  # there is no queue yet


def test_a_queue_that_is_open_to_all_is_warned_of(doctor, quorum, client):
    client.ensure_path("/maas/queue")
    status, output = doctor("-zq", quorum)
    assert status == 0
    assert "warn  ZooKeeper  everyone who reaches ZooKeeper may write to /maas/queue" in output


def test_a_configuration_that_can_not_be_used_fails(doctor, quorum, client):
    client.create("/metron/maas/config", b'{"serviceRoot": "x"', makepath=True)
    status, output = doctor("-zq", quorum)
    assert status == 1
    assert "fail  ZooKeeper  /metron/maas/config in ZooKeeper at" in output
    assert 'mend: write it anew, as {"queue":"ZOOKEEPER"' in output
    assert "Traceback" not in output


def test_a_queue_that_only_others_may_write_to_fails_and_it_stays_empty(doctor, quorum, client):
    client.ensure_path("/maas")
    client.create("/maas/queue", acl=[make_digest_acl("somebody", "secret", all=True)])
    client.create("/maas/service")
    status, output = doctor("-zq", quorum)
    assert status == 1
    assert "fail  ZooKeeper  /maas/queue can't be written to" in output
    assert "mend: give us the right to create there: setAcl /maas/queue" in output
    assert "ok    ZooKeeper  /maas/service can be written to" in output


def test_a_zookeeper_that_is_not_there_fails_at_once(doctor, monkeypatch):
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    status, output = doctor("-zq", f"127.0.0.1:{port}")
    assert status == 1
    assert f"fail  ZooKeeper  ZooKeeper at 127.0.0.1:{port} can't be reached" in output
    assert "service" not in output


def test_lasting_entries_at_which_nobody_listens_are_found_and_cleared_away(doctor, quorum, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        listens = f"http://127.0.0.1:{server.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as other:
            lost = f"http://127.0.0.1:{other.getsockname()[1]}"
        with ZooKeeperRegistry(quorum) as registry:
            for id, url in enumerate((listens, lost)):
                registry.register(ServiceInstance.of(Model("dga", "1.0"), str(id), Endpoint(url=url), lasting=True))
        status, output = doctor("-zq", quorum)
        assert status == 0
        assert f"warn  models     nobody listens at these lasting entries: dga @ 1.0 at {lost} (refused)" in output
        assert maas_deploy(["-zq", quorum, "--prune"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"dga @ 1.0 at {lost}: refused; unregistered",
            "1 of 2 lasting entries are unregistered",
        ]
    with ZooKeeperRegistry(quorum) as registry:
        assert [instance.url for instance in registry.instances()] == [listens]


def test_a_yarn_that_is_there_is_well(doctor, yarn):
    status, output = doctor("--yarn", yarn.url)
    assert status == 0
    assert "ok    YARN       Hadoop 3." in output
    assert "ok    YARN       it runs services" in output
    assert "ok    YARN       queue default: 2 nodes, and 8,192 MB for the largest container (-m)" in output


def test_a_queue_that_yarn_does_not_have_fails(doctor, yarn):
    status, output = doctor("--yarn", yarn.url, "-q", "models")
    assert status == 1
    assert "fail  YARN       it has no queue models" in output
    assert "mend: name one of these with -q: default" in output
