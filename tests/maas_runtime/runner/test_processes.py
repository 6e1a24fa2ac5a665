"""The processes of a model: logs, memory, termination."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.processes import ModelProcesses

NO_LIMITS = LogLimits()


@pytest.fixture
def start(tmp_path):
    """Start a script: `start("sleep 1")`."""

    def start(text, limits=NO_LIMITS):
        script = tmp_path / "run.sh"
        script.write_text(f"#!/bin/sh\n{text}\n")
        return ModelProcesses(script, tmp_path, {}, tmp_path / "stdout", tmp_path / "stderr", limits)

    return start


def read_logs(folder, name="stdout"):
    """Return the content of all log files, oldest first."""
    older = sorted(folder.glob(f"{name}.*"), key=lambda file: -int(file.suffix[1:]))
    return b"".join(file.read_bytes() for file in (*older, folder / name))


IDLE = """
import sys, threading, time
from maas_runtime.runner.processes import Signals
signals = Signals()
print("waiting", flush=True)
signals.wait(None)
print("stopping" if signals.stopping else "woken", flush=True)
threading.Timer(0.1, signals.wake).start()
signals.wait(None)
print("woken", flush=True)
signals.wake()
signals.wait(None)
print("woken before", flush=True)
"""


def test_a_wait_without_a_limit_ends_with_a_signal_or_a_wake_up():
    packages = Path(maas_runtime.__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.PIPE, cwd=packages, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        process.terminate()
        assert process.stdout.read() == "stopping\nwoken\nwoken before\n"


def test_a_full_log_is_rotated_at_the_end_of_a_line_without_loss(start, tmp_path, eventually):
    lines = b"".join(b"%06d\n" % number for number in range(1000))
    with start("seq -f %06g 0 999; touch done; sleep 30", LogLimits(2000, 10)):
        eventually(lambda: (tmp_path / "done").exists() and read_logs(tmp_path) == lines)
    files = sorted(tmp_path.glob("stdout*"))
    assert len(files) == 4
    assert all(file.stat().st_size <= 2000 and file.read_bytes().endswith(b"\n") for file in files)


def test_rotated_logs_are_limited_in_number(start, tmp_path, eventually):
    with start("seq -f %06g 0 999; touch done; sleep 30", LogLimits(700, 2)):
        eventually(lambda: (tmp_path / "done").exists() and read_logs(tmp_path).endswith(b"000999\n"))
    assert sorted(file.name for file in tmp_path.glob("stdout*")) == ["stdout", "stdout.1", "stdout.2"]
    assert len(read_logs(tmp_path)) <= 3 * 700


@pytest.mark.parametrize("kept", [0, 1])
def test_a_line_that_is_longer_than_a_file_is_cut(kept, start, tmp_path, eventually):
    with start("head -c 5000 /dev/zero | tr '\\0' x; touch done; sleep 30", LogLimits(1000, kept)) as processes:
        eventually(lambda: (tmp_path / "done").exists())
        processes.logs.settle(60)
    assert len(read_logs(tmp_path)) == 1000 * (1 + kept)


def test_two_hundred_megabytes_of_output_do_not_block_a_script_and_use_little_space(start, tmp_path, eventually):
    with start("head -c 200000000 /dev/zero; echo; echo last; touch done; sleep 30", LogLimits(10_000_000, 2)):
        eventually(lambda: (tmp_path / "done").exists())
        eventually(lambda: read_logs(tmp_path).endswith(b"last\n"))
    assert 10_000_000 < len(read_logs(tmp_path)) <= 30_000_000


def test_output_before_the_end_is_logged(start, tmp_path, eventually):
    with start("echo out; echo bad >&2; exit 3") as processes:
        eventually(lambda: processes.status == 3)
    assert (read_logs(tmp_path), read_logs(tmp_path, "stderr")) == (b"out\n", b"bad\n")


def test_a_full_disk_does_not_block_a_script(start, tmp_path, eventually, caplog):
    (tmp_path / "stdout").symlink_to("/dev/full")
    with start("head -c 3000000 /dev/zero; touch done; sleep 30"):
        eventually(lambda: (tmp_path / "done").exists())
    assert "output of the model is lost: [Errno 28]" in caplog.text


def test_the_memory_of_all_processes_is_added(start, eventually):
    allocate = f"{sys.executable} -S -c \"import time; data = b'1' * 40_000_000; time.sleep(60)\""
    with start(f"{allocate} &\n{allocate} &\nwait") as processes:
        eventually(lambda: processes.measure_memory() > 80_000_000)
        assert processes.measure_memory() < 300_000_000


SHARING = """
import os, time
data = b"1" * 60_000_000
for _ in range(4):
    if not os.fork():
        break
open(f"forked-{os.getpid()}", "w").close()
time.sleep(60)
"""


def test_shared_memory_can_be_counted_once(start, tmp_path, eventually):
    (tmp_path / "sharing.py").write_text(SHARING)
    with start(f"exec {sys.executable} -S sharing.py") as processes:
        eventually(lambda: len(list(tmp_path.glob("forked-*"))) == 5)
        assert processes.measure_memory() > 300_000_000
        assert 60_000_000 < processes.measure_unshared_memory() < 150_000_000


def test_leaving_the_context_kills_remaining_processes(start, tmp_path, eventually, is_alive):
    with pytest.raises(ZeroDivisionError), start("sleep 60 & echo $! > child; wait"):  # noqa: PT012
        eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
        raise ZeroDivisionError
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not is_alive(child))  # killed, but perhaps not reaped yet


# Acts as the runner
PARENT = """
import pathlib, signal, sys
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.processes import ModelProcesses
folder = pathlib.Path(sys.argv[1])
ModelProcesses(folder / "run.sh", folder, {}, folder / "stdout", folder / "stderr", LogLimits())
signal.pause()
"""


def test_killing_the_runner_kills_the_whole_group(tmp_path, eventually, is_alive):
    (tmp_path / "run.sh").write_text("#!/bin/sh\nsleep 60 & echo $! > child\nwait\n")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path], cwd=Path(maas_runtime.__file__).parents[1]
    ) as parent:
        child = int(eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip()))
        parent.kill()
    eventually(lambda: not is_alive(child))


# Acts as a runner that is a subreaper: it ends the processes of its script on request
RUNNER = """
import pathlib, sys
from maas_runtime.runner.logs import LogLimits
from maas_runtime.runner.processes import ModelProcesses, Signals, become_subreaper
folder, signals = pathlib.Path(sys.argv[1]), Signals()
files = folder / "stdout", folder / "stderr"
with ModelProcesses(folder / "run.sh", folder, {}, *files, LogLimits(), is_subreaper=become_subreaper()) as processes:
    while not signals.stopping:
        signals.wait(0.05)
        processes.reap()
        (folder / "memory").write_text(f"{processes.measure_memory()} ")
    processes.end(1.0, signals)
"""

# Leaves its session and its parent, as a daemon does, and ignores SIGTERM
DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        data = b"1" * 100_000_000
        open("daemon", "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
os.wait()
time.sleep(60)
"""


def test_processes_that_left_the_group_are_counted_and_ended_too(tmp_path, eventually, is_alive):
    (tmp_path / "daemon.py").write_text(DAEMON)
    (tmp_path / "run.sh").write_text(f"#!/bin/sh\nexec {sys.executable} -S daemon.py\n")
    packages = Path(maas_runtime.__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", RUNNER, tmp_path], cwd=packages) as runner:
        daemon = int(eventually(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text()))
        eventually(lambda: (tmp_path / "memory").read_text().endswith(" ") and read_usage(tmp_path) > 100_000_000)
        runner.terminate()
        assert runner.wait(10) == 0
    assert not is_alive(daemon)


def read_usage(folder):
    return int((folder / "memory").read_text() or 0)
