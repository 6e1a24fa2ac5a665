"""The command: `python -m benchmarks [--quick] [PART ...]`."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from benchmarks.cold import cold
from benchmarks.functions import functions
from benchmarks.java import java
from benchmarks.language import Part, compilation, tasks, width
from benchmarks.models import models
from benchmarks.peers import PEERS, Compile, loaded
from benchmarks.prompt import prompts
from benchmarks.registry import registry
from benchmarks.report import findings
from benchmarks.startup import startup

Peers = dict[str, Compile | None]

# How much each part measures: seconds of CPU for each of its slices, or rounds of processes; in full, and quickly
PARTS: dict[str, tuple[Callable[[Peers, float], Part], float, float]] = {
    "tasks": (tasks, 0.6, 0.08),
    "java": (java, 0.4, 0.08),
    "functions": (functions, 0.2, 0.05),
    "models": (models, 2, 1),
    "registry": (lambda peers, changes: registry(peers, int(changes)), 200, 50),
    "width": (width, 0.6, 0.08),
    "compile": (compilation, 1.0, 0.15),
    "cold": (lambda peers, rounds: cold(peers, int(rounds)), 4, 2),
    "startup": (lambda peers, rounds: startup(peers, int(rounds)), 15, 4),
    "prompt": (lambda _, rounds: prompts(int(rounds)), 15, 4),
}


def main() -> None:
    """Run what was asked for, or everything."""
    arguments = _arguments()
    begin = time.perf_counter()
    peers = loaded()
    print(_heading(), end="\n\n")
    found = []
    for name in arguments.parts or PARTS:
        part, full, quick = PARTS[name]
        text, measured = part(peers, quick if arguments.quick else full)
        print(text, flush=True)
        found += measured
    if found:
        print(findings(found))
    print(f"{time.perf_counter() - begin:.0f} s in all")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed of the language beside its peers.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)}; all of it if none"
    )
    parser.add_argument("--quick", action="store_true", help="measure less: half a minute, and rougher figures")
    arguments = parser.parse_args()
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return arguments


def _heading() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}"
    others = ", ".join(_with_version(peer.name) for peer in PEERS if peer.name != "stellar")
    return f"{python}; CPU time, the least of many runs in turn\nstellar, beside {others}"


def _with_version(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return f"{distribution} (not installed)"


if __name__ == "__main__":
    main()
