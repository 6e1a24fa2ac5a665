"""Control groups: of cgroup v2 in a directory with its layout, of cgroup v1 in the real one of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.deployers import Deployment
from maas_runtime.runner import memory_limit as memory
from maas_runtime.runner.limits import Limits
from maas_runtime.runner.memory_limit import MemoryHierarchyGroup, create_control_group, end_control_group, prepare
from stellar.maas import Model

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
    return mount, own, mount / "mountinfo"


def test_prepare_moves_the_service_into_its_own_group(system):
    mount, own, ours = system
    assert prepare(mount, own)
    assert (ours / "service/cgroup.procs").read_text() == "0"
    assert (ours / "cgroup.subtree_control").read_text() == "+memory"


def test_prepare_is_idempotent(system):
    mount, own, _ = within(system)
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


def test_without_a_limit_a_group_ends_the_processes_only(system):
    group = create_control_group("7", 0, *within(system))
    folder = system[2] / "model-7"
    assert not group.is_limited
    assert (folder / "memory.max").read_text() == ""
    (folder / "memory.events").write_text("oom_kill 2\n")
    assert not group.was_killed()
    group.end()
    assert not folder.exists()


def test_without_the_memory_controller_only_a_group_without_a_limit_is_made(system, caplog):
    paths = within(system)
    (system[2] / "cgroup.subtree_control").write_text("pids")
    assert create_control_group("7", 512, *paths) is None
    assert "no control group, memory is sampled" in caplog.text
    assert create_control_group("7", 0, *paths) is not None


@pytest.mark.parametrize("said", ["", "4:memory:/x\n", "0::/nowhere\n"])
def test_without_control_groups_memory_is_sampled(said, system):
    mount, own, _ = system
    own.write_text(said)
    assert not prepare(mount, own)
    assert create_control_group("7", 512, mount, own, mount / "mountinfo") is None
    assert create_control_group("7", 0, mount, own, mount / "mountinfo") is None


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


# --- cgroup v1

MOUNT_LINES = """\
31 23 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
34 31 0:31 / {mount}/cpu rw - cgroup cgroup rw,cpu
35 31 0:32 {root} {mount}/memory rw,relatime shared:7 - cgroup cgroup rw,memory
"""


@pytest.mark.parametrize(
    ("root", "path", "folder"),
    [
        ("/", "/maas", "memory/maas"),
        ("/", "/", "memory"),
        ("/docker/7", "/docker/7", "memory"),
        ("/docker/7", "/docker/7/maas", "memory/maas"),
        ("/docker/7", "/other", "memory"),
    ],
)
def test_the_group_of_this_process_is_found_in_a_container_too(root, path, folder, tmp_path):
    own, mounts = tmp_path / "own", tmp_path / "mountinfo"
    own.write_text(f"9:name=systemd:/x\n4:memory,pids:{path}\n0::/\n")
    mounts.write_text(MOUNT_LINES.format(mount=tmp_path, root=root))
    assert memory._own_memory_group(own, mounts) is None
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "memory.limit_in_bytes").touch()
    assert memory._own_memory_group(own, mounts) == tmp_path / folder


@pytest.fixture
def hierarchy():
    """Return this process's group of the memory controller of cgroup v1."""
    group = memory._own_memory_group(memory.OWN, memory.MOUNTS)
    if group is None or not os.access(group, os.W_OK):
        pytest.skip("needs cgroup v1 with a group in which others can be made")
    return group


# Acts as a runner whose process is not the test's: it starts a script in a group, and prints whether it was killed
RUNNER = """
import pathlib, sys, time
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.memory_limit import create_control_group
from maas_runtime.runner.processes import ModelProcesses
folder, megabytes = pathlib.Path(sys.argv[1]), int(sys.argv[2])
group = create_control_group("test-" + folder.name, megabytes)
files = folder / "stdout", folder / "stderr"
with ModelProcesses(folder / "run.sh", folder, {}, *files, LogLimits(), memory=group) as processes:
    print(type(group).__name__, flush=True)
    while not (folder / "end").exists() and not processes.was_killed_for_memory():
        time.sleep(0.02)
    print(processes.was_killed_for_memory(), flush=True)
"""

# Starts a process that leaves its session and its parent, as a daemon does
DAEMON = f"""#!/bin/sh
{sys.executable} -S -c '
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("daemon", "w").write(str(os.getpid()) + " ")
        time.sleep(60)
    os._exit(0)
os.wait()
time.sleep(60)'
"""


