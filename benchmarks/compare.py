"""Compares the speed of two commits: `python -m benchmarks compare REV [REV2] [GROUP ...]`.

Each commit is checked out into a git worktree in a temporary directory, and its own benchmarks are run there as
subprocesses. The runs of the two commits alternate, and each round starts with the other commit, so that a change in
machine speed affects both. A figure is the median over the rounds. The figures are those of the table `Limits` that
`python -m benchmarks` prints, in which lower is better. They are matched by name: a figure that only one of the commits
has, because the other one is older or named it otherwise, is shown, and not compared.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import ROOT
from benchmarks.report import number, ratio, table

ROUNDS = 5
TOLERANCE_PERCENT = 7.0

# A row of the table `Limits`: name, figure with its unit, and the two limits
_LIMIT_ROW = re.compile(r"(?P<name>\S.*?)  +(?P<figure>-?[\d,.]+)(?P<unit>×| \S+)  +≤ ")

# In the message of `python -m benchmarks`, of each commit
_UNKNOWN_GROUP = "unknown group"

Figure = tuple[str, float, str]  # name, value, unit


class BenchmarkFailed(Exception):
    """A git command or a benchmark failed; the message names it and shows its error."""


class UnknownGroup(BenchmarkFailed):
    """A commit has no benchmarks of this group."""


@dataclass
class Comparison:
    """A figure, with one value per round of each commit that has it."""

    name: str
    unit: str
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    @property
    def change(self) -> float | None:
        """The median after, divided by the median before; above 1 is slower. None if one commit has no such figure."""
        return statistics.median(self.after) / statistics.median(self.before) if self.before and self.after else None


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

    Raises BenchmarkFailed if a revision is unknown, if a run fails or prints other figures than the earlier runs of its
    commit, or if the commits have no figure in common.
    """
    comparisons: dict[str, dict[str, Comparison]] = {}
    with _create_worktrees(root, revisions) as (before, after):
        for index in range(rounds):
            for group in groups:
                order = (before, after) if index % 2 == 0 else (after, before)
                figures = {worktree: _measure_group(worktree, group, options) for worktree in order}
                _add_round(comparisons.setdefault(group, {}), figures[before], figures[after])
                _check_rounds(comparisons[group].values(), group, index + 1)
    found = [each for group in groups for each in comparisons[group].values()]
    if all(each.change is None for each in found):
        raise BenchmarkFailed(f"{' and '.join(revisions)} have no figure in common: nothing is compared")
    return found


def _measure_group(worktree: Path, group: str, options: Sequence[str]) -> list[Figure]:
    """Return the figures of a group in one commit; none if the commit has no such group."""
    try:
        return parse_figures(_run_group(worktree, group, options))
    except UnknownGroup:
        return []


def _add_round(comparisons: dict[str, Comparison], before: Sequence[Figure], after: Sequence[Figure]) -> None:
    for name, figure, unit in after:
        comparisons.setdefault(name, Comparison(name, unit)).after.append(figure)
    for name, figure, unit in before:
        comparisons.setdefault(name, Comparison(name, unit)).before.append(figure)


def _check_rounds(comparisons: Iterable[Comparison], group: str, rounds: int) -> None:
    for each in comparisons:
        for found in (each.before, each.after):
            if len(found) not in (0, rounds):
                raise BenchmarkFailed(
                    f"expected the same figures of {group} in each run of a commit, "
                    f"got {each.name!r} {len(found)} times in {rounds} rounds"
                )


def parse_figures(output: str) -> list[Figure]:
    """Return name, value and unit of each figure in the table `Limits` of an output."""
    rows = map(_LIMIT_ROW.match, output.rpartition("Limits\n")[2].splitlines())
    return [(row["name"], float(row["figure"].replace(",", "")), row["unit"].strip()) for row in rows if row]


def is_slower(comparison: Comparison, tolerance: float) -> bool:
    """Return True if a figure is worse by more than the tolerance, in percent."""
    return comparison.change is not None and comparison.change > 1 + tolerance / 100


def format_comparisons(revisions: tuple[str, str], comparisons: Sequence[Comparison], tolerance: float) -> str:
    """Return a table with the medians of both commits, and their ratio."""
    rows = [
        [
            each.name,
            _format_median(each.before, each.unit),
            _format_median(each.after, each.unit),
            "" if each.change is None else ratio(each.change),
            "SLOWER" if is_slower(each, tolerance) else "",
        ]
        for each in comparisons
    ]
    count = max((len(each.before) for each in comparisons), default=0)
    text = table(f"Medians of {count} alternating runs", ["figure", *revisions, "ratio", ""], rows)
    if alone := sum(each.change is None for each in comparisons):
        text += f"\nnot compared, as only one commit has a figure of that name: {alone}"
    return text


def _format_median(figures: Sequence[float], unit: str) -> str:
    return f"{number(statistics.median(figures))} {unit}" if figures else "–"


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
        failure = UnknownGroup if _UNKNOWN_GROUP in done.stderr else BenchmarkFailed
        raise failure(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
