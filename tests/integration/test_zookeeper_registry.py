"""The ZooKeeper registry: formats, watches, and recovery from lost connections, sessions and servers."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import threading
import time
from contextlib import ExitStack, suppress

import pytest
from forked import Child, call_in_child, call_in_thread, hold_locks
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE
from zookeeper_sessions import expire_session

from stellar.maas import MaaSConfig, Model, ModelRequest, ServiceInstance, ZooKeeperQueue, ZooKeeperRegistry
from stellar.maas.registries.zookeeper_tree import WatchedTree
from stellar.maas.schema import Endpoint
from stellar.maas.zookeeper import ZooKeeper, ZooKeeperSettings, read_config

pytestmark = pytest.mark.engine

CONFIG = b'{"queue":"ZOOKEEPER","queueConfig":{"zk_path":"/maas/queue"},"serviceRoot":"/maas/service"}'
REGISTRATION = (
    b'{"name":"dga","id":"2","address":"node1","port":36161,"sslPort":null,"payload":{"@class":'
    b'"org.apache.metron.maas.config.ModelEndpoint","endpoint":{"url":"http://node1:36161","functions":{"apply":"apply"}},'
    b'"name":"dga","version":"1.0","containerId":"2"},"registrationTimeUTC":1571163620277,"serviceType":"STATIC",'
    b'"uriSpec":null}'
)
ADD = b'{"name":"dga","version":"1.0","numInstances":1,"memory":512,"action":"ADD","path":"/user/root/models"}'
QUICK = 2.0  # session time-out in seconds


def instance(id, *, version="1.0", lasting=False):
    url = f"http://node1:{id}"
    return ServiceInstance.of(Model("dga", version), str(id), Endpoint(url=url), lasting=lasting, now=1571163620.277)


def ids(registry):
    return [one.id for one in registry.instances()]


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return found


@pytest.fixture
def raw(quorum):
    """Connect to ZooKeeper without credentials."""
    client = KazooClient(quorum)
    client.start()
    yield client
    client.stop()
    client.close()


@pytest.fixture
def connect(quorum):
    """Make a registry with its own connection: `connect()`."""
    with ExitStack() as stack:
        yield lambda hosts=quorum: stack.enter_context(
            ZooKeeperRegistry(ZooKeeperSettings(hosts=hosts, session_seconds=QUICK))
        )


# --- formats


def test_a_lasting_registration_has_metrons_bytes(connect, raw):
    made = ServiceInstance.from_json(REGISTRATION)
    connect().register(made)
    data, status = raw.get("/maas/service/dga/2")
    assert data == REGISTRATION
    assert status.ephemeralOwner == 0
    assert raw.get("/maas/service/dga")[0] == b""
    assert raw.get_acls("/maas/service/dga/2")[0][0].id.id == "anyone"


def test_an_ephemeral_registration_is_marked_dynamic(connect, raw):
    connect().register(instance(7))
    data, status = raw.get("/maas/service/dga/7")
    assert status.ephemeralOwner
    assert json.loads(data)["serviceType"] == "DYNAMIC"


def test_a_replaced_node_is_created_again(connect, raw):
    registry = connect()
    registry.register(instance(7, lasting=True))
    before = raw.get("/maas/service/dga/7")[1]
    registry.register(instance(7))
    after = raw.get("/maas/service/dga/7")[1]
    assert after.czxid > before.czxid
    assert after.version == 0
    assert after.ephemeralOwner


def test_requests_have_metrons_bytes_and_path(quorum, raw):
    with ZooKeeperQueue(quorum) as queue:
        queue.enqueue(
            ModelRequest(name="dga", version="1.0", num_instances=1, memory=512, action="ADD", path="/user/root/models")
        )
    assert raw.get_children("/maas/queue") == ["qn-0000000000"]
    data, status = raw.get("/maas/queue/qn-0000000000")
    assert (data, status.ephemeralOwner) == (ADD, 0)
    assert raw.get("/maas/queue")[0] == b""


def test_paths_come_from_the_configuration(quorum, raw, connect):
    assert MaaSConfig().to_json() == CONFIG
    raw.create("/metron/maas/config", CONFIG.replace(b"/maas/", b"/elsewhere/"), makepath=True)
    connect().register(instance(7))
    with ZooKeeperQueue(quorum) as queue:
        queue.put(b"null")
    assert raw.exists("/elsewhere/service/dga/7")
    assert raw.exists("/elsewhere/queue/qn-0000000000")
    assert not raw.exists("/maas")


def test_an_invalid_configuration_is_reported(quorum, raw):
    raw.create("/other", b'{"queueConfig":{}}')
    with pytest.raises(ValueError, match=r"/other in ZooKeeper at .*: .*You must specify zk_path for a zk queue"):
        ZooKeeperRegistry(quorum, config_path="/other")
    with ZooKeeper(quorum) as zookeeper, pytest.raises(ValueError, match=r"invalid path '/\.\./x'"):
        read_config(zookeeper, "/../x")


def test_a_missing_chroot_is_created_when_it_is_needed(quorum, raw):
    with ZooKeeperQueue(f"{quorum}-new") as queue, ZooKeeperRegistry(f"{quorum}-new") as registry:
        assert queue.take(0) is None
        queue.put(b"null")
        registry.register(instance(7))
        assert queue.take(0).data == b"null"
        assert ids(registry) == ["7"]
    assert not raw.exists("/maas")


# --- the queue


def test_unknown_nodes_stay_in_the_queue_and_invalid_items_are_returned(quorum, raw, caplog):
    for name in ("other", "qn-x"):
        raw.create(f"/maas/queue/{name}", b"?", makepath=True)
    with ZooKeeperQueue(quorum) as queue:
        queue.put(b"null")
        assert [queue.take(0).data, queue.take(0).data, queue.take(0.1)] == [b"null", b"?", None]
    assert raw.get_children("/maas/queue") == ["other"]
    assert [record.getMessage() for record in caplog.records] == ["/maas/queue/other is not a request and is ignored"]


def test_a_missing_queue_is_empty_until_it_is_created(quorum, raw, bounded):
    with ZooKeeperQueue(quorum) as queue:
        assert queue.take(0) is None
        timer = threading.Timer(0.1, lambda: raw.create("/maas/queue/qn-", b"{}", sequence=True, makepath=True))
        timer.start()
        with bounded():
            assert queue.take(600).data == b"{}"
        timer.join()
        raw.delete("/maas/queue")  # as container nodes of newer Curators do
        assert queue.take(0) is None
        queue.put(b"null")
        assert queue.take(0).data == b"null"


def test_an_item_taken_by_another_consumer_is_skipped(quorum, monkeypatch):
    with ZooKeeperQueue(quorum) as queue, ZooKeeperQueue(quorum) as other:
        for data in (b"1", b"2"):
            queue.put(data)
        taken = []
        items = queue.items

        def read_slowly():
            found = items()
            if not taken:
                taken.append(other.take(0).data)
            return found

        monkeypatch.setattr(queue, "items", read_slowly)
        assert queue.take(0).data == b"2"
        assert taken == [b"1"]


# --- watches


def test_a_listener_is_notified_of_each_change(connect):
    writer, reader = connect(), connect()
    heard = []
    reader.listen(lambda added, removed: heard.append(([i.id for i in added], [i.id for i in removed])))
    for number in range(40):
        writer.register(instance(number))
        wait_for(lambda: heard)
        assert heard.pop() == ([str(number)], [])
        writer.unregister("dga", str(number))
        wait_for(lambda: heard)
        assert heard.pop() == ([], [str(number)])


def test_invalid_entries_are_skipped_with_a_warning_until_they_are_fixed(connect, raw, caplog):
    registry = connect()
    registry.register(instance(1))
    raw.create("/maas/service/dga/2", b"not json")
    raw.create("/maas/service/dga/3", b"")
    raw.create("/maas/service/empty", b"10.0.0.1")
    registry.register(instance(4))
    wait_for(lambda: len(caplog.records) == 2)
    assert ids(registry) == ["1", "4"]
    assert "invalid registration /maas/service/dga/2 is ignored: Expecting value" in caplog.text
    raw.set("/maas/service/dga/2", instance(2).to_json())
    wait_for(lambda: ids(registry) == ["1", "2", "4"])


def test_a_whole_tree_can_be_deleted_and_created_again(connect, raw):
    reader = connect()
    for _ in range(2):
        raw.create("/maas/service/dga/1", instance(1).to_json(), makepath=True)
        raw.create("/maas/service/dga/2", instance(2).to_json())
        wait_for(lambda: ids(reader) == ["1", "2"])
        raw.delete("/maas", recursive=True)
        wait_for(lambda: ids(reader) == [])


def test_many_changes_at_once_are_all_seen(connect, raw):
    reader = connect()
    raw.ensure_path("/maas/service/dga")

    def change(part):
        for number in range(part, 400, 4):
            raw.create(f"/maas/service/dga/{number:03}", instance(number).to_json())
            if number % 3:
                raw.delete(f"/maas/service/dga/{number:03}")

    threads = [threading.Thread(target=change, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: {int(id) for id in ids(reader)} == set(range(0, 400, 3)))


# --- recovery


def test_a_registration_is_created_again_after_a_lost_session(connect, raw, caplog):
    caplog.set_level(logging.INFO)
    writer, reader = connect(), connect()
    writer.register(instance(7))
    writer.register(instance(8, lasting=True))
    wait_for(lambda: ids(reader) == ["7", "8"])
    before = raw.get("/maas/service/dga/7")[1].ephemeralOwner
    expire_session(writer._zookeeper)
    wait_for(lambda: "registered /maas/service/dga/7 again" in caplog.text)
    assert raw.get("/maas/service/dga/7")[1].ephemeralOwner not in (0, before)
    wait_for(lambda: ids(reader) == ["7", "8"])
    writer.unregister("dga", "7")  # and recognizes it as its own
    wait_for(lambda: ids(reader) == ["8"])


def test_watches_survive_a_lost_session(connect):
    writer, reader = connect(), connect()
    expire_session(reader._zookeeper)
    for number in (1, 2):
        writer.register(instance(number))
        wait_for(lambda n=number: len(ids(reader)) == n)


def test_an_instance_unregistered_by_another_process_is_not_registered_again(connect, raw):
    writer = connect()
    writer.register(instance(7))
    writer.register(instance(8))
    raw.delete("/maas/service/dga/7")
    wait_for(lambda: ids(writer) == ["8"])
    session = writer._zookeeper.session
    expire_session(writer._zookeeper)
    wait_for(lambda: raw.exists("/maas/service/dga/8") and raw.get("/maas/service/dga/8")[1].ephemeralOwner != session)
    with pytest.raises(NoNodeError):
        raw.get("/maas/service/dga/7")


def test_the_last_known_instances_stay_while_zookeeper_is_down(engines, make_quorum, connect, caplog, bounded):
    from engines.zookeeper.server import ZooKeeper as Engine

    with Engine() as engine:
        quorum = make_quorum(engine)
        writer, reader = connect(quorum), connect(quorum)
        writer.register(instance(7))
        wait_for(lambda: ids(reader) == ["7"])
        engine.stop()
        wait_for(lambda: "the last known state stays in use" in caplog.text)
        assert reader.endpoint("dga").url == "http://node1:7"
        assert ids(reader) == ["7"]
        with pytest.raises(ConnectionError, match="can't be reached"):
            writer.unregister("dga", "0")
        engine.start()
        writer.register(instance(8))
        wait_for(lambda: ids(reader) == ["7", "8"])
        engine.stop()
    with bounded():
        writer.close()
        reader.close()


def test_nothing_is_lost_when_the_leader_of_three_servers_is_killed(engines, make_quorum, connect):
    from engines.zookeeper.server import ZooKeeper as Engine

    with Engine(3) as engine:
        quorum = make_quorum(engine)
        writer, reader = connect(quorum), connect(quorum)
        writer.register(instance(1))
        wait_for(lambda: ids(reader) == ["1"])
        session = writer._zookeeper.session
        engine.leader.daemon.kill()
        assert reader.endpoint("dga").url == "http://node1:1"
        writer.register(instance(2))
        wait_for(lambda: ids(reader) == ["1", "2"])
        assert writer._zookeeper.session == session
        for registry in (writer, reader):
            registry.close()


# --- authentication


def test_unreachable_hosts_are_reported(monkeypatch):
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.3)
    with pytest.raises(ConnectionError, match=r"ZooKeeper at 127\.0\.0\.1:1 can't be reached: no server responded"):
        ZooKeeperRegistry("127.0.0.1:1")


def may(request, *arguments):
    try:
        request(*arguments)
    except NoAuthError:
        return False
    return True


@pytest.mark.parametrize(
    ("others", "rights"), [("all", (True, True)), ("read", (True, False)), ("none", (False, False))]
)
def test_nodes_written_with_a_password_have_the_configured_acl(others, rights, quorum, raw):
    settings = ZooKeeperSettings(hosts=quorum, user="maas", password="secret:pass", others=others)
    with ZooKeeperQueue(settings) as ours, ZooKeeperQueue(quorum) as strangers:
        path = f"/maas/queue/{ours.put(b'null')}"
        assert (may(raw.get, path), may(raw.set, path, b"null")) == rights
        if others != "all":
            with pytest.raises(PermissionError, match="does not allow this"):
                strangers.put(b"null")
        assert ours.take(0).data == b"null"


def test_nodes_written_with_sasl_are_closed_to_others(engines, make_quorum, tmp_path):
    from engines.zookeeper.server import ZooKeeper as Engine

    module = 'org.apache.zookeeper.server.auth.DigestLoginModule required user_maas="secret"'
    (tmp_path / "jaas.conf").write_text(f"Server {{ {module}; }};")
    provider = {"authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}
    with Engine(1, provider, (f"-Djava.security.auth.login.config={tmp_path / 'jaas.conf'}",)) as engine:
        quorum = make_quorum(engine)
        sasl = {"mechanism": "DIGEST-MD5", "username": "maas", "password": "secret"}
        with (
            ZooKeeperQueue(ZooKeeperSettings(hosts=quorum, sasl=sasl, others="none")) as ours,
            ZooKeeperQueue(quorum) as strangers,
        ):
            ours.put(b"null")
            with pytest.raises(PermissionError, match="does not allow this"):
                strangers.take(0)
            assert ours.take(0).data == b"null"
        impostor = ZooKeeperSettings(hosts=quorum, sasl={**sasl, "password": "wrong"})
        with pytest.raises(PermissionError, match="rejected the credentials"):
            ZooKeeperQueue(impostor)


@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")  # raised by kazoo for a failed handshake
def test_tls_authenticates_both_sides(engines, tmp_path, monkeypatch):
    from engines.daemon import free_ports, run
    from engines.zookeeper.server import ZooKeeper as Engine

    key, certificate, both = (str(tmp_path / name) for name in ("key.pem", "certificate.pem", "both.pem"))
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    run([*make.split(), "-keyout", key, "-out", certificate], 30)
    (tmp_path / "both.pem").write_text((tmp_path / "key.pem").read_text() + (tmp_path / "certificate.pem").read_text())
    (port,) = free_ports(1)
    options = {
        "secureClientPort": port,
        "secureClientPortAddress": "127.0.0.1",
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "ssl.keyStore.location": both,
        "ssl.keyStore.type": "PEM",
        "ssl.trustStore.location": certificate,
        "ssl.trustStore.type": "PEM",
        "ssl.clientAuth": "need",
    }
    with Engine(1, options):
        hosts = f"127.0.0.1:{port}"
        settings = ZooKeeperSettings(hosts=hosts, tls=True, ca=certificate, certificate=certificate, key=key)
        with ZooKeeperQueue(settings) as queue:
            queue.put(b"null")
            assert queue.take(0).data == b"null"
        monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 1.0)
        for stranger in (
            ZooKeeperSettings(hosts=hosts),
            ZooKeeperSettings(
                hosts=hosts, tls=True, certificate=certificate, key=key
            ),  # the server certificate is not trusted
            ZooKeeperSettings(hosts=hosts, tls=True, ca=certificate),  # the client certificate is missing
        ):
            with pytest.raises(ConnectionError, match="no server responded"):
                ZooKeeperQueue(stranger)
    gc.collect()


# --- settings


def test_settings_are_ephemeral_nodes_next_to_the_registration(connect, raw):
    registry = connect()
    registry.register(instance(7), {"hedge": False})
    registry.register(instance(8, lasting=True), {"hedge": True})
    registry.register(instance(9))
    data, status = raw.get("/maas/ext/instances/dga/7")
    assert data == b'{"hedge":false}'
    assert status.ephemeralOwner == raw.get("/maas/service/dga/7")[1].ephemeralOwner != 0
    assert status.czxid < raw.get("/maas/service/dga/7")[1].czxid
    assert raw.get("/maas/ext/instances/dga/8")[1].ephemeralOwner == 0
    assert sorted(raw.get_children("/maas/ext/instances/dga")) == ["7", "8"]
    registry.close()
    assert raw.get_children("/maas/ext/instances/dga") == ["8"]


def test_settings_are_created_again_before_their_registration_after_a_lost_session(connect, raw):
    writer, reader = connect(), connect()
    writer.register(instance(7), {"hedge": False})
    before = raw.get("/maas/service/dga/7")[1].ephemeralOwner
    expire_session(writer._zookeeper)
    wait_for(lambda: raw.exists("/maas/service/dga/7") and raw.get("/maas/service/dga/7")[1].ephemeralOwner != before)
    registration, settings = raw.get("/maas/service/dga/7")[1], raw.get("/maas/ext/instances/dga/7")[1]
    assert settings.ephemeralOwner == registration.ephemeralOwner
    assert settings.czxid < registration.czxid
    wait_for(lambda: reader.version("dga", "1.0") is not None)
    wait_for(lambda: reader.version("dga", "1.0").settings == {"http://node1:7": {"hedge": False}})


def test_settings_of_an_instance_unregistered_by_another_process_are_removed(connect, raw):
    writer = connect()
    writer.register(instance(7), {"hedge": False})
    raw.delete("/maas/service/dga/7")
    wait_for(lambda: not raw.exists("/maas/ext/instances/dga/7"))
    assert ids(writer) == []


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]"])
def test_invalid_settings_are_ignored_with_a_warning(rubbish, connect, raw, caplog):
    reader = connect()
    raw.create("/maas/ext/instances/dga/7", rubbish, makepath=True)
    raw.create("/maas/service/dga/7", instance(7).to_json(), makepath=True)
    wait_for(lambda: ids(reader) == ["7"])
    assert reader.version("dga", "1.0").settings == {}
    assert [record.getMessage().partition(" is ignored: ")[0] for record in caplog.records] == [
        "/maas/ext/instances/dga/7"
    ]


def test_nodes_without_read_permission_are_ignored_with_one_warning_each(quorum, raw, connect, caplog):
    ours = ZooKeeperSettings(hosts=quorum, user="maas", password="secret", others="none")
    with ZooKeeper(ours) as owner:
        for number in (7, 8):
            owner.write(f"/maas/ext/instances/dga/{number}", b'{"hedge":false}')
        owner.write("/maas/ext/traffic/dga", b'{"weights": {"1.0": 1}}')
        owner.write("/maas/ext/wanted/dga/1.0", b'{"instances": 1}')
    for path in ("/maas", "/maas/ext", "/maas/ext/instances/dga", "/maas/ext/traffic", "/maas/ext/wanted/dga"):
        open_to_all(raw, path)
    for number in (7, 8):
        raw.create(f"/maas/service/dga/{number}", instance(number).to_json(), makepath=True)
    registry = connect()
    registry.register(instance(9))
    registry.unregister("dga", "7")
    assert ids(registry) == ["8", "9"]
    assert registry.version("dga", "1.0").settings == {}
    assert registry.traffic("dga") is None
    messages = [record.getMessage() for record in caplog.records]
    assert [re.split(r"[,;]|: ZooKeeper", message)[0] for message in messages] == [
        "can't read /maas/ext/instances",
        "can't read /maas/ext/traffic/dga",
        "can't read /maas/ext/wanted",
        "can't remove the settings /maas/ext/instances/dga/7",
    ]


def open_to_all(raw, path):
    """Let all clients read the children of a node, but not those of its siblings."""
    raw.add_auth("digest", "maas:secret")
    raw.set_acls(path, OPEN_ACL_UNSAFE)


# --- the desired state


def test_a_node_that_became_unreadable_counts_as_not_removed(quorum, raw, connect):
    raw.create("/maas/ext/wanted/dga/1.0", b'{"instances": 1}', makepath=True)
    registry = connect()
    assert registry.is_desired("dga", "1.0")
    raw.add_auth("digest", "maas:secret")
    raw.set_acls("/maas/ext/wanted/dga/1.0", CREATOR_ALL_ACL)
    raw.set("/maas/ext/wanted/dga/1.0", b'{"instances": 0}')
    raw.create("/maas/ext/wanted/dga/2.0", b'{"instances": 1}')
    wait_for(lambda: registry.is_desired("dga", "2.0"))
    assert registry.is_desired("dga", "1.0")


def test_the_desired_state_is_read_again_after_the_session_was_lost(connect, raw):
    raw.create("/maas/ext/wanted/dga/1.0", b'{"instances": 1}', makepath=True)
    registry = connect()
    for _ in range(2):
        session = registry._zookeeper.session
        expire_session(registry._zookeeper)
        wait_for(lambda session=session: registry._zookeeper.session not in (None, session))
        raw.set("/maas/ext/wanted/dga/1.0", b'{"instances": 0}')
        wait_for(lambda: not registry.is_desired("dga", "1.0"))
        raw.set("/maas/ext/wanted/dga/1.0", b'{"instances": 1}')
        wait_for(lambda: registry.is_desired("dga", "1.0"))


def test_the_desired_state_is_read_after_the_instances_even_if_its_events_are_late(connect, raw, monkeypatch):
    on_event = WatchedTree._on_event

    def lose(tree, event):
        if "ext" not in tree.root:
            on_event(tree, event)

    monkeypatch.setattr(WatchedTree, "_on_event", lose)
    raw.create("/maas/ext/wanted/dga/1.0", b'{"instances": 1}', makepath=True)
    raw.create("/maas/service/dga/1", instance(1).to_json(), makepath=True)
    reader = connect()
    assert reader.is_desired("dga", "1.0")
    raw.create("/maas/ext/traffic/dga", b'{"weights": {"1.0": 1}}', makepath=True)
    raw.create("/maas/service/dga/2", instance(2, version="2.0").to_json())
    wait_for(lambda: reader.version("dga", "2.0"))
    assert reader.endpoint("dga").version == "1.0"
    raw.set("/maas/ext/wanted/dga/1.0", b'{"instances": 0}')
    raw.delete("/maas/service/dga/1")
    wait_for(lambda: reader.version("dga", "1.0") is None)
    assert not reader.is_desired("dga", "1.0")


def test_the_removal_is_visible_whenever_the_instance_is_gone(connect, raw):
    reader = connect()
    raw.ensure_path("/maas/ext/wanted/dga")
    raw.ensure_path("/maas/service/dga")
    done, wrong = threading.Event(), []

    def watch():
        present = set()
        while not done.is_set():
            for number in range(30):
                version = f"1.{number}"
                if reader.version("dga", version) is not None:
                    present.add(version)
                elif version in present and reader.is_desired("dga", version):
                    wrong.append(version)

    thread = threading.Thread(target=watch)
    thread.start()
    for number in range(30):
        version = f"1.{number}"
        raw.create(f"/maas/ext/wanted/dga/{version}", b'{"instances": 1}')
        raw.create(f"/maas/service/dga/{number}", instance(number, version=version).to_json())
        if number >= 3:
            old = number - 3
            raw.set(f"/maas/ext/wanted/dga/1.{old}", b'{"instances": 0}')
            raw.delete(f"/maas/service/dga/{old}")
    wait_for(lambda: len(reader.instances()) == 3)
    done.set()
    thread.join()
    assert wrong == []


# --- forks


def sockets(process="self"):
    found = set()
    for entry in os.scandir(f"/proc/{process}/fd"):
        with suppress(FileNotFoundError):
            found.add(os.readlink(entry.path))
    return {name for name in found if name.startswith("socket:")}


def test_a_child_sees_changes_in_its_own_session(connect, raw):
    def follow(parent, registry, inherited):
        left = sockets() & inherited
        known = ids(registry)
        parent.send((known, registry._zookeeper.session, left))
        wait_for(lambda: registry.version("dga", "2.0"), 30.0)
        registry.register(instance(9), {"hedge": False})
        parent.send(ids(registry))
        parent.wait()
        registry.close()

    registry, writer = connect(), connect()
    registry.register(instance(7), {"hedge": False})
    session = registry._zookeeper.session
    connection = registry._zookeeper.client._connection
    fds = (connection._socket, connection._read_sock, connection._write_sock)
    child = Child(follow, registry, {os.readlink(f"/proc/self/fd/{fd.fileno()}") for fd in fds})
    known, own, left = child.receive()
    assert (known, left) == (["7"], set())
    assert own not in (None, session)
    writer.register(instance(8, version="2.0"))
    assert child.receive() == ["7", "9", "8"]
    wait_for(lambda: ids(registry) == ["7", "9", "8"])
    assert raw.get("/maas/service/dga/9")[1].ephemeralOwner == own
    child.go()
    child.result()
    wait_for(lambda: ids(registry) == ["7", "8"])
    assert registry._zookeeper.session == session
    assert raw.get("/maas/service/dga/7")[1].ephemeralOwner == session
    assert raw.get("/maas/ext/instances/dga/7")[1].ephemeralOwner == session


def test_a_child_that_closes_or_exits_does_not_affect_the_parent(connect, raw):
    registry = connect()
    registry.register(instance(7))
    session = registry._zookeeper.session
    call_in_child(lambda _: None)
    call_in_child(lambda _: registry.close())
    registry.register(instance(8))
    assert ids(registry) == ["7", "8"]
    assert registry._zookeeper.session == session
    assert raw.get("/maas/service/dga/7")[1].ephemeralOwner == session


@pytest.mark.parametrize("run", [lambda function: function(), call_in_thread], ids=["main thread", "other thread"])
def test_a_child_does_not_wait_for_locks_that_the_parents_threads_hold(run, connect, raw):
    def use(_):
        heard = []
        registry.listen(lambda added, removed: heard.extend(each.id for each in added))
        registry.register(instance(8))
        return ids(registry), registry.endpoint("dga").url, registry.is_desired("dga"), heard

    registry = connect()
    registry.register(instance(7, lasting=True))
    raw.create("/maas/ext/wanted/dga/1.0", b'{"instances": 1}', makepath=True)
    zookeeper = registry._zookeeper
    locks = [registry._reading, registry._publishing, registry._notifying, zookeeper._opening]
    with hold_locks(*locks, *(tree._marking for tree in registry._trees), zookeeper.client.handler._state_change):
        known, url, desired, heard = run(lambda: call_in_child(use))
    assert known == ["7", "8"]
    assert url in ("http://node1:7", "http://node1:8")
    assert (desired, heard) == (True, ["8"])
    wait_for(lambda: ids(registry) == ["7"])


def test_the_first_use_in_a_child_reads_again(connect):
    def find(parent):
        parent.wait()
        return registry.endpoint("dga", "2.0").url

    registry, writer = connect(), connect()
    writer.register(instance(7))
    child = Child(find)
    writer.unregister("dga", "7")
    writer.register(instance(8, version="2.0"))
    child.go()
    assert child.result() == "http://node1:8"


def test_a_queue_is_shared_with_a_child(quorum):
    with ZooKeeper(quorum) as connection, ZooKeeperQueue(connection) as queue:
        queue.put(b"1")
        assert call_in_child(lambda _: (queue.take(0).data, queue.put(b"2"))) == (b"1", "qn-0000000001")
        assert queue.take(0).data == b"2"


def test_a_child_uses_the_known_instances_while_zookeeper_is_down_and_reconnects(engines, make_quorum, connect, caplog):
    from engines.zookeeper.server import ZooKeeper as Engine

    def use(parent):
        parent.send(registry.endpoint("dga").url)
        wait_for(lambda: registry.version("dga", "2.0"), 60.0)

    with Engine() as engine:
        registry = connect(make_quorum(engine))
        registry.register(instance(7, lasting=True))
        engine.stop()
        child = Child(use)
        assert child.receive() == "http://node1:7"
        engine.start()
        registry.register(instance(8, version="2.0", lasting=True))
        child.result()
        registry.close()