@pytest.fixture
def run(tmp_path, hierarchy):
    started = []

    def run(script, megabytes):
        (tmp_path / "run.sh").write_text(script)
        command = [sys.executable, "-c", RUNNER, str(tmp_path), str(megabytes)]
        folder = Path(maas_runtime.__file__).parents[1]
        started.append(subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == f"{MemoryHierarchyGroup.__name__}\n"
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
    end_control_group(f"test-{tmp_path.name}")


def folder_of(hierarchy, tmp_path):
    return hierarchy / f"model-test-{tmp_path.name}"


def test_a_model_above_its_limit_is_killed_by_the_kernel(run, hierarchy, tmp_path):
    script = f"#!/bin/sh\n{sys.executable} -S -c \"import time; data = b'1' * 200_000_000; time.sleep(60)\"\nsleep 60\n"
    runner = run(script, 64)
    assert runner.stdout.readline() == "True\n"
    assert runner.wait(60) == 0
    assert not folder_of(hierarchy, tmp_path).exists()


def test_a_model_within_its_limit_is_not_killed(run, hierarchy, tmp_path):
    runner = run("#!/bin/sh\nsleep 60\n", 64)
    folder = folder_of(hierarchy, tmp_path)
    assert (folder / "memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
    (tmp_path / "end").touch()
    assert runner.stdout.readline() == "False\n"
    assert runner.wait(60) == 0


@pytest.mark.parametrize("megabytes", [0, 64])
def test_a_process_that_left_its_session_ends_with_the_model(megabytes, run, hierarchy, tmp_path, eventually, is_alive):
    runner = run(DAEMON, megabytes)
    daemon = int(eventually(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text().strip()))
    (tmp_path / "end").touch()
    assert runner.wait(60) == 0
    eventually(lambda: not is_alive(daemon))
    assert not folder_of(hierarchy, tmp_path).exists()


def test_the_group_of_a_killed_runner_can_be_ended(run, hierarchy, tmp_path, eventually, is_alive):
    runner = run(DAEMON, 0)
    daemon = int(eventually(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text().strip()))
    runner.kill()
    runner.wait()
    assert is_alive(daemon)
    end_control_group(f"test-{tmp_path.name}")
    eventually(lambda: not is_alive(daemon))
    assert not folder_of(hierarchy, tmp_path).exists()
    end_control_group(f"test-{tmp_path.name}")  # idempotent


def test_the_kernel_limits_the_memory_of_a_deployed_model(
    hierarchy, make_local_deployer, store, collateral, state_store, registry_dir, eventually
):
    hungry = f"{sys.executable} -S -c \"import time; much = b'1' * 150_000_000; time.sleep(60)\""
    store.upload(collateral(f"#!/bin/sh\nwhile ! test -e ../go; do sleep 0.05; done\n{hungry}\n"), "/dga")
    deployer = make_local_deployer(Limits(drain=0.0, end=1.0))
    deployer.scale(Deployment(Model("dga", "1.0"), "/dga", memory=100), 1)
    (folder,) = (file.parent for file in eventually(lambda: [*(registry_dir / "containers").glob("[!.f]*/lock")]))
    eventually((hierarchy / f"model-{folder.name}").is_dir)
    (folder / "go").touch()
    eventually(lambda: deployer.running(Model("dga", "1.0")) == 0)
    assert "it exceeded its memory limit of 100 MB" in state_store.read("failures/dga/1.0")["last"]
    assert not (hierarchy / f"model-{folder.name}").exists()


def test_an_old_empty_group_is_removed_and_others_stay(run, hierarchy, tmp_path, monkeypatch):
    run("#!/bin/sh\nsleep 60\n", 0)
    in_use, abandoned = folder_of(hierarchy, tmp_path), hierarchy / f"model-test-{tmp_path.name}-abandoned"
    monkeypatch.setattr(memory, "PREFIX", in_use.name)  # never the groups of other tests
    abandoned.mkdir()
    memory._remove_abandoned(hierarchy)
    assert abandoned.exists()  # it may be entered soon
    later = memory.time() + 61
    monkeypatch.setattr(memory, "time", lambda: later)
    memory._remove_abandoned(hierarchy)
    assert not abandoned.exists()
    assert in_use.exists()
