"""Start-up time: imports, and the command line as a whole process."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from benchmarks.language import GroupResult
from benchmarks.measure import Process, process
from benchmarks.peers import PEERS, Compile
from benchmarks.report import Finding, Limit, number, table

IMPORT = Limit("import stellar", must=100, aim=60, unit="ms")
COMMAND = Limit("stellar eval -e 1, the whole process", must=250, aim=150, unit="ms")

BARE = "python -c pass"
FIRST = "import stellar; stellar.compile('1')({})"
EVAL = "stellar eval -e 1"


def startup(peers: dict[str, Compile | None], rounds: int) -> GroupResult:
    """Measure processes that only import, the command, and a bare Python for comparison."""
    commands = {BARE: ["-c", "pass"]}
    commands |= {f"import {peer.module}": ["-c", f"import {peer.module}"] for peer in PEERS if peers[peer.name]}
    if peers["stellar"]:
        commands[FIRST] = ["-c", FIRST]
        # As the installed console script
        commands[EVAL] = ["-c", "import sys; from stellar.cli import main; sys.exit(main())", "eval", "-e", "1"]
    fewest = _fewest(commands, rounds)
    rows = [
        [name, f"{number(taken.cpu)} ms", f"{number(taken.wall)} ms", _beyond(taken.cpu, fewest[BARE].cpu)]
        for name, taken in fewest.items()
    ]
    text = table("Start-up: whole processes", ["", "CPU", "wall clock", "CPU beyond a bare Python"], rows)
    if EVAL not in fewest:
        return GroupResult(text, [])
    imported = fewest["import stellar"].cpu - fewest[BARE].cpu
    return GroupResult(text, [Finding(IMPORT, imported), Finding(COMMAND, fewest[EVAL].cpu)])


def _fewest(commands: dict[str, list[str]], rounds: int) -> dict[str, Process]:
    """Return the minimum time of each process, in interleaved runs."""
    fewest: dict[str, Process] = {}
    with TemporaryDirectory() as bytecode:
        for _ in range(rounds):
            for name, arguments in commands.items():
                taken, _ = process(arguments, bytecode)
                so_far = fewest.get(name, taken)
                fewest[name] = Process(min(taken.cpu, so_far.cpu), min(taken.wall, so_far.wall))
    return fewest


def _beyond(cpu: float, bare: float) -> str:
    return "" if cpu == bare else f"{number(cpu - bare)} ms"
