"""Reports of clients: the contract, tested with each implementation, and what only one of them can show."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import ExitStack

import pytest
from kazoo.client import KazooClient

from stellar.maas import FileRegistry, MemoryRegistry, ZooKeeper, ZooKeeperRegistry
from stellar.maas.reports import ClientReport, InstanceCounts, ModelReport
from tests.forked import call_in_child

URL = "http://node1:36161"
ONE = ClientReport({"dga": ModelReport("re-1", {"2.0": {URL: InstanceCounts(50, 2, "open")}})}, 1571163620277)
TWO = ClientReport({"dga": ModelReport("re-1", {"2.0": {URL: InstanceCounts(60, 2)}})}, 1571163620278)
OTHER = ClientReport({"spam": ModelReport("", {"1.0": {URL: InstanceCounts(0, 0, "half-open")}})})


def memory(request, more):
    return MemoryRegistry()


def files(request, more):
    return FileRegistry(request.getfixturevalue("tmp_path"))


def zookeeper(request, more):
    return more.enter_context(ZooKeeperRegistry(request.getfixturevalue("quorum")))


@pytest.fixture(params=[memory, files, pytest.param(zookeeper, marks=pytest.mark.engine)])
def open_registry(request):
    """Open a registry, each on the same source: `open_registry()`."""
    with ExitStack() as registries:
        shared = request.param(request, registries)
        registries.callback(shared.close)

        def start():
            if isinstance(shared, MemoryRegistry):
                return shared
            return registries.enter_context(request.param(request, registries))

        yield start


def test_reports_are_read_by_others_until_they_are_withdrawn(open_registry):
    writer, reader = open_registry(), open_registry()
    assert reader.reports.read() == {}
    writer.reports.publish("one", ONE)
    writer.reports.publish("other", OTHER)
    assert reader.reports.read() == {"one": ONE, "other": OTHER}
    writer.reports.withdraw("one")
    assert reader.reports.read() == {"other": OTHER}
    writer.reports.withdraw("one")
    assert reader.reports.read() == {"other": OTHER}


def test_a_report_replaces_the_last_one_of_its_client(open_registry):
    writer, reader = open_registry(), open_registry()
    for report in (ONE, TWO, TWO, ONE):
        writer.reports.publish("one", report)
        assert reader.reports.read() == {"one": report}


def test_a_report_can_be_published_again_after_it_was_withdrawn(open_registry):
    writer, reader = open_registry(), open_registry()
    writer.reports.publish("one", ONE)
    writer.reports.withdraw("one")
    writer.reports.publish("one", ONE)
    assert reader.reports.read() == {"one": ONE}


def test_only_a_valid_name_is_a_client(open_registry):
    with pytest.raises(ValueError, match=r"the client '\.\./x' is invalid"):
        open_registry().reports.publish("../x", ONE)


def test_reports_end_with_their_registry(open_registry):
    writer, reader = open_registry(), open_registry()
    if writer is reader:
        pytest.skip("within one process a report ends with its client only")
    writer.reports.publish("one", ONE)
    writer.close()
    assert reader.reports.read() == {}


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_of_a_fork_publishes_reports_of_its_own(open_registry):
    writer, reader = open_registry(), open_registry()
    if writer is reader:
        pytest.skip("the child has a copy of its own")
    writer.reports.publish("one", ONE)

    def publish(parent):
        writer.reports.publish("child", TWO)
        seen = set(reader.reports.read())
        writer.close()
        return seen

    assert call_in_child(publish) == {"one", "child"}
    assert reader.reports.read() == {"one": ONE}


def _publish_and_wait(folder, ready):
    with FileRegistry(folder) as registry:
        registry.reports.publish("dead", ONE)
        ready.set()
        signal.pause()


def test_the_report_of_a_killed_process_is_removed(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_publish_and_wait, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with FileRegistry(tmp_path) as registry:
        assert registry.reports.read() == {"dead": ONE}
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert registry.reports.read() == {}
    assert list((tmp_path / "maas/ext/reports").iterdir()) == []


def expire(connection):
    """Expire the session of a connection, as ZooKeeper does without heartbeats."""
    number, password = connection.client.client_id
    client = KazooClient(connection.hosts, client_id=(number, password))
    client.start()
    client.stop()
    client.close()


@pytest.mark.engine
def test_a_report_is_published_again_in_a_new_session(quorum, eventually):
    with ZooKeeper(quorum) as connection, ZooKeeper(quorum) as other, ZooKeeperRegistry(connection) as registry:
        registry.reports.publish("one", ONE)
        session = connection.session
        assert other.request("exists", "/maas/ext/reports/one").owner_session_id == session
        expire(connection)
        eventually(lambda: connection.is_connected and connection.session != session)
        registry.reports.publish("one", ONE)
        assert other.request("exists", "/maas/ext/reports/one").owner_session_id == connection.session
        assert registry.reports.read() == {"one": ONE}


@pytest.mark.engine
def test_a_deleted_node_is_created_again(quorum):
    with ZooKeeper(quorum) as other, ZooKeeperRegistry(quorum) as registry:
        registry.reports.publish("one", ONE)
        other.delete("/maas/ext/reports/one")
        registry.reports.publish("one", TWO)
        assert registry.reports.read() == {"one": TWO}


HOSTILE = {
    "not JSON": (b"{", "Expecting property name"),
    "an array": (b"[1]", "expected a JSON object, got [1]"),
    "negative counts": (
        b'{"models": {"dga": {"versions": {"1.0": {"u": {"calls": -1}}}}}}',
        "expected 0 <= failures <= calls, got 0 and -1",
    ),
    "more failures than calls": (
        b'{"models": {"dga": {"versions": {"1.0": {"u": {"calls": 1, "failures": 2}}}}}}',
        "expected 0 <= failures <= calls, got 2 and 1",
    ),
    "not a number": (
        b'{"models": {"dga": {"versions": {"1.0": {"u": {"calls": "many"}}}}}}',
        "models.dga.versions.1.0.u.calls: Input should be a valid integer",
    ),
    "models in a list": (b'{"models": []}', "models: Input should be a JSON object"),
    "deep nesting": (b'{"models": ' + b"[" * 100_000, ""),
    "too large": (b" " * ((1 << 20) + 1), "1,048,577 bytes, expected at most 1,048,576"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_invalid_report_is_ignored_and_logged_once(kind, tmp_path, caplog):
    data, reason = HOSTILE[kind]
    with FileRegistry(tmp_path) as writer, FileRegistry(tmp_path) as reader:
        writer.reports.publish("one", ONE)
        writer.reports.publish("two", TWO)
        file = tmp_path / "maas/ext/reports/two"
        with file.open("r+b") as handle:
            handle.write(data)
            handle.truncate(len(data))
        for _ in range(3):
            assert reader.reports.read() == {"one": ONE}
    (record,) = (each for each in caplog.records if "invalid report" in each.message)
    assert str(file) in record.message
    assert reason in record.message


def test_a_special_file_is_not_a_report(tmp_path):
    with FileRegistry(tmp_path) as registry:
        registry.reports.publish("one", ONE)
        os.mkfifo(tmp_path / "maas/ext/reports/pipe")
        (tmp_path / "maas/ext/reports/link").symlink_to("/etc/passwd")
        (tmp_path / "maas/ext/reports/folder").mkdir()
        assert registry.reports.read() == {"one": ONE}
