"""`stellar-pipeline run --workers 2`, compared with one process.

The processor time of all processes decides how much faster two are, if there are enough cores: twice, divided by the
ratio. The time of day is printed, too, but depends on what else the machine does. Start-up is measured with an empty
file, and subtracted.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Process, process, script
from benchmarks.peers import Compile
from benchmarks.pipeline import CONFIG, make_lines
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table

CPU = Limit("processor time of a run with --workers 2, to one process", must=1.2, aim=2 / 1.85)

REPEATS = 200  # of the lines of a log
WORKERS = (1, 2)


def workers(peers: dict[str, Compile | None], rounds: int) -> GroupResult:
    """Measure runs with one process and with two."""
    if peers["stellar"] is None:
        return GroupResult(["stellar is not installed\n"], [])
    lines = make_lines()
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "empty.log").write_bytes(b"")
        (folder / "access.log").write_bytes((b"\n".join(lines) + b"\n") * REPEATS)
        times = {count: measure_run(folder, count, rounds) for count in WORKERS}
    total = len(lines) * REPEATS
    table = Table(
        f"{total:,} lines of a proxy log: time of a line, without start-up",
        ("--workers", "processor time", "time of day"),
        [(str(count), *(Quantity(each / total * 1e3, "µs") for each in times[count])) for count in WORKERS],
    )
    return GroupResult([table], [Finding(CPU, times[2].cpu / times[1].cpu)])


def measure_run(folder: Path, count: int, rounds: int) -> Process:
    """Return the least times of several runs, less those with an empty file."""
    runs = [(_run(folder, "access.log", count), _run(folder, "empty.log", count)) for _ in range(rounds)]
    whole, start = (Process(*map(min, zip(*each, strict=True))) for each in zip(*runs, strict=True))
    return Process(whole.cpu - start.cpu, whole.wall - start.wall)


def _run(folder: Path, name: str, count: int) -> Process:
    targets = ["--output", str(folder / "out.jsonl"), "--errors", str(folder / "errors.jsonl")]
    options = ["--quiet", "--config", str(CONFIG), "--sensor", "squid", "--workers", str(count)]
    run = script("stellar.pipeline.cli", "run", *options, *targets, str(folder / name))
    taken, _ = process(run, str(folder / "bytecode"))
    return taken
