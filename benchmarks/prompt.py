"""The time until a shell in a pseudo-terminal shows its first prompt."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory

from benchmarks.measure import ROOT, Process, environment
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table

FIRST_PROMPT = Limit("stellar, by the clock until its first prompt", must=200, aim=150, unit="ms")

BARE = "python, that prints one"
SHELL = "stellar"
PEER = "ptpython"
# The arguments for Python; each shell shows >>> as its prompt
SHELLS = {
    BARE: ["-c", "import time; print('>>>', flush=True); time.sleep(60)"],
    # As the installed console script
    SHELL: ["-c", "import sys; from stellar.cli import main; sys.exit(main())"],
    PEER: ["-m", "ptpython"],
}
PROMPT = b">>>"
TIMEOUT_SECONDS = 30


def prompts(rounds: int) -> GroupResult:
    """Measure the time until the first prompt of shells, in interleaved runs."""
    shells = {name: arguments for name, arguments in SHELLS.items() if name != PEER or find_spec(PEER)}
    fewest: dict[str, Process] = {}
    with TemporaryDirectory() as home:
        for _ in range(rounds):
            for name, arguments in shells.items():
                taken = measure_first_prompt(arguments, home)
                so_far = fewest.get(name, taken)
                fewest[name] = Process(min(taken.cpu, so_far.cpu), min(taken.wall, so_far.wall))
    rows = [[name, Quantity(taken.cpu, "ms"), Quantity(taken.wall, "ms")] for name, taken in fewest.items()]
    rows += [[PEER, "not installed", ""]] if PEER not in fewest else []
    table = Table("Start-up: until the first prompt, in a terminal", ["", "CPU", "wall clock"], rows)
    return GroupResult([table], [Finding(FIRST_PROMPT, fewest[SHELL].wall)])


def measure_first_prompt(arguments: Sequence[str], home: str) -> Process:
    """Start a shell, and return the time until its prompt; the process is killed then.

    home: a directory for compiled modules, histories and settings

    Raises RuntimeError if it shows no prompt.
    """
    variables = environment(home) | {"HOME": home, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    begin = time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, *arguments], variables)
    try:
        shown = b""
        while PROMPT not in shown:
            shown += _read_more(terminal, arguments, shown)
        wall = time.perf_counter() - begin
    finally:
        os.kill(child, signal.SIGKILL)
        _, _, used = os.wait4(child, 0)
        os.close(terminal)
    return Process((used.ru_utime + used.ru_stime) * 1e3, wall * 1e3)


def _read_more(terminal: int, arguments: Sequence[str], shown: bytes) -> bytes:
    ready, _, _ = select.select([terminal], [], [], TIMEOUT_SECONDS)
    try:
        more = os.read(terminal, 4096) if ready else b""
    except OSError:  # the process has ended
        more = b""
    if not more:
        raise RuntimeError(f"{' '.join(arguments)} has shown no prompt; output: {shown!r:.500}")
    return more
