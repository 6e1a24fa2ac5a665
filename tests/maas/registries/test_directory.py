"""The registry in a directory: dead owners, foreign files, unreadable directories, background refresh."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import stellar
from stellar.maas import FileQueue, FileRegistry, MaaSConfig, ModelNotFound, ModelRequest
from stellar.maas.registries.directory import is_locked, read_config, write_atomically

PACKAGES = Path(stellar.__file__).parents[1]

OWNER = """
import sys, time
from stellar.maas import FileRegistry, ServiceInstance
from stellar.maas.schema import Endpoint, Model
registry = FileRegistry(sys.argv[1])
registry.register(ServiceInstance.of(Model("dga", "1.0"), "7", Endpoint(url="http://h:1")), {"hedge": False})
print("registered", flush=True)
time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """Start another process that registers an instance."""
    with subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, cwd=PACKAGES) as process:
        assert process.stdout.readline() == b"registered\n"
        yield process
        process.kill()


def registrations(directory):
    return sorted(str(file.relative_to(directory)) for file in directory.glob("maas/service/*/*"))


def test_a_registration_disappears_when_its_owner_is_killed(tmp_path, owner, eventually):
    registry = FileRegistry(tmp_path)
    heard = []
    registry.listen(lambda added, removed: heard.extend(instance.id for instance in removed))
    assert registry.endpoint("dga").url == "http://h:1"
    assert registrations(tmp_path) == ["maas/service/dga/7"]
    assert (tmp_path / "maas/ext/instances/dga/7").read_bytes() == b'{"hedge":false}'
    owner.kill()
    eventually(lambda: heard == ["7"])
    assert registry.instances() == ()
    assert registrations(tmp_path) == []
    eventually(lambda: not (tmp_path / "maas/ext/instances/dga/7").exists())
    registry.close()


def test_the_layout_is_that_of_zookeeper(tmp_path, make_instance):
    with FileRegistry(tmp_path) as registry:
        instance = make_instance("dga", "1.0", "7", "http://h:1")
        registry.register(instance)
        FileQueue(tmp_path).enqueue(ModelRequest(name="dga"))
        assert (tmp_path / "maas/service/dga/7").read_bytes() == instance.to_json()
        assert not (tmp_path / "maas/ext").exists()  # without settings
        assert (tmp_path / "maas/queue/qn-0000000000").read_bytes() == ModelRequest(name="dga").to_json()
    assert registrations(tmp_path) == []
    assert (tmp_path / "maas/service/dga").is_dir()


def test_the_configuration_sets_the_paths(tmp_path, make_instance):
    config = tmp_path / "metron/maas/config"
    config.parent.mkdir(parents=True)
    config.write_bytes(MaaSConfig(service_root="/s/r", queue_config={"zk_path": "/q"}).to_json())
    with FileRegistry(tmp_path) as registry:
        registry.register(make_instance("dga", "1.0", "7", "http://h:1"), {"hedge": False})
        assert (tmp_path / "s/r-ext/instances/dga/7").exists()
        FileQueue(tmp_path).enqueue(ModelRequest())
        assert (tmp_path / "s/r/dga/7").exists()
        assert (tmp_path / "q/qn-0000000000").exists()


def test_an_invalid_configuration_is_named_in_the_error(tmp_path):
    (tmp_path / "other").write_text("{")
    with pytest.raises(ValueError, match=r"/other: Expecting property name"):
        FileRegistry(tmp_path, config_path="/other")
    with pytest.raises(ValueError, match=r"invalid path '/\.\./other'"):
        read_config(tmp_path, "/../other")


def lasting(tmp_path, id, data):
    file = tmp_path / "maas/service/dga" / id
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_an_invalid_registration_is_ignored_with_one_warning(tmp_path, make_instance, caplog):
    good = make_instance("dga", "1.0", "1", "http://h", lasting=True)
    lasting(tmp_path, "1", good.to_json())
    registry = FileRegistry(tmp_path)
    lasting(tmp_path, "2", b"not json")
    lasting(tmp_path, "3", b"")
    lasting(tmp_path, "4", json.dumps({"name": "dga"}).encode())
    (tmp_path / "maas/service/stray").write_text("a file where a model's directory should be")
    (tmp_path / "maas/service/dga/directory").mkdir()
    os.mkfifo(tmp_path / "maas/service/dga/pipe")
    for _ in range(3):
        assert registry.instances() == (good,)
    assert len(caplog.records) == 3
    assert re.search("invalid registration .*/dga/2 is ignored: Expecting value", caplog.text)


def test_a_replaced_file_is_read_again(tmp_path, make_instance):
    registry = FileRegistry(tmp_path)
    for port in (1, 2):
        draft = lasting(tmp_path, "draft", make_instance("dga", "1.0", "1", f"http://h:{port}", lasting=True).to_json())
        draft.rename(tmp_path / "maas/service/dga/1")
        assert [instance.url for instance in registry.instances()] == [f"http://h:{port}"]


