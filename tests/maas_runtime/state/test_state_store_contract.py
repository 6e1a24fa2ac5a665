"""The contract of state stores, tested with each."""

from __future__ import annotations

import pytest

from maas_runtime.state.store import DirectoryStateStore, record_failure
from maas_runtime.state.zookeeper import ZooKeeperStateStore
from stellar.maas import MaaSConfig, Model, ZooKeeper

NOTE = {"instances": 2, "path": "/user/me/dga", "memory": 512, "why": "naïve"}


@pytest.fixture(params=["file", pytest.param("zookeeper", marks=pytest.mark.engine)])
def make_store(request, tmp_path):
    """Make state stores of the same registry, as different processes open it."""
    if request.param == "file":
        yield lambda: DirectoryStateStore(tmp_path)
        return
    quorum = request.getfixturevalue("quorum")
    connections = []

    def make():
        connections.append(ZooKeeper(quorum))
        return ZooKeeperStateStore(connections[-1])

    yield make
    for connection in connections:
        connection.close()


def test_an_object_is_read_by_other_processes(make_store):
    writer, reader = make_store(), make_store()
    assert reader.read("wanted/dga/1.0") is None
    for count in (1, 2):
        writer.write("wanted/dga/1.0", {**NOTE, "instances": count})
        assert reader.read("wanted/dga/1.0") == {**NOTE, "instances": count}


def test_removing_an_object_is_idempotent(make_store):
    state_store = make_store()
    state_store.write("wanted/dga/1.0", NOTE)
    for _ in range(2):
        state_store.write("wanted/dga/1.0", None)
        assert state_store.read("wanted/dga/1.0") is None


def test_names_are_sorted_and_empty_for_an_unknown_path(make_store):
    state_store = make_store()
    assert state_store.names("wanted") == []
    for version in ("2", "10", "1"):
        state_store.write(f"wanted/dga/{version}", NOTE)
    assert state_store.names("wanted") == ["dga"]
    assert state_store.names("wanted/dga") == ["1", "10", "2"]
    assert state_store.read("wanted/dga") is None


def test_failures_are_counted(make_store):
    for reason in ("one", "two"):
        record_failure(make_store(), Model("dga", "1.0"), reason)
    note = make_store().read("failures/dga/1.0")
    assert (note["count"], note["last"]) == (2, "two")


def test_other_processes_see_whether_a_service_leads(make_store):
    state_store, other = make_store(), make_store()
    assert not other.is_led()
    with state_store.lead(lambda: False) as leading:
        assert leading()
        assert other.is_led()
    assert not other.is_led()


def test_another_registry_has_its_own_state_store():
    assert MaaSConfig().ext_root == "/maas/ext"
    assert MaaSConfig(service_root="/python/service").ext_root == "/python/service-ext"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_invalid_json_is_ignored_with_a_warning(tmp_path, caplog, data):
    state_store = DirectoryStateStore(tmp_path)
    state_store.write("wanted/dga/1.0", NOTE)
    (file,) = (path for path in tmp_path.rglob("1.0") if path.is_file())
    file.write_bytes(data)
    assert state_store.read("wanted/dga/1.0") is None
    assert f"invalid JSON at {file}, ignored" in caplog.text
