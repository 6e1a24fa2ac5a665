"""Following a registry directory by the changes that the kernel reports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import stellar
from stellar.maas import FileRegistry
from stellar.maas.registries.directory_watch import DirectoryWatch, WatchEnded
from stellar.maas.registries.file_registrar import FileRegistrar, write_atomically
from stellar.maas.registries.file_tree import FileTree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel reports changes on Linux only")

PACKAGES = Path(stellar.__file__).parents[1]


def read_text(file, data):
    return data.decode()


class Follower:
    """Two trees below a directory, read by their changes."""

    def __init__(self, base):
        self.base = base
        self.trees = self.make_trees()
        self.watch = DirectoryWatch(base, {tree.root: tree.depth for tree in self.trees})
        for tree in self.trees:
            tree.update([()])

    def make_trees(self):
        return FileTree(self.base / "a/service", 2, read_text), FileTree(self.base / "a/ext/traffic", 1, read_text)

    def read(self):
        changes = self.watch.read()
        for tree in self.trees:
            tree.update(changes.paths[tree.root])
        return [tree.values for tree in self.trees]

    def scan(self):
        return [dict(tree.read()) for tree in self.make_trees()]


FOLDERS = ["a", "a/service", "a/service/m", "a/service/n", "a/ext", "a/ext/traffic", "elsewhere"]
FILES = [f"{folder}/{name}" for folder in FOLDERS for name in ("x", "y")]
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(FILES), st.sampled_from(["1", "22"])),
    st.tuples(st.just("make"), st.sampled_from(FOLDERS)),
    st.tuples(st.just("remove"), st.sampled_from(FOLDERS + FILES)),
    st.tuples(st.just("move"), st.sampled_from(FOLDERS + FILES), st.sampled_from(FOLDERS + FILES)),
    st.tuples(st.just("read")),
)


def take_step(base, kind, *arguments):
    """Change the directory as a step says, if it is possible."""
    paths = [base / argument for argument in arguments[:2]]
    try:
        if kind == "write":
            write_atomically(base, paths[0], arguments[1].encode()).close()
        elif kind == "make":
            paths[0].mkdir(parents=True)
        elif kind == "remove":
            shutil.rmtree(paths[0]) if paths[0].is_dir() else paths[0].unlink()
        elif kind == "move":
            paths[0].rename(paths[1])
    except OSError:
        pass


@given(steps=st.lists(STEPS, max_size=25))
@example(steps=[("write", "a/service/m/y", "1"), ("read",), ("move", "a/service", "a/service/m/x"), ("read",)])
@example(steps=[("write", "a/service/m/y", "1"), ("make", "elsewhere"), ("read",), ("move", "elsewhere", FILES[4])])
def test_changed_files_are_those_that_a_scan_finds(steps, tmp_path_factory):
    follower = Follower(tmp_path_factory.mktemp("base"))
    for step in steps:
        if step == ("read",):
            assert follower.read() == follower.scan()
        take_step(follower.base, *step)
    assert follower.read() == follower.scan()
    follower.watch.close()


def test_a_pipe_in_the_place_of_a_file_is_ignored(tmp_path):
    follower = Follower(tmp_path)
    (tmp_path / "a/service/m").mkdir(parents=True)
    follower.read()
    os.mkfifo(tmp_path / "a/service/m/x")
    assert follower.read() == follower.scan() == [{}, {}]
    follower.watch.close()


def test_lost_changes_lead_to_a_scan(tmp_path):
    follower = Follower(tmp_path)
    model = tmp_path / "a/service/m"
    model.mkdir(parents=True)
    follower.read()
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 1):
        (model / f"x{number % 2}").rename(model / f"x{1 - number % 2}") if number else (model / "x1").touch()
    (model / "last").write_text("1")
    assert follower.read() == follower.scan()
    assert ("m", "last") in follower.trees[0].values
    follower.watch.close()


def test_a_watch_ends_with_its_directory(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    watch = DirectoryWatch(base, {base / "service": 2})
    base.rename(tmp_path / "moved")
    with pytest.raises(WatchEnded, match="base was moved or removed"):
        watch.read()
    watch.close()


@pytest.fixture
def unpolled(monkeypatch):
    """Registries that notice nothing by looking at all files."""
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 600.0)
    monkeypatch.setattr("stellar.maas.registries.directory.STALE_SECONDS", 600.0)


@pytest.fixture
def followed(tmp_path, unpolled, eventually):
    """A registry that follows its directory, with a listener that appends to `seen`."""
    with FileRegistry(tmp_path) as registry:
        registry.seen = []
        registry.listen(lambda added, removed: registry.seen.append((len(added), len(removed))))
        eventually(lambda: registry._watch is not None)
        yield registry


def test_a_change_by_another_process_is_seen_without_a_scan(followed, tmp_path, make_instance, monkeypatch, eventually):
    monkeypatch.setattr(followed, "_read_all", lambda: pytest.fail("scanned"))
    with FileRegistrar(tmp_path) as other:
        other.register(make_instance("dga", "1.0", "7", "http://h:7"), {"hedge": False})
        eventually(lambda: followed.seen == [(1, 0)])
        assert followed.version("dga", "1.0").settings == {"http://h:7": {"hedge": False}}
        other.unregister("dga", "7")
        eventually(lambda: followed.seen == [(1, 0), (0, 1)])
    write_atomically(tmp_path, tmp_path / "maas/ext/traffic/dga", b'{"weights": {"1.0": 1}}').close()
    eventually(lambda: followed.traffic("dga"))


OWNERS = """
import sys, time
from stellar.maas import ServiceInstance
from stellar.maas.registries.file_registrar import FileRegistrar
from stellar.maas.schema import Endpoint, Model
registrar = FileRegistrar(sys.argv[1])
for id in sys.argv[2:]:
    registrar.register(ServiceInstance.of(Model("dga", "1.0"), id, Endpoint(url="http://h:" + id)))