def test_the_last_view_stays_while_the_directory_is_unreadable(tmp_path, make_instance, monkeypatch, caplog):
    good = make_instance("dga", "1.0", "1", "http://h", lasting=True)
    lasting(tmp_path, "1", good.to_json())
    registry = FileRegistry(tmp_path)

    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("stellar.maas.registries.file_tree.os.scandir", fail)
    for _ in range(3):
        assert registry.instances() == (good,)
    assert [record.getMessage() for record in caplog.records] == [
        "can't read the model registry: [Errno 5] Input/output error"
    ]
    monkeypatch.undo()
    (tmp_path / "maas/service/dga/1").unlink()
    assert registry.instances() == ()


def test_without_write_permission_registrations_of_dead_owners_are_ignored(tmp_path, make_instance, monkeypatch):
    lasting(tmp_path, "1", make_instance("dga", "1.0", "1", "http://h").to_json())  # not locked

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stellar.maas.registries.registration_files.os.unlink", refuse)
    assert FileRegistry(tmp_path).instances() == ()
    assert registrations(tmp_path) == ["maas/service/dga/1"]


def test_a_registration_replaced_during_a_read_is_not_removed(tmp_path, make_instance, monkeypatch):
    with FileRegistry(tmp_path) as owner:
        owner.register(make_instance("dga", "1.0", "1", "http://h:1"))
        looker = FileRegistry(tmp_path)

        def meanwhile(handle):
            monkeypatch.setattr("stellar.maas.registries.registration_files.is_locked", is_locked)
            owner.register(make_instance("dga", "1.0", "1", "http://h:2"))
            return is_locked(handle)

        monkeypatch.setattr("stellar.maas.registries.registration_files.is_locked", meanwhile)
        assert [instance.url for instance in looker.instances()] == ["http://h:2"]


def test_reading_a_registry_writes_nothing(tmp_path, caplog):
    directory = tmp_path / "not there"
    with caplog.at_level(logging.WARNING):
        assert FileRegistry(directory).instances() == ()
        assert FileQueue(directory).take(0) is None
    assert not directory.exists()
    assert caplog.records == []


def test_no_draft_remains(tmp_path, make_instance, monkeypatch):
    with FileRegistry(tmp_path) as registry:
        registry.register(make_instance("dga", "1.0", "1", "http://h"))
        monkeypatch.setattr("stellar.maas.registries.file_registrar.Path.replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            registry.register(make_instance("dga", "1.0", "2", "http://h"))
    assert list((tmp_path / ".aside").iterdir()) == []


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b"\xff"])
def test_invalid_settings_are_ignored_with_one_warning(rubbish, tmp_path, make_instance, caplog):
    with FileRegistry(tmp_path) as owner:
        settings = tmp_path / "maas/ext/instances/dga/1"
        settings.parent.mkdir(parents=True)
        owner.register(make_instance("dga", "1.0", "1", "http://h"), {"hedge": False})
        settings.write_bytes(rubbish)
        with FileRegistry(tmp_path) as reader:
            for _ in range(3):
                assert len(reader.instances()) == 1
            assert reader.version("dga", "1.0").settings == {}
    assert [record.getMessage().partition(" is ignored: ")[0] for record in caplog.records] == [str(settings)]


@pytest.mark.parametrize("denied", ["maas/ext/instances/dga/1", "maas/ext/traffic/dga", "maas/ext/wanted/dga/1.0"])
def test_an_unreadable_extension_file_is_ignored_with_one_warning(denied, tmp_path, make_instance, monkeypatch, caplog):
    def refuse(file, *arguments, **options):
        if str(file).endswith(denied):
            raise PermissionError(13, "Permission denied")
        return open(file, *arguments, **options)

    def read(file):
        with refuse(file, "rb") as handle:
            return handle.read()

    with FileRegistry(tmp_path) as owner:
        owner.register(make_instance("dga", "1.0", "1", "http://h"), {"hedge": False})
        for path, content in (("traffic/dga", b'{"weights": {"1.0": 1}}'), ("wanted/dga/1.0", b'{"instances": 1}')):
            write_atomically(tmp_path, tmp_path / "maas/ext" / path, content).close()
        monkeypatch.setattr("stellar.maas.registries.file_tree.open", refuse, raising=False)
        monkeypatch.setattr("stellar.maas.registries.registration_files.Path.read_bytes", read)
        with FileRegistry(tmp_path) as reader:
            for _ in range(3):
                assert len(reader.instances()) == 1
            known = reader.version("dga", "1.0").settings, reader.traffic("dga"), reader._desired
    assert [bool(each) for each in known] == [name not in denied for name in ("instances", "traffic", "wanted")]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert denied in warning


def test_unchanged_files_are_not_read_again(tmp_path, make_instance):
    with FileRegistry(tmp_path) as owner, FileRegistry(tmp_path) as reader:
        for id in ("1", "2"):
            owner.register(make_instance("dga", "1.0", id, "http://h", lasting=id == "2"))
        before = reader.instances()
        assert len(before) == 2
        assert all(again is known for again, known in zip(reader.instances(), before, strict=True))


# --- age of the view


