"""Compares the speed of two commits: `python -m benchmarks compare REV [REV2] [GROUP ...]`.

Each commit is checked out into a git worktree in a temporary directory, and its own benchmarks are run there as
subprocesses. The runs of the two commits alternate, and each round starts with the other commit, so that a change in
machine speed affects both. A figure is the median over the rounds. The figures are those of the table `Limits` that
`python -m benchmarks` prints, in which lower is better.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import ROOT
from benchmarks.report import number, ratio, table

ROUNDS = 5
TOLERANCE_PERCENT = 7.0

# A row of the table `Limits`: name, figure with its unit, and the two limits
_LIMIT_ROW = re.compile(r"(?P<name>\S.*?)  +(?P<figure>[\d,.]+)(?P<unit>×| \S+)  +≤ ")


class BenchmarkFailed(Exception):
    """A git command or a benchmark failed; the message names it and shows its error."""


@dataclass
class Comparison:
    """A figure of both commits, with one value per round."""

    name: str
    unit: str
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    @property
    def change(self) -> float:
        """The median after, divided by the median before; above 1 is slower."""
        return statistics.median(self.after) / statistics.median(self.before)


def main(arguments: Sequence[str], groups: Sequence[str]) -> int:
    """Compare two commits, print a table, and return 1 if a figure is worse than the tolerance.

    groups: the names of all groups
    """
    options = _parse_arguments(arguments, groups)
    try:
        comparisons = compare(
            options.revisions, options.groups or groups, options.rounds, ["--quick"] if options.quick else []
        )
    except BenchmarkFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(format_comparisons(options.revisions, comparisons, options.tolerance))
    return int(any(is_slower(each, options.tolerance) for each in comparisons))


def _parse_arguments(arguments: Sequence[str], groups: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare", description="Compare the speed of two commits in alternating runs."
    )
    parser.add_argument("revision", metavar="REV", help="commit to compare with")
    parser.add_argument(
        "rest",
        nargs="*",
        metavar="REV2 | GROUP",
        help=f"commit to measure, by default HEAD; and groups to run, by default all: {', '.join(groups)}",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"runs of each group per commit (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="shorter runs with less precise figures")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE_PERCENT,
        metavar="PERCENT",
        help=f"exit with status 1 if a figure is worse by more (default: {TOLERANCE_PERCENT:g})",
    )
    options = parser.parse_args(arguments)
    second = [name for name in options.rest if name not in groups]
    if len(second) > 1:
        parser.error(f"unknown group {second[1]!r}; known groups are {', '.join(groups)}")
    if options.rounds < 1:
        parser.error(f"invalid number of rounds {options.rounds}: expected 1 or more")
    options.revisions = (options.revision, second[0] if second else "HEAD")
    options.groups = [name for name in options.rest if name in groups]
    return options


def compare(
    revisions: tuple[str, str], groups: Sequence[str], rounds: int, options: Sequence[str] = (), root: Path = ROOT
) -> list[Comparison]:
    """Run groups of the benchmarks of two commits by turns, and return their figures.

    options: further options of `python -m benchmarks`
    root: the repository

    Raises BenchmarkFailed if a revision is unknown, or a run fails or prints other figures than the run before.
    """
    comparisons: dict[str, list[Comparison]] = {}
    with _create_worktrees(root, revisions) as (before, after):
        for index in range(rounds):
            for group in groups:
                order = (before, after) if index % 2 == 0 else (after, before)
                figures = {worktree: parse_figures(_run_group(worktree, group, options)) for worktree in order}
                _add_round(comparisons.setdefault(group, []), figures[before], figures[after], group)
    return [each for group in groups for each in comparisons[group]]


def _add_round(
    comparisons: list[Comparison],
    before: Sequence[tuple[str, float, str]],
    after: Sequence[tuple[str, float, str]],
    group: str,
) -> None:
    if not comparisons:
        comparisons.extend(Comparison(name, unit) for name, _, unit in after)
    if not len(before) == len(after) == len(comparisons):
        raise BenchmarkFailed(f"expected the same figures of {group} in each run, got {len(before)} and {len(after)}")
    # By position, since a figure may have another name in an older commit
    for each, (_, old, _), (_, new, _) in zip(comparisons, before, after, strict=True):
        each.before.append(old)
        each.after.append(new)


def parse_figures(output: str) -> list[tuple[str, float, str]]:
    """Return name, value and unit of each figure in the table `Limits` of an output."""
    rows = map(_LIMIT_ROW.match, output.rpartition("Limits\n")[2].splitlines())
    return [(row["name"], float(row["figure"].replace(",", "")), row["unit"].strip()) for row in rows if row]


def is_slower(comparison: Comparison, tolerance: float) -> bool:
    """Return True if a figure is worse by more than the tolerance, in percent."""
    return comparison.change > 1 + tolerance / 100


def format_comparisons(revisions: tuple[str, str], comparisons: Sequence[Comparison], tolerance: float) -> str:
    """Return a table with the medians of both commits, and their ratio."""
    rows = [
        [
            each.name,
            f"{number(statistics.median(each.before))} {each.unit}",
            f"{number(statistics.median(each.after))} {each.unit}",
            ratio(each.change),
            "SLOWER" if is_slower(each, tolerance) else "",
        ]
        for each in comparisons
    ]
    count = len(comparisons[0].before) if comparisons else 0
    return table(f"Medians of {count} alternating runs", ["figure", *revisions, "ratio", ""], rows)


@contextmanager
def _create_worktrees(root: Path, revisions: tuple[str, str]) -> Iterator[tuple[Path, Path]]:
    """Check out two commits, and remove the worktrees at the end."""
    with TemporaryDirectory(prefix="benchmarks-") as directory:
        worktrees = Path(directory, "before"), Path(directory, "after")
        try:
            for worktree, revision in zip(worktrees, revisions, strict=True):
                _run(["git", "worktree", "add", "--quiet", "--detach", str(worktree), revision], root)
            yield worktrees
        finally:
            for worktree in filter(Path.exists, worktrees):
                _run(["git", "worktree", "remove", "--force", str(worktree)], root)


def _run_group(worktree: Path, group: str, options: Sequence[str]) -> str:
    print(f"{worktree.name}: {group}", file=sys.stderr, flush=True)
    return _run([sys.executable, "-m", "benchmarks", *options, group], worktree)


def _run(command: Sequence[str], directory: Path) -> str:
    # The directory comes before an installed copy of the packages
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
