"""The command: `python -m benchmarks [--quick] [--json FILE] [GROUP ...]`; for `compare`, see `benchmarks.compare`."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import compare
from benchmarks.alerts import alerts
from benchmarks.cold import cold
from benchmarks.columns import columns
from benchmarks.functions import functions
from benchmarks.java import java
from benchmarks.language import compilation, tasks, width
from benchmarks.mapped import mapped
from benchmarks.models import models
from benchmarks.native import NATIVE_PEERS
from benchmarks.parsers import parsers
from benchmarks.peers import PEERS, Compile, load_peers
from benchmarks.pipeline import pipeline
from benchmarks.prompt import prompts
from benchmarks.registry import registry
from benchmarks.report import GroupResult, findings
from benchmarks.results import describe_run, write_results
from benchmarks.rule_sets import rule_sets
from benchmarks.scoring import scoring
from benchmarks.serving import serving
from benchmarks.spark import spark
from benchmarks.startup import startup
from benchmarks.topics import topics
from benchmarks.workers import workers

Peers = dict[str, Compile | None]

# The effort of each group: seconds of CPU per slice, rounds of processes, or documents; by default, and with --quick
GROUPS: dict[str, tuple[Callable[[Peers, float], GroupResult], float, float]] = {
    "tasks": (tasks, 0.6, 0.08),
    "java": (java, 0.4, 0.08),
    "mapped": (mapped, 0.4, 0.08),
    "functions": (functions, 0.2, 0.05),
    "parsers": (parsers, 0.4, 0.08),
    "pipeline": (pipeline, 1.5, 0.3),
    "rulesets": (rule_sets, 0.4, 0.08),
    "workers": (lambda peers, rounds: workers(peers, int(rounds)), 5, 2),
    "topics": (lambda peers, rounds: topics(peers, int(rounds)), 3, 1),
    "spark": (lambda peers, rounds: spark(peers, int(rounds)), 3, 1),
    "columns": (columns, 2, 0.5),
    "models": (models, 2, 1),
    "scoring": (scoring, 0.6, 0.1),
    "serving": (serving, 4, 1),
    "alerts": (lambda peers, documents: alerts(peers, int(documents)), 1_000_000, 50_000),
    "registry": (lambda peers, changes: registry(peers, int(changes)), 200, 50),
    "width": (width, 0.6, 0.08),
    "compile": (compilation, 1.0, 0.15),
    "cold": (lambda peers, rounds: cold(peers, int(rounds)), 4, 2),
    "startup": (lambda peers, rounds: startup(peers, int(rounds)), 15, 4),
    "prompt": (lambda _, rounds: prompts(int(rounds)), 15, 4),
}


def main() -> None:
    """Run the selected groups, or all of them."""
    if sys.argv[1:2] == ["compare"]:
        sys.exit(compare.main(sys.argv[2:], list(GROUPS)))
    arguments = _parse_arguments()
    begin = time.perf_counter()
    peers = load_peers()
    print(_heading(), end="\n\n")
    results = {}
    for name in arguments.groups or GROUPS:
        group, full, quick = GROUPS[name]
        results[name] = group(peers, quick if arguments.quick else full)
        print(results[name].text, flush=True)
    if found := [finding for result in results.values() for finding in result.findings]:
        print(findings(found))
    if arguments.json:
        versions = {peer.name: _find_version(peer.name) for peer in PEERS if peer.name != "stellar"}
        versions |= {peer.name: peer.find_version() if peer.program.exists() else None for peer in NATIVE_PEERS}
        write_results(arguments.json, describe_run(results, versions, quick=arguments.quick))
    print(f"{time.perf_counter() - begin:.0f} s in all")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed, compared with peers.")
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"groups to measure, by default all: {', '.join(GROUPS)}"
    )
    parser.add_argument("--quick", action="store_true", help="measure for a shorter time, with less precision")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file, with exact values")
    arguments = parser.parse_args()
    if arguments.json and not arguments.json.resolve().parent.is_dir():
        parser.error(f"cannot write {arguments.json}: its directory does not exist")
    if unknown := [group for group in arguments.groups if group not in GROUPS]:
        parser.error(f"unknown group {unknown[0]!r}; known groups are {', '.join(GROUPS)}")
    return arguments


def _heading() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}"
    others = ", ".join(_with_version(peer.name) for peer in PEERS if peer.name != "stellar")
    return f"{python}; CPU time, the minimum of many interleaved runs\nstellar, compared with {others}"


def _with_version(distribution: str) -> str:
    return f"{distribution} {_find_version(distribution) or '(not installed)'}"


def _find_version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
