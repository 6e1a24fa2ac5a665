"""Interleaved measurement of CPU time, so that a change in machine speed affects all contestants."""

from __future__ import annotations

import gc
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Slice = Callable[[], object]

# Duration of a turn in seconds
TURN = 0.004

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ElsewhereSlice:
    """A slice that another process runs, which measures its CPU time itself.

    measure: runs the work several times and returns its CPU time in nanoseconds
    """

    measure: Callable[[int], int]
    times: int = 1

    def __call__(self) -> int:
        return self.measure(self.times)


def interleave(slices: Mapping[Key, Slice], share: float, least: int = 4) -> dict[Key, float]:
    """Return the minimum CPU time of each slice, in nanoseconds.

    share: total CPU time for each slice, in seconds, whether it is fast or slow
    least: minimum number of measurements of each slice

    The slice with the least total time runs next, so all slices are spread over the whole run. Fast slices are repeated
    until a turn is as long as that of slow ones: a processor is faster for short periods, which a short turn would fit
    into more easily than a long one.
    """
    with no_collection():
        repeats = {key: count_repeats(work) for key, work in slices.items()}
        turns = {key: repeat(work, repeats[key]) for key, work in slices.items()}
        fewest: dict[Key, float] = dict.fromkeys(slices, math.inf)
        spent = dict.fromkeys(slices, 0)
        runs = dict.fromkeys(slices, 0)
        while unfinished := [key for key in slices if spent[key] < share * 1e9 or runs[key] < least]:
            key = min(unfinished, key=spent.__getitem__)
            taken = cpu_of(turns[key])
            fewest[key] = min(fewest[key], taken / repeats[key])
            spent[key] += taken
            runs[key] += 1
    return fewest


def count_repeats(work: Slice) -> int:
    """Return how often a slice is repeated for a turn. The first run of a fast slice takes longer than others."""
    taken = cpu_of(work)
    if taken < TURN * 1e9:
        taken = min(taken, cpu_of(work), cpu_of(work))
    return max(1, round(TURN * 1e9 / max(taken, 1)))


def repeat(work: Slice, times: int) -> Slice:
    """Return a slice that runs another one several times."""
    if isinstance(work, ElsewhereSlice):
        return replace(work, times=work.times * times)

    def run() -> None:
        for _ in range(times):
            work()

    return run


def cpu_of(work: Slice) -> int:
    """Return the CPU time of one run in this thread, or in the process that runs it, in nanoseconds."""
    if isinstance(work, ElsewhereSlice):
        return work()
    begin = time.thread_time_ns()
    work()
    return time.thread_time_ns() - begin


@contextmanager
def no_collection() -> Iterator[None]:
    """Disable the cyclic garbage collector during a measurement, as timeit does."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def over(call: Callable[[Any], Any], inputs: Sequence[Any]) -> Slice:
    """Return a slice that calls a function with each input, in a plain loop."""

    def run() -> None:
        for given in inputs:
            call(given)

    return run


def over_next(call: Callable[[Any], Any], inputs: Sequence[Any], count: int) -> Slice:
    """Return a slice that calls a function with the next inputs, and starts over after the last."""
    following = cycle(inputs)

    def run() -> None:
        for given in islice(following, count):
            call(given)

    return run


class Process(NamedTuple):
    """The time of a whole process and those that it starts, in milliseconds: of all processors, and by the clock."""

    cpu: float
    wall: float


def script(module: str, *arguments: str, function: str = "main") -> list[str]:
    """Return the arguments with which Python runs a function of a module, as its installed script does."""
    return ["-c", f"import sys; from {module} import {function}; sys.exit({function}())", *arguments]


def process(arguments: Sequence[str], bytecode: str, cache: str | None = None) -> tuple[Process, str]:
    """Run this Python interpreter in the root of the checkout; return its time and its output.

    bytecode: a directory for compiled modules, which the first run fills, as those of an installed program are
    cache: a directory for the cache of commands, otherwise None
    """
    command = [sys.executable, *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    variables = {**environment(bytecode), "STELLAR_CACHE": cache or "off"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Process(cpu * 1e3, wall * 1e3), done.stdout


def environment(bytecode: str) -> dict[str, str]:
    """Return the environment of a process with a directory for compiled modules."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, "PYTHONPYCACHEPREFIX": bytecode}


def geometric_mean(ratios: Iterable[float]) -> float:
    """Return the geometric mean; NaN for an empty input."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan
