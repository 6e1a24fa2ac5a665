"""What all notes promise, asked of each."""

from __future__ import annotations

import pytest

from maas_runtime.state.store import DirectoryStateStore, failed
from maas_runtime.state.zookeeper import ZooKeeperStateStore
from stellar.maas import MaaSConfig, Model, ZooKeeper

NOTE = {"instances": 2, "path": "/user/me/dga", "memory": 512, "why": "naïve"}


@pytest.fixture(params=["file", pytest.param("zookeeper", marks=pytest.mark.engine)])
def make_notes(request, tmp_path):
    """Notes at the same place, each as another program sees them."""
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


def test_a_note_is_read_by_others(make_notes):
    writer, reader = make_notes(), make_notes()
    assert reader.read("wanted/dga/1.0") is None
    for count in (1, 2):
        writer.write("wanted/dga/1.0", {**NOTE, "instances": count})
        assert reader.read("wanted/dga/1.0") == {**NOTE, "instances": count}


def test_a_note_that_is_taken_away_is_gone_and_may_be_taken_away_again(make_notes):
    notes = make_notes()
    notes.write("wanted/dga/1.0", NOTE)
    for _ in range(2):
        notes.write("wanted/dga/1.0", None)
        assert notes.read("wanted/dga/1.0") is None


def test_names_are_sorted_and_there_are_none_where_there_is_nothing(make_notes):
    notes = make_notes()
    assert notes.names("wanted") == []
    for version in ("2", "10", "1"):
        notes.write(f"wanted/dga/{version}", NOTE)
    assert notes.names("wanted") == ["dga"]
    assert notes.names("wanted/dga") == ["1", "10", "2"]
    assert notes.read("wanted/dga") is None


def test_failures_are_counted(make_notes):
    for reason in ("one", "two"):
        failed(make_notes(), Model("dga", "1.0"), reason)
    note = make_notes().read("failures/dga/1.0")
    assert (note["count"], note["last"]) == (2, "two")


def test_others_see_whether_a_service_leads(make_notes):
    notes, other = make_notes(), make_notes()
    assert not other.is_led()
    with notes.lead(lambda: False) as leading:
        assert leading()
        assert other.is_led()
    assert not other.is_led()


def test_the_notes_of_another_registry_stand_beside_that():
    assert MaaSConfig().ext_root == "/maas/ext"
    assert MaaSConfig(service_root="/python/service").ext_root == "/python/service-ext"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_note_that_can_t_be_read_counts_as_none_and_is_named(tmp_path, caplog, data):
    notes = DirectoryStateStore(tmp_path)
    notes.write("wanted/dga/1.0", NOTE)
    (file,) = (path for path in tmp_path.rglob("1.0") if path.is_file())
    file.write_bytes(data)
    assert notes.read("wanted/dga/1.0") is None
    assert f"the note {file} can't be read, and counts as none" in caplog.text