class Scans:
    """Counts the scans of a registry by thread; scans wait until `gate` is set."""

    def __init__(self, registry, monkeypatch):
        self.threads = []
        self.gate = threading.Event()
        self.gate.set()
        self._read = registry._registration_files.read
        monkeypatch.setattr(registry._registration_files, "read", self)

    def __call__(self, *resolve_path):
        self.threads.append(threading.current_thread().name)
        assert self.gate.wait(60)
        return self._read(*resolve_path)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def other(tmp_path):
    """Another registry of the same directory, for writing."""
    with FileRegistry(tmp_path) as other:
        yield other


@pytest.fixture
def unwatched(monkeypatch):
    """A user who may not watch any more directories."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("stellar.maas.registries.directory.DirectoryWatch", fail)


@pytest.fixture
def view(tmp_path, clock, unwatched, monkeypatch):
    """A registry with a fake clock and without background refresh."""
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 600.0)
    with FileRegistry(tmp_path, clock=clock) as view:
        yield view


def found(view):
    try:
        return view.endpoint("dga").url
    except ModelNotFound:
        return None


def test_after_a_pause_one_caller_reads_and_the_others_wait(view, other, clock, make_instance, monkeypatch):
    assert found(view) is None
    other.register(make_instance("dga", "1.0", "7", "http://h:7"))
    assert found(view) is None
    scans = Scans(view, monkeypatch)
    clock.now += 1.5
    barrier = threading.Barrier(4)

    def call(_):
        barrier.wait(60)
        return found(view)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(4))) == ["http://h:7"] * 4
    assert len(scans.threads) == 1


READS = {
    "version": lambda view: view.version("dga", "1.0") is not None,
    "changes": lambda view: view.changes > 0,
    "traffic": lambda view: view.traffic("dga") is not None,
    "is_desired": lambda view: view.is_desired("dga"),
}


@pytest.mark.parametrize("name", READS)
def test_the_view_is_never_older_than_a_second(name, view, other, clock, make_instance, tmp_path):
    assert not READS[name](view)
    write_atomically(tmp_path, tmp_path / "maas/ext/traffic/dga", b'{"weights": {"1.0": 1}}').close()
    write_atomically(tmp_path, tmp_path / "maas/ext/wanted/dga/1.0", b'{"instances": 1}').close()
    other.register(make_instance("dga", "1.0", "7", "http://h:7"))
    clock.now += 1.5
    assert READS[name](view)


def test_a_registry_in_use_is_read_in_the_background(
    tmp_path, other, clock, unwatched, make_instance, monkeypatch, eventually
):
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 0.01)
    with FileRegistry(tmp_path, clock=clock) as view:
        scans = Scans(view, monkeypatch)
        assert found(view) is None
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        assert eventually(lambda: found(view), 30.0) == "http://h:7"
        assert {*scans.threads} == {"model registry"}


def test_no_caller_waits_for_the_background_refresh(
    tmp_path, other, clock, unwatched, make_instance, monkeypatch, eventually
):
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 0.01)
    with FileRegistry(tmp_path, clock=clock) as view:
        scans = Scans(view, monkeypatch)
        scans.gate.clear()
        assert found(view) is None
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        eventually(lambda: scans.threads, 30.0)
        assert found(view) is None  # still reading
        scans.gate.set()
        assert eventually(lambda: found(view), 30.0) == "http://h:7"


def test_the_background_refresh_stops_when_idle_and_starts_again(tmp_path, clock, unwatched, monkeypatch, eventually):
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 0.01)
    with FileRegistry(tmp_path, clock=clock) as view:
        assert view._follower is None
        view.changes  # noqa: B018
        thread = view._follower
        clock.now += 2.5
        eventually(lambda: not thread.is_alive(), 30.0)
        view.changes  # noqa: B018
        assert view._follower.is_alive()


def test_own_changes_are_visible_at_once_without_a_full_scan(view, make_instance, monkeypatch, tmp_path):
    view.register(make_instance("other", "1.0", "1", "http://h:1"))
    read = []
    monkeypatch.setattr(view, "_read_all", lambda: read.append("all"))
    write_atomically(tmp_path, tmp_path / "maas/ext/wanted/dga/1.0", b'{"instances": 1}').close()
    view.register(make_instance("dga", "1.0", "7", "http://h:7"), {"hedge": False})
    assert view.endpoint("dga").url == "http://h:7"
    assert view.is_desired("dga", "1.0")
    write_atomically(tmp_path, tmp_path / "maas/ext/wanted/dga/1.0", b'{"instances": 0}').close()
    view.unregister("dga", "7")
    assert found(view) is None
    assert not view.is_desired("dga", "1.0")
    assert view.endpoint("other").url == "http://h:1"
    assert read == []


def test_a_failed_registration_leaves_no_settings(tmp_path, make_instance):
    (tmp_path / "maas").mkdir()
    (tmp_path / "maas/service").write_text("in the way")
    with FileRegistry(tmp_path) as registry, pytest.raises(OSError, match="service"):
        registry.register(make_instance("dga", "1.0", "7", "http://h:7"), {"hedge": False})
    assert not (tmp_path / "maas/ext/instances/dga/7").exists()
    assert registry._own._locked == set()
