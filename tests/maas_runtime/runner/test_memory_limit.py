"""Control groups, in a directory with the layout of /sys/fs/cgroup."""

from __future__ import annotations

import shutil

import pytest

from maas_runtime.runner import memory_limit as memory
from maas_runtime.runner.memory_limit import create_control_group, prepare

FILES = ("memory.max", "memory.swap.max", "memory.oom.group", "memory.current", "memory.events", "cgroup.procs")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Make a fake cgroup file system with a delegated group; new groups get their files, as in the real one."""
    mount, own = tmp_path / "mount", tmp_path / "own"
    ours = mount / "maas.service"
    ours.mkdir(parents=True)
    for name, text in (("cgroup.controllers", "cpu memory pids"), ("cgroup.subtree_control", ""), ("cgroup.procs", "")):
        (ours / name).write_text(text)
    own.write_text("12:cpu:/x\n0::/maas.service\n")
    make = memory.Path.mkdir

    def mkdir(path, *arguments, **options):
        make(path, *arguments, **options)
        for name in FILES:
            (path / name).write_text("")
        (path / "cgroup.controllers").write_text("memory")

    monkeypatch.setattr(memory.Path, "mkdir", mkdir)
    # In the real one, removing a group removes its files
    monkeypatch.setattr(memory.Path, "rmdir", lambda path: shutil.rmtree(path))
    return mount, own, ours


def within(system):
    """Move the service into its own group, and return the paths."""
    mount, own, ours = system
    own.write_text("0::/maas.service/service\n")
    (ours / "cgroup.subtree_control").write_text("memory")
    (ours / "service").mkdir()
    return mount, own


def test_prepare_moves_the_service_into_its_own_group(system):
    mount, own, ours = system
    assert prepare(mount, own)
    assert (ours / "service/cgroup.procs").read_text() == "0"
    assert (ours / "cgroup.subtree_control").read_text() == "+memory"


def test_prepare_is_idempotent(system):
    mount, own = within(system)
    assert prepare(mount, own)


def test_an_instance_gets_a_group_with_its_limit_that_is_killed_as_a_whole(system):
    group = create_control_group("7", 512, *within(system))
    folder = system[2] / "model-7"
    assert group is not None
    assert (folder / "memory.max").read_text() == str(512 << 20)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "memory.oom.group").read_text() == "1"
    with group.enter():
        assert (folder / "cgroup.procs").read_text() == "0"  # 0 is the writing process
    assert (system[2] / "service/cgroup.procs").read_text() == "0"  # and back
    (folder / "memory.current").write_text("1234\n")
    assert group.read_usage() == 1234
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\n")
    assert not group.was_killed()
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n")
    assert group.was_killed()
    group.end()
    assert not folder.exists()


def test_without_a_limit_there_is_no_group(system):
    assert create_control_group("7", 0, *within(system)) is None


@pytest.mark.parametrize("said", ["", "4:memory:/x\n", "0::/nowhere\n"])
def test_without_cgroup_v2_memory_is_sampled(said, system):
    mount, own, _ = system
    own.write_text(said)
    assert not prepare(mount, own)
    assert create_control_group("7", 512, mount, own) is None


def test_without_the_memory_controller_memory_is_sampled(system):
    mount, own, ours = system
    (ours / "cgroup.controllers").write_text("cpu pids")
    assert not prepare(mount, own)
    assert not (ours / "service").exists()


def test_a_group_that_is_not_delegated_is_left_unchanged(system, monkeypatch):
    mount, own, ours = system
    monkeypatch.setattr(memory, "_write", denied)
    assert not prepare(mount, own)
    assert not (ours / "service").exists()


def denied(file, text):
    raise PermissionError(13, "Permission denied", str(file))
