"""Registries and queues in the child of a fork, which must not use or end the parent's resources."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from forked import Child, call_in_child, call_in_thread, hold_locks

import stellar
from stellar.maas import FileQueue, FileRegistry, MemoryQueue, MemoryRegistry, ModelNotFound, ModelRequest

PACKAGES = Path(stellar.__file__).parents[1]


def ids(instances):
    return [instance.id for instance in instances]


@pytest.fixture(params=["memory", "files"])
def registry(request, tmp_path):
    with MemoryRegistry() if request.param == "memory" else FileRegistry(tmp_path) as registry:
        yield registry


def use(_, registry, instance):
    """Use all methods of a registry; return the instances before, and the notified changes."""
    heard = []
    registry.listen(lambda added, removed: heard.extend(ids(added)))
    before = ids(registry.instances())
    registry.register(instance, {"hedge": False})
    found = registry.endpoint("dga", "2.0").url, registry.version("dga", "2.0").urls, registry.is_desired("dga")
    registry.unregister("dga", instance.id)
    registry.close()
    return before, heard, found


@pytest.mark.parametrize("run", [lambda function: function(), call_in_thread], ids=["main thread", "other thread"])
def test_a_child_does_not_wait_for_locks_that_the_parents_threads_hold(run, registry, make_instance):
    registry.register(make_instance("dga", "1.0", "7", "http://h:7"))
    instance = make_instance("dga", "2.0", "8", "http://h:8")
    locks = [getattr(registry, name) for name in ("_reading", "_publishing", "_notifying", "_starting")
             if hasattr(registry, name)]  # fmt: skip
    with hold_locks(*locks):
        before, heard, found = run(lambda: call_in_child(use, registry, instance))
    assert (before, heard) == (["7"], ["8"])
    assert found == ("http://h:8", ("http://h:8",), True)
    assert ids(registry.instances()) == ["7"]


def test_a_queue_in_memory_is_copied_without_its_lock(request):
    queue = MemoryQueue()
    queue.put(b"1")
    with hold_locks(queue._changed):
        assert call_in_child(lambda _: (queue.take(0).data, queue.put(b"2"))) == (b"1", "qn-0000000001")
    assert queue.take(0).data == b"1"


def test_a_queue_of_files_is_shared(tmp_path):
    queue = FileQueue(tmp_path)
    queue.put(b"1")
    assert call_in_child(lambda _: (queue.take(0).data, queue.enqueue(ModelRequest()))) == (b"1", "qn-0000000001")
    assert queue.take(0).name == "qn-0000000001"


def test_a_lock_of_the_counter_that_a_child_inherits_does_not_outlive_its_use(tmp_path, monkeypatch):
    queue = FileQueue(tmp_path)
    children = []
    files = queue._files

    def fork_meanwhile():
        if not children:
            children.append(Child(lambda parent: parent.wait()))
        return files()

    monkeypatch.setattr(queue, "_files", fork_meanwhile)
    assert queue.put(b"1") == "qn-0000000000"
    assert call_in_thread(lambda: FileQueue(tmp_path).put(b"2")) == "qn-0000000001"
    children[0].go()
    children[0].result()


# --- files


@pytest.fixture
def clock():
    """A fake clock that never advances, so that the view does not become stale."""
    return lambda: 1000.0


def find_after(parent, registry):
    parent.wait()
    return registry.endpoint("dga").url


def test_the_first_use_in_a_child_reads_again(tmp_path, make_instance, clock, monkeypatch, eventually):
    monkeypatch.setattr("stellar.maas.registries.directory.REFRESH_SECONDS", 600.0)
    with FileRegistry(tmp_path, clock=clock) as registry, FileRegistry(tmp_path) as other:
        with pytest.raises(ModelNotFound):
            registry.endpoint("dga")
        child = Child(find_after, registry)
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        child.go()
        assert child.result() == "http://h:7"
        eventually(lambda: registry.instances())


def test_a_child_takes_no_changes_from_its_parent(tmp_path, make_instance, eventually):
    with FileRegistry(tmp_path) as registry, FileRegistry(tmp_path) as other:
        seen = []
        registry.listen(lambda added, removed: seen.append((len(added), len(removed))))
        eventually(lambda: registry._watch is not None)
        for id in ("7", "8"):
            child = Child(find_after, registry)
            other.register(make_instance("dga", "1.0", id, "http://h:7"))
            child.go()
            assert child.result() == "http://h:7"
        eventually(lambda: seen == [(1, 0), (1, 0)])


def test_a_child_notices_changes(tmp_path, make_instance, eventually):
    def follow(parent, registry):
        registry.version("dga", "1.0")
        parent.send("ready")
        eventually(lambda: registry.version("dga", "1.0"), 30.0)
        return threading.active_count() > 1

    with FileRegistry(tmp_path) as registry, FileRegistry(tmp_path) as other:
        registry.version("dga", "1.0")
        child = Child(follow, registry)
        assert child.receive() == "ready"
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        assert child.result()


def test_a_child_does_not_own_the_parents_registrations(tmp_path, make_instance):
    def leave(_, registry):
        registry.instances()
        registry.close()

    with FileRegistry(tmp_path) as registry, FileRegistry(tmp_path) as other:
        registry.register(make_instance("dga", "1.0", "7", "http://h:7"), {"hedge": False})
        call_in_child(leave, registry)
        assert ids(other.instances()) == ["7"]
        assert other.version("dga", "1.0").settings == {"http://h:7": {"hedge": False}}


def test_a_childs_registration_ends_with_the_child(tmp_path, make_instance):
    def register(parent, registry):
        registry.register(make_instance("dga", "1.0", "8", "http://h:8"), {"hedge": True})
        parent.send("registered")
        parent.wait()

    with FileRegistry(tmp_path) as registry:
        registry.register(make_instance("dga", "1.0", "7", "http://h:7"))
        child = Child(register, registry)
        assert child.receive() == "registered"
        assert ids(registry.instances()) == ["7", "8"]
        child.go()
        child.result()
        assert ids(registry.instances()) == ["7"]
        assert not (tmp_path / "maas/ext/instances/dga/8").exists()


def test_listeners_stay_registered_in_the_child(tmp_path, make_instance, eventually):
    heard = []

    def follow(parent, registry):
        registry.instances()
        parent.send("ready")
        eventually(lambda: heard, 30.0)
        return heard

    with FileRegistry(tmp_path) as registry, FileRegistry(tmp_path) as other:
        registry.listen(lambda added, removed: heard.append((os.getpid(), ids(added))))
        child = Child(follow, registry)
        assert child.receive() == "ready"
        other.register(make_instance("dga", "1.0", "7", "http://h:7"))
        (event,) = child.result()
        assert event[0] != os.getpid()
        assert event[1] == ["7"]


def test_a_closed_registry_can_be_closed_in_a_child(tmp_path):
    registry = FileRegistry(tmp_path)
    registry.close()
    assert call_in_child(lambda _: (registry.close(), registry.instances())) == (None, ())


PARENT = """
import os, sys, time
from stellar.maas import FileRegistry, ServiceInstance
from stellar.maas.schema import Endpoint, Model
registry = FileRegistry(sys.argv[1])
registry.register(ServiceInstance.of(Model("dga", "1.0"), "7", Endpoint(url="http://h:1")), {"hedge": False})
if not os.fork():
    print(os.getpid(), flush=True)
time.sleep(120)
"""


def test_a_registration_disappears_with_its_owner_despite_a_living_child(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stdout=subprocess.PIPE, cwd=PACKAGES) as process:
        child = int(process.stdout.readline())
        try:
            with FileRegistry(tmp_path) as registry:
                assert ids(registry.instances()) == ["7"]
                process.kill()
                process.wait()
                assert registry.instances() == ()
            assert os.path.exists(f"/proc/{child}")
            assert not (tmp_path / "maas/ext/instances/dga/7").exists()
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)
