"""Fuzzer of expressions and pipelines: `python -m scripts.fuzz`.

Evaluates generated inputs in worker processes and looks for faults: an exception other than a StellarError, an input
that takes more than a second, or more than 256 MiB. Each fault is written to a file; `--only NUMBER` repeats it.

With `--kind pipelines`, an input is a generated configuration with 200 messages, and a fault is a difference between
the compiled form of the pipeline and its stages.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import multiprocessing.connection
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import SystemRandom

from scripts.fuzz import models, pipelines
from scripts.fuzz.inputs import list_functions, load_corpus
from scripts.fuzz.worker import Fault, find_source, run_input

INPUTS = 500_000
# A worker is replaced after this many inputs, so that memory that Python does not return is not counted as growth
CHUNK = 2_000
# A worker is ended if an input takes this much processor time
STUCK_SECONDS = 10.0
# A worker that needs more memory than at its start gets a MemoryError instead of exhausting the machine
_MEMORY = 3 * 2**30


@dataclass(frozen=True)
class Kind:
    """A kind of inputs.

    run: returns the result of the input with a seed and a number, and its fault, if any
    show: returns the input as a string
    """

    run: Callable[[int, int], tuple[str, Fault | None]]
    show: Callable[[int, int], str]


EXPRESSIONS = Kind(run_input, lambda seed, number: find_source(seed, number).text)
KINDS = {
    "expressions": EXPRESSIONS,
    "pipelines": Kind(pipelines.compare, pipelines.show),
    "pmml": Kind(models.score_document, lambda seed, number: models.show_input(models.make_document(seed, number))),
    "boosters": Kind(models.score_booster, lambda seed, number: models.show_input(models.make_booster(seed, number))),
}


@dataclass
class Summary:
    """The counts of a run, and its faults."""

    results: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzzer; return 1 if there are faults."""
    options = _parse_arguments(arguments)
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    kind = KINDS[options.kind]
    if options.only is not None:
        return _repeat(kind, seed, options.only)
    print(f"seed {seed}, {options.inputs:,} inputs from number {options.first:,}", flush=True)
    begin = time.monotonic()
    summary = Summary()
    for fault in run(range(options.first, options.first + options.inputs), seed, options.workers, summary, kind):
        path = fault.write(options.out)
        print(f"{fault.problem}\n  {fault.source[:200]!r}\n  {path}", flush=True)
    counts = ", ".join(f"{count:,} {result}" for result, count in sorted(summary.results.items()))
    print(f"{counts}; {len(summary.faults)} faults; {time.monotonic() - begin:.0f} s")
    return 1 if summary.faults else 0


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.fuzz", description="Evaluate generated expressions.")
    parser.add_argument(
        "--inputs", type=int, default=INPUTS, metavar="N", help=f"number of inputs; {INPUTS:,} by default"
    )
    parser.add_argument("--kind", choices=KINDS, default="expressions", help="inputs; expressions by default")
    parser.add_argument(
        "--first", type=int, default=0, metavar="NUMBER", help="number of the first input; 0 by default"
    )
    parser.add_argument("--seed", type=int, metavar="SEED", help="seed of the inputs; random by default")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run and show one input; needs --seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="number of processes")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), metavar="DIR", help="directory for faults")
    options = parser.parse_args(arguments)
    if options.only is not None and options.seed is None:
        parser.error("--only needs --seed")
    return options


def _repeat(kind: Kind, seed: int, number: int) -> int:
    print(kind.show(seed, number))
    result, fault = kind.run(seed, number)
    print(result if fault is None else f"{fault.problem}\n{fault.record}\n{fault.details}")
    return 0 if fault is None else 1


# -- Processes --------------------------------------------------------------------------------------------------------


@dataclass
class _Worker:
    """A process that evaluates a range of inputs.

    number: the input that it evaluates now
    since: the processor time of the process some inputs ago
    end: the end of its range
    """

    process: BaseProcess
    results: Connection
    number: int
    end: int
    since: float


def run(numbers: range, seed: int, workers: int, summary: Summary, kind: Kind = EXPRESSIONS) -> Iterator[Fault]:
    """Evaluate inputs in worker processes; yield the faults and count the results."""
    waiting = [range(start, min(start + CHUNK, numbers.stop)) for start in range(numbers.start, numbers.stop, CHUNK)]
    waiting.reverse()
    load_corpus(), list_functions()  # once, and not in each worker
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start(kind, seed, waiting.pop()))
            ready = multiprocessing.connection.wait([worker.results for worker in running], timeout=1.0)
            for worker in list(running):
                fault = (
                    _receive(worker, kind, seed, summary)
                    if worker.results in ready
                    else _check_progress(worker, kind, seed, summary)
                )
                if fault is not None:
                    summary.faults.append(fault)
                    yield fault
                if worker.results.closed:
                    running.remove(worker)
                    worker.process.join()
                    if worker.number < worker.end:
                        waiting.append(range(worker.number, worker.end))
    finally:
        for worker in running:
            worker.process.kill()
            worker.process.join()


def _start(kind: Kind, seed: int, numbers: range) -> _Worker:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(kind, seed, numbers, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, numbers.start, numbers.stop, 0.0)


def _work(kind: Kind, seed: int, numbers: range, results: Connection) -> None:
    limit = _read_address_space() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    logging.disable(logging.WARNING)  # of generated configurations
    for number in numbers:
        results.send(kind.run(seed, number))


def _read_address_space() -> int:
    """Return the size of the address space of this process in bytes, much of which may be of the one that forked it."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()


def _receive(worker: _Worker, kind: Kind, seed: int, summary: Summary) -> Fault | None:
    """Return the fault of the input that a worker has evaluated; an input that ends the worker is one, too."""
    try:
        result, fault = worker.results.recv()
    except EOFError:
        worker.results.close()
        if worker.number == worker.end:
            return None
        worker.process.join()
        return _end_input(worker, kind, seed, f"the process ended with {worker.process.exitcode}", summary)
    summary.results[result] += 1
    worker.number += 1
    if worker.number % 50 == 0:
        worker.since = _read_processor_seconds(worker)
    return fault  # type: ignore[no-any-return]


def _check_progress(worker: _Worker, kind: Kind, seed: int, summary: Summary) -> Fault | None:
    if _read_processor_seconds(worker) - worker.since < STUCK_SECONDS:
        return None
    worker.process.kill()
    worker.results.close()
    return _end_input(worker, kind, seed, f"did not end within {STUCK_SECONDS:g} s", summary)


def _read_processor_seconds(worker: _Worker) -> float:
    """Return the processor time of a worker so far."""
    try:
        fields = Path(f"/proc/{worker.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:  # it has ended
        return worker.since
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _end_input(worker: _Worker, kind: Kind, seed: int, problem: str, summary: Summary) -> Fault:
    fault = Fault(seed, worker.number, "ended", problem, kind.show(seed, worker.number), "")
    worker.number += 1
    summary.results["ended"] += 1
    return fault


if __name__ == "__main__":
    sys.exit(main())
