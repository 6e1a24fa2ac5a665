"""The metrics of this process, with the names that all clients of Prometheus give them."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import suppress

from stellar.monitoring.metrics import Metric, MetricSample
from stellar.util.version import VERSION

BUILD = Metric("stellar_build_info", "gauge", "Always 1; the labels have the versions.", ("version", "python"))
CPU = Metric("process_cpu_seconds_total", "counter", "User and system CPU time of the process.")
MEMORY = Metric("process_resident_memory_bytes", "gauge", "Resident memory of the process.")
FILES = Metric("process_open_fds", "gauge", "Open file descriptors of the process.")
MAX_FILES = Metric("process_max_fds", "gauge", "Maximum number of open file descriptors.")
START = Metric("process_start_time_seconds", "gauge", "Time at which the process was started, since the epoch.")
METRICS = (BUILD, CPU, MEMORY, FILES, MAX_FILES, START)

_LOADED = time.time()


def collect_process() -> Iterator[MetricSample]:
    """Yield the samples of this process; without Linux's /proc only those that all systems have."""
    yield BUILD.sample(1, VERSION, platform.python_version())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield CPU.sample(usage.ru_utime + usage.ru_stime)
    with suppress(OSError):
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        yield MEMORY.sample(pages * os.sysconf("SC_PAGE_SIZE"))
        yield FILES.sample(len(os.listdir("/proc/self/fd")))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield MAX_FILES.sample(float("inf") if limit == resource.RLIM_INFINITY else limit)
    yield START.sample(_find_start())


def _find_start() -> float:
    """Return the time at which this process was started; without /proc, that at which this module was loaded."""
    with suppress(OSError, StopIteration):
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/stat") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith("btime "))
        return booted + ticks / os.sysconf("SC_CLK_TCK")
    return _LOADED
