"""The contract of state stores, tested with each."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.state.store import DirectoryStateStore, record_failure
from maas_runtime.state.zookeeper import ZooKeeperStateStore
from stellar.maas import MaaSConfig, Model, ZooKeeper

NOTE = {"instances": 2, "path": "/user/me/dga", "memory": 512, "why": "naïve"}


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


def test_a_published_object_can_be_replaced_and_removed(make_store):
    writer, reader = make_store(), make_store()
    for number in (1, 2, 2):
        writer.publish("phases/dga/7", {"number": number})
        assert reader.read_published("phases/dga") == {"7": {"number": number}}
    reader.unpublish("phases/dga/7")  # it is not the reader's
    assert reader.read_published("phases/dga") == {"7": {"number": 2}}
    for _ in range(2):
        writer.unpublish("phases/dga/7")
        assert reader.names("phases/dga") == []


def test_a_published_object_that_is_replaced_is_never_absent(make_store):
    writers, reader = (make_store(), make_store()), make_store()
    writers[0].publish("phases/dga/7", {"number": -1})
    is_done, seen = threading.Event(), []

    def read():
        while not is_done.is_set():
            seen.append(reader.read_published("phases/dga").keys())

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(100):  # by the same process, and by the next one after its end
        writers[number // 3 % 2].publish("phases/dga/7", {"number": number})
    is_done.set()
    thread.join()
    for writer in writers:
        writer.unpublish("phases/dga/7")
    assert seen
    assert all(names == {"7"} for names in seen)


def test_a_path_is_claimed_by_one_process_at_a_time(make_store):
    stores = [make_store() for _ in range(3)]
    for owner in stores:
        assert owner.claim("turns/dga")
        assert [each.claim("turns/dga") for each in stores] == [each is owner for each in stores]
        for other in stores:
            if other is not owner:
                other.unpublish("turns/dga")
        assert owner.claim("turns/dga")
        assert owner.claim("turns/other")
        owner.unpublish("turns/dga")
        owner.unpublish("turns/other")


CLAIMING = """
import sys
from pathlib import Path
from maas_runtime.state.store import DirectoryStateStore
state_store = DirectoryStateStore(Path(sys.argv[1]))
print(state_store.claim("turns/dga"), flush=True)
input()
"""


def test_a_claim_ends_with_its_process(tmp_path, eventually):
    command = [sys.executable, "-c", CLAIMING, str(tmp_path)]
    folder = Path(maas_runtime.__file__).parents[1]
    state_store = DirectoryStateStore(tmp_path)
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"True\n"
        assert not state_store.claim("turns/dga")
        process.kill()
    eventually(lambda: state_store.claim("turns/dga"))
    state_store.unpublish("turns/dga")


def test_a_published_object_can_be_changed_when_the_disk_is_full(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer, reader = DirectoryStateStore(tmp_path), DirectoryStateStore(tmp_path)
    writer.publish("phases/dga/7", {"reason": "x" * 300})
    monkeypatch.setattr("maas_runtime.state.store.write_atomically", refuse)
    for entry in ({"reason": "short"}, {"reason": "y" * 800}, {"reason": "z"}):
        writer.publish("phases/dga/7", entry)
        assert reader.read_published("phases/dga") == {"7": entry}
    for path, entry in (("phases/dga/7", {"reason": "y" * 2000}), ("phases/dga/8", {"reason": "new"})):
        with pytest.raises(OSError, match="No space left"):
            writer.publish(path, entry)
    writer.unpublish("phases/dga/7")


def test_a_watched_object_is_current_after_a_change(make_store, eventually):
    writer, reader = make_store(), make_store()
    read = reader.watch("assigned/dga/7")
    assert read() is None
    for epoch in (1, 2):
        writer.write("assigned/dga/7", {"epoch": epoch})
        eventually(lambda epoch=epoch: read() == {"epoch": epoch})
    writer.write("assigned/dga/7", None)
    eventually(lambda: read() is None)


@pytest.mark.engine
def test_a_watch_in_zookeeper_calls_for_each_change(quorum, eventually):
    changed = threading.Event()
    with ZooKeeper(quorum) as connection, ZooKeeper(quorum) as other:
        read = ZooKeeperStateStore(connection).watch("assigned/dga/7", changed.set)
        for epoch in (1, 2, 3):
            known = read()
            changed.clear()
            ZooKeeperStateStore(other).write("assigned/dga/7", {"epoch": epoch})
            assert changed.wait(60)
            eventually(lambda known=known: read() != known)


def view_of(state_store, path="assigned"):
    return state_store.follow(path, 2, lambda: None)


def test_a_view_has_the_current_objects(make_store, eventually):
    writer, reader = make_store(), make_store()
    view = view_of(reader)
    assert view.read() == {}
    writer.write("assigned/dga/7", NOTE)
    writer.write("assigned/dga/8", NOTE)
    eventually(lambda: view.read() == {("dga", "7"): NOTE, ("dga", "8"): NOTE})
    assert view.read() is view.read()
    writer.write("assigned/dga/7", None)
    eventually(lambda: view.read() == {("dga", "8"): NOTE})
    view.close()


def test_a_view_in_a_directory_reads_changed_files_only(tmp_path, monkeypatch):
    state_store = DirectoryStateStore(tmp_path)
    for id in range(200):
        state_store.write(f"assigned/dga/{id}", NOTE)
    view = view_of(state_store)
    assert len(view.read()) == 200
    read, looks = view._tree._read, []
    monkeypatch.setattr(view._tree, "_read", lambda names, file: looks.append(names) or read(names, file))
    assert len(view.read()) == 200
    assert looks == []
    state_store.write("assigned/dga/7", {})
    assert view.read()["dga", "7"] == {}
    assert looks == [("dga", "7")]
    view.close()


def test_a_view_in_a_directory_that_cannot_be_watched_reads_all_files(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("maas_runtime.state.directory_view.DirectoryWatch", fail)
    state_store = DirectoryStateStore(tmp_path)
    view = view_of(state_store)
    for id in ("7", "8"):
        state_store.write(f"assigned/dga/{id}", NOTE)
        assert ("dga", id) in view.read()
    view.close()


def test_a_view_in_a_directory_recovers_from_a_failed_read(tmp_path, monkeypatch):
    state_store = DirectoryStateStore(tmp_path)
    state_store.write("assigned/dga/7", NOTE)
    view = view_of(state_store)
    view.read()
    read = view._tree._read

    def fail(names, file):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(view._tree, "_read", fail)
    state_store.write("assigned/dga/8", NOTE)
    with pytest.raises(OSError, match="Input/output error"):
        view.read()
    monkeypatch.setattr(view._tree, "_read", read)
    assert view.read() == {("dga", "7"): NOTE, ("dga", "8"): NOTE}
    view.close()
