"""CPU time of small pieces of work, taken in turns, so that a machine that drifts drifts for all of them."""

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
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Slice = Callable[[], object]

# How many seconds one turn lasts
TURN = 0.004

ROOT = Path(__file__).resolve().parent.parent


def interleaved(slices: Mapping[Key, Slice], share: float, least: int = 4) -> dict[Key, float]:
    """The fewest nanoseconds of CPU that each slice took.

    share: seconds of CPU that each slice gets in all, whether it is quick or slow
    least: how often each one is measured at any rate

    Whichever has had the least time so far goes next. So they take turns, all of them spread over the whole run. Quick
    slices are repeated until they last as long as slow ones: a processor runs faster for moments, and a short piece of
    work would fit into such a moment sooner than a long one.
    """
    with no_collection():
        repeats = {key: max(1, round(TURN * 1e9 / cpu_of(work))) for key, work in slices.items()}
        turns = {key: repeated(work, repeats[key]) for key, work in slices.items()}
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


def repeated(work: Slice, times: int) -> Slice:
    """A slice that is another one, several times."""

    def run() -> None:
        for _ in range(times):
            work()

    return run


def cpu_of(work: Slice) -> int:
    """The nanoseconds of this thread's CPU that one run takes."""
    begin = time.thread_time_ns()
    work()
    return time.thread_time_ns() - begin


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the cyclic garbage collector out of the measurement, as timeit does."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def over(call: Callable[[Any], Any], inputs: Sequence[Any]) -> Slice:
    """A slice that gives each of the inputs to the call, in a plain loop as a program would."""

    def run() -> None:
        for given in inputs:
            call(given)

    return run


def over_next(call: Callable[[Any], Any], inputs: Sequence[Any], count: int) -> Slice:
    """A slice that gives the next few of the inputs to the call, and begins again after the last."""
    following = cycle(inputs)

    def run() -> None:
        for given in islice(following, count):
            call(given)

    return run


class Process(NamedTuple):
    """What a whole process took, in milliseconds."""

    cpu: float
    wall: float


def process(arguments: Sequence[str], bytecode: str) -> tuple[Process, str]:
    """Run this Python with the arguments, from the root of the checkout; what it took and what it printed.

    bytecode: a directory for compiled modules. The first run fills it; later ones begin as an installed program does
    """
    command = [sys.executable, *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment(bytecode), capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Process(cpu * 1e3, wall * 1e3), done.stdout


def environment(bytecode: str) -> dict[str, str]:
    """The environment of a process that keeps its compiled modules in a directory."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, "PYTHONPYCACHEPREFIX": bytecode}


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean that is right for ratios; NaN for none."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan
