"""The comparison of two commits by the benchmarks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout, not in the wheel")

from benchmarks import compare, report

PROGRAM = """
import pathlib, sys
log = pathlib.Path({log!r})
log.write_text(log.read_text() + {name!r} + " " + " ".join(sys.argv[1:]) + "\\n")
print("a table\\n")
print("Limits\\n\\nwhat  measured  must  aim\\n----")
print("one call, to another  {ratio}×  ≤ 3.00×  ≤ 2.00×  aim met")
print("import stellar        {milliseconds} ms  ≤ 100 ms  ≤ 60.0 ms  aim met")
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, whose benchmarks print fixed figures and write a log of their runs."""
    root = tmp_path / "repository"
    (root / "benchmarks").mkdir(parents=True)
    (root / "benchmarks" / "__init__.py").touch()
    (tmp_path / "log").touch()
    git(root, "init", "-q")
    for name, ratio, milliseconds in (("first", "2.00", "1,000"), ("second", "2.50", "900")):
        program = PROGRAM.format(log=str(tmp_path / "log"), name=name, ratio=ratio, milliseconds=milliseconds)
        (root / "benchmarks" / "__main__.py").write_text(program, encoding="utf-8")
        git(root, "add", "-A")
        git(root, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", name)
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def test_runs_of_two_commits_alternate(repository: Path, tmp_path: Path) -> None:
    ratio, startup = compare.compare(("HEAD~1", "HEAD"), ["tasks"], 3, ["--quick"], root=repository)
    runs = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert runs == [f"{name} --quick tasks" for name in ("first", "second", "second", "first", "first", "second")]
    assert (ratio.name, ratio.unit, ratio.before, ratio.after) == ("one call, to another", "×", [2.0] * 3, [2.5] * 3)
    assert (startup.unit, startup.change) == ("ms", 0.9)
    assert git(repository, "worktree", "list").count("\n") == 1  # the worktrees are removed


def test_a_slower_figure_is_marked(repository: Path) -> None:
    comparisons = compare.compare(("HEAD~1", "HEAD"), ["tasks"], 1, root=repository)
    assert [compare.is_slower(each, 7) for each in comparisons] == [True, False]
    assert not compare.is_slower(comparisons[0], 30)
    text = compare.format_comparisons(("HEAD~1", "HEAD"), comparisons, 7)
    assert [line.split()[-1] for line in text.splitlines()[4:]] == ["SLOWER", "0.90×"]


def test_an_unknown_revision_is_an_error(repository: Path) -> None:
    with pytest.raises(compare.BenchmarkFailed, match=r"git worktree add .* failed: .*nowhere"):
        compare.compare(("HEAD", "nowhere"), ["tasks"], 1, root=repository)
    assert git(repository, "worktree", "list").count("\n") == 1


def test_the_figures_of_a_report_are_parsed() -> None:
    limits = [report.Limit("a name", must=3, aim=2), report.Limit("cold", must=800, aim=400, unit="ms")]
    found = [report.Finding(limit, figure) for limit, figure in zip(limits, (1.25, 1234), strict=True)]
    assert compare.parse_figures("text\n" + report.findings(found) + "3 s in all\n")[1] == ("cold", 1234, "ms")
    assert [figure for _, figure, _ in compare.parse_figures(report.findings(found))] == [1.25, 1234]


@pytest.mark.parametrize(
    ("arguments", "revisions", "groups"),
    [
        (["old"], ("old", "HEAD"), []),
        (["old", "new"], ("old", "new"), []),
        (["old", "tasks"], ("old", "HEAD"), ["tasks"]),
        (["old", "new", "cold", "tasks"], ("old", "new"), ["cold", "tasks"]),
    ],
)
def test_arguments_are_revisions_and_groups(
    arguments: list[str], revisions: tuple[str, str], groups: list[str]
) -> None:
    options = compare._parse_arguments(arguments, ["tasks", "cold"])
    assert (options.revisions, options.groups, options.rounds) == (revisions, groups, 5)


@pytest.mark.parametrize("arguments", [[], ["old", "new", "fly"], ["old", "--rounds", "0"]])
def test_invalid_arguments_are_rejected(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        compare._parse_arguments(arguments, ["tasks", "cold"])
