"""How soon a shell can be typed into: it starts in a terminal of its own, and its first prompt is waited for."""

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

from benchmarks.language import Part
from benchmarks.measure import ROOT, Process, environment
from benchmarks.report import Finding, Limit, number, table

FIRST_PROMPT = Limit("stellar, by the clock until its first prompt", must=200, aim=150, unit="ms")

BARE = "python, that prints one"
SHELL = "stellar"
PEER = "ptpython"
# What this Python runs; each of them shows >>> when one can type
SHELLS = {
    BARE: ["-c", "import time; print('>>>', flush=True); time.sleep(60)"],
    # What the installed console script does
    SHELL: ["-c", "import sys; from stellar.cli import main; sys.exit(main())"],
    PEER: ["-m", "ptpython"],
}
PROMPT = b">>>"
PATIENCE_SECONDS = 30


def prompts(rounds: int) -> Part:
    """The time until the first prompt, of shells that are started in turns."""
    shells = {name: arguments for name, arguments in SHELLS.items() if name != PEER or find_spec(PEER)}
    fewest: dict[str, Process] = {}
    with TemporaryDirectory() as home:
        for _ in range(rounds):
            for name, arguments in shells.items():
                taken = first_prompt(arguments, home)
                so_far = fewest.get(name, taken)
                fewest[name] = Process(min(taken.cpu, so_far.cpu), min(taken.wall, so_far.wall))
    rows = [[name, f"{number(taken.cpu)} ms", f"{number(taken.wall)} ms"] for name, taken in fewest.items()]
    rows += [[PEER, "not installed", ""]] if PEER not in fewest else []
    text = table("Beginning: until one can type, in a terminal", ["", "CPU", "wall clock"], rows)
    return Part(text, [Finding(FIRST_PROMPT, fewest[SHELL].wall)])


def first_prompt(arguments: Sequence[str], home: str) -> Process:
    """What a process took until it showed its prompt, at which it is ended.

    home: a directory for compiled modules, histories and settings

    Raises RuntimeError if it shows none.
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
            shown += _more(terminal, arguments, shown)
        wall = time.perf_counter() - begin
    finally:
        os.kill(child, signal.SIGKILL)
        _, _, used = os.wait4(child, 0)
        os.close(terminal)
    return Process((used.ru_utime + used.ru_stime) * 1e3, wall * 1e3)


def _more(terminal: int, arguments: Sequence[str], shown: bytes) -> bytes:
    ready, _, _ = select.select([terminal], [], [], PATIENCE_SECONDS)
    try:
        more = os.read(terminal, 4096) if ready else b""
    except OSError:  # the process has ended
        more = b""
    if not more:
        raise RuntimeError(f"{' '.join(arguments)} shows no prompt, but {shown!r:.500}")
    return more
