"""A pipeline on Spark with two threads, compared with a run over a file in one process; and scores of a model.

Processor time is that of Spark's virtual machine and of all Python processes that it starts. Start-up does not count:
the first jobs, for which the virtual machine compiles Spark, are not measured, and the time of a job over an empty file
is subtracted.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.measure import Process
from benchmarks.peers import Compile
from benchmarks.pipeline import CONFIG, make_lines
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.spark_scores import measure_scores
from benchmarks.workers import measure_run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CPU = Limit("processor time of Spark with local[2], to a run in one process", must=2 / 1.2, aim=2 / 1.6)

REPEATS = 400  # of the lines of a log
THREADS = 2
WARM_UP = 6  # jobs
_SETTINGS = {"spark.sql.maxConcurrentOutputFileWriters": "2", "spark.driver.extraJavaOptions": "-XX:+UseSerialGC"}


def spark(peers: dict[str, Compile | None], rounds: int) -> GroupResult:
    """Measure runs over a file and jobs of Spark over the same file."""
    if why := _find_missing(peers):
        return GroupResult([f"no figures of Spark: {why}\n"], [])
    lines = make_lines()
    total = len(lines) * REPEATS
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "empty.log").write_bytes(b"")
        (folder / "access.log").write_bytes((b"\n".join(lines) + b"\n") * REPEATS)
        of_run = measure_run(folder, 1, rounds)
        of_spark = _measure_spark(folder, rounds, total)
    scores, finding = _measure_scores(rounds)
    times = {"run over a file": of_run, f"Spark, local[{THREADS}]": of_spark}
    table = Table(
        f"{total:,} lines of a proxy log: time of a line, without start-up",
        ("", "processor time", "to the run", "time of day"),
        [
            (name, Quantity(each.cpu / total * 1e3, "µs"), ratio(each.cpu / of_run.cpu), _per_line(each.wall, total))
            for name, each in times.items()
        ],
    )
    return GroupResult([table, scores], [Finding(CPU, of_spark.cpu / of_run.cpu), finding])


def _per_line(milliseconds: float, total: int) -> Quantity:
    return Quantity(milliseconds / total * 1e3, "µs")


def _find_missing(peers: dict[str, Compile | None]) -> str | None:
    if peers["stellar"] is None:
        return "stellar is not installed"
    try:
        import pyarrow  # noqa: F401
        import pyspark  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError:
        return "pip install 'stellar-maas[sklearn,spark]'"
    return (
        None if shutil.which("java") and shutil.which("mvn") else "run scripts/engines, which installs Java and Maven"
    )


def _measure_spark(folder: Path, rounds: int, total: int) -> Process:
    """Return the least times of several jobs, less those over an empty file."""
    from engines.spark.session import LocalSpark

    with LocalSpark(f"local[{THREADS}]", _SETTINGS) as session:
        for _ in range(WARM_UP):
            _run_job(session, folder, "access.log", total)
        runs = [
            (
                measure_below(lambda: _run_job(session, folder, "access.log", total)),
                measure_below(lambda: _run_job(session, folder, "empty.log", 0)),
            )
            for _ in range(rounds)
        ]
    whole, start = (Process(*map(min, zip(*each, strict=True))) for each in zip(*runs, strict=True))
    return Process(whole.cpu - start.cpu, whole.wall - start.wall)


def _measure_scores(rounds: int) -> tuple[Table, Finding]:
    from engines.spark.session import LocalSpark

    with LocalSpark("local[1]", _SETTINGS) as session:
        return measure_scores(session, rounds, measure_below)


def _run_job(session: SparkSession, folder: Path, name: str, total: int) -> None:
    from stellar.spark import read_pipeline, transform

    transformed = transform(session.read.text(str(folder / name)), read_pipeline(CONFIG, "squid"))
    rows = transformed.outcomes.select("kind", "sensor", "value")
    rows.write.mode("overwrite").partitionBy("kind", "sensor").text(str(folder / "outcomes"))
    if (counts := transformed.read_counts()).out != total:
        raise RuntimeError(f"expected {total} documents, got {counts}")


def measure_below(work: Callable[[], None]) -> Process:
    """Return the time of work in the processes below this one."""
    begin, before = time.perf_counter(), _read_processor_seconds()
    work()
    return Process((_read_processor_seconds() - before) * 1e3, (time.perf_counter() - begin) * 1e3)


def _read_processor_seconds() -> float:
    """Return the processor time of all processes below this one, with those that have ended."""
    own = os.times()
    ended = own.children_user + own.children_system
    return ended + sum(_find_times(os.getpid())) / os.sysconf("SC_CLK_TCK")


def _find_times(parent: int) -> Iterator[int]:
    """Yield the clock ticks of each process below a process: its own, and those of its children that have ended."""
    for child in _list_children(parent):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended in the meantime
            fields = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            yield sum(map(int, fields[11:15]))
            yield from _find_times(child)


def _list_children(parent: int) -> list[int]:
    """Return the processes that the threads of a process have started; a thread that ends in the meantime has none."""
    children: list[int] = []
    for listed in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            children += map(int, listed.read_text(encoding="ascii").split())
    return children