print("registered", flush=True)
time.sleep(600)
"""


def start_owner(folder, *ids):
    """Start a process that registers instances."""
    process = subprocess.Popen([sys.executable, "-c", OWNERS, folder, *ids], stdout=subprocess.PIPE, cwd=PACKAGES)
    assert process.stdout.readline() == b"registered\n"
    return process


def test_the_death_of_an_owner_is_seen_without_a_scan(followed, tmp_path, monkeypatch, eventually):
    monkeypatch.setattr(followed, "_read_all", lambda: pytest.fail("scanned"))
    for _ in range(10):  # the kernel reports it just before it releases the locks
        with start_owner(tmp_path, "1", "2", "3") as owner:
            eventually(lambda: len(followed.instances()) == 3)
            owner.send_signal(signal.SIGKILL)
            eventually(lambda: not followed._snapshot.instances(None, None))
            owner.stdout.close()
    assert list((tmp_path / "maas/service/dga").iterdir()) == []


def test_an_ended_process_is_not_listed_by_a_registry_that_follows(followed, tmp_path):
    with start_owner(tmp_path, "1") as owner:
        assert len(followed.instances()) == 1
        owner.kill()
        owner.wait()
        owner.stdout.close()
        assert followed.instances() == ()


class Reads:
    """Counts the files that a tree looks at."""

    def __init__(self, tree, monkeypatch):
        self.count = 0
        self._read = tree._read
        monkeypatch.setattr(tree, "_read", self)

    def __call__(self, names, file):
        self.count += 1
        return self._read(names, file)


def test_a_change_costs_the_same_among_a_thousand_instances(followed, tmp_path, make_instance, monkeypatch, eventually):
    with FileRegistrar(tmp_path) as other, start_owner(tmp_path, "9999") as owner:
        for model in range(200):
            for id in range(5):
                other.register(make_instance(f"m{model}", "1.0", str(id), f"http://h:{model * 5 + id + 1}"))
        eventually(lambda: len(followed._snapshot.instances(None, None)) == 1001)
        eventually(lambda: not followed._checks)
        reads = [Reads(tree, monkeypatch) for tree in followed._trees]
        owner.kill()
        owner.stdout.close()
        eventually(lambda: len(followed._snapshot.instances(None, None)) == 1000)
        eventually(lambda: not followed._checks)
        assert sum(each.count for each in reads) <= 10


def test_an_idle_registry_reads_nothing(followed, tmp_path, make_instance, eventually):
    with FileRegistrar(tmp_path) as other:
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        eventually(lambda: followed.seen)
        before = followed._reads
        time.sleep(0.6)
        assert followed._reads <= before + 1  # the read of the change itself may have been counted after it


def test_a_registry_directory_is_followed_once_it_exists(tmp_path, make_instance, monkeypatch, eventually):
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 0.01)
    with FileRegistry(tmp_path / "later") as registry, FileRegistrar(tmp_path / "later") as other:
        registry.listen(lambda *_: None)
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        eventually(lambda: registry._watch is not None)
        assert len(registry.instances()) == 1


def test_a_replaced_registry_directory_is_followed(followed, tmp_path, make_instance, monkeypatch, eventually):
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 0.01)
    before = followed._watch
    base = followed.directory
    base.rename(base.with_name(base.name + "-moved"))
    base.mkdir()
    with FileRegistrar(base) as other:
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        eventually(lambda: followed.seen == [(1, 0)])
        eventually(lambda: followed._watch not in (None, before))


def test_closing_ends_the_follower(tmp_path, eventually):
    registry = FileRegistry(tmp_path)
    registry.listen(lambda *_: None)
    eventually(lambda: registry._watch is not None)
    follower, open_files = registry._follower, len(os.listdir("/proc/self/fd"))
    registry.close()
    assert not follower.is_alive()
    assert len(os.listdir("/proc/self/fd")) < open_files


def test_a_listener_that_arrives_as_the_follower_stops_is_called(tmp_path, make_instance, monkeypatch, eventually):
    with FileRegistry(tmp_path) as registry, FileRegistrar(tmp_path) as other:
        seen = threading.Event()
        is_idle = registry._is_idle

        def stop_once():
            monkeypatch.setattr(registry, "_is_idle", is_idle)
            registry.listen(lambda *_: seen.set())  # the thread still runs, and will end
            return True

        monkeypatch.setattr(registry, "_is_idle", stop_once)
        registry.changes  # noqa: B018
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        assert seen.wait(60)


def test_a_registry_can_be_closed_at_any_moment(tmp_path):
    for number in range(200):
        registry = FileRegistry(tmp_path)
        registry.listen(lambda *_: None)
        time.sleep(number % 10 / 5000)  # the follower begins meanwhile
        registry.close()
        assert registry._watch is None
