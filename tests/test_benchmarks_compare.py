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

# A later commit, which has two new figures, one figure less, and a new group
LATER = """
import pathlib, sys
runs = pathlib.Path({runs!r})
runs.write_text(runs.read_text() + "x")
print("Limits\\n\\nwhat  measured  must  aim\\n----")
print("one run               {milliseconds} ms  ≤ 300 ms  ≤ 150 ms  aim met")
print("one call, to another  2.20×  ≤ 3.00×  ≤ 2.00×  must met")
if not {changes} or len(runs.read_text()) % 2:
    print("one more              7 ms  ≤ 100 ms  ≤ 60.0 ms  aim met")
"""


# Of all groups, this one is unknown to the older commits
REJECTS_NEW = """
import sys
if "new" in sys.argv:
    sys.exit("python -m benchmarks: error: unknown group 'new'; known groups are tasks")
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
        commit_program(root, REJECTS_NEW + program, name)
    return root


def commit_program(root: Path, program: str, subject: str) -> None:
    (root / "benchmarks" / "__main__.py").write_text(program, encoding="utf-8")
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", subject)


def commit_later(root: Path, *, changes: bool = False) -> None:
    """Commit benchmarks with other figures; if `changes`, every second run has one figure less."""
    runs = root.parent / "runs"
    runs.touch()
    commit_program(root, LATER.format(runs=str(runs), milliseconds=240, changes=changes), "later")


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


def test_figures_are_matched_by_name(repository: Path) -> None:
    commit_later(repository)
    comparisons = compare.compare(("HEAD~1", "HEAD"), ["tasks"], 2, root=repository)
    assert {each.name: (each.before, each.after) for each in comparisons} == {
        "one run": ([], [240.0] * 2),
        "one call, to another": ([2.5] * 2, [2.2] * 2),
        "one more": ([], [7.0] * 2),
        "import stellar": ([900.0] * 2, []),
    }
    assert [each.change for each in comparisons] == [None, pytest.approx(0.88), None, None]
    assert not any(compare.is_slower(each, 7) for each in comparisons)
    text = compare.format_comparisons(("old", "new"), comparisons, 7)
    assert "Medians of 2 alternating runs" in text
    assert [line.split()[-3:] for line in text.splitlines() if line.startswith(("one run", "import"))] == [
        ["–", "240", "ms"],
        ["900", "ms", "–"],
    ]
    assert text.endswith("not compared, as only one commit has a figure of that name: 3")


def test_a_group_that_the_older_commit_lacks_is_shown(repository: Path) -> None:
    commit_later(repository)
    comparisons = compare.compare(("HEAD~1", "HEAD"), ["tasks", "new"], 1, root=repository)
    assert [(each.before, each.after) for each in comparisons[-3:]] == [([], [240.0]), ([], [2.2]), ([], [7.0])]


def test_commits_without_a_common_figure_are_an_error(repository: Path) -> None:
    commit_later(repository)
    for revisions in (("HEAD~1", "HEAD"), ("HEAD~2", "HEAD~1")):
        with pytest.raises(compare.BenchmarkFailed, match="have no figure in common: nothing is compared"):
            compare.compare(revisions, ["new"], 1, root=repository)


def test_figures_that_change_between_the_runs_of_a_commit_are_an_error(repository: Path) -> None:
    commit_later(repository, changes=True)
    with pytest.raises(compare.BenchmarkFailed, match="got 'one more' 1 times in 2 rounds"):
        compare.compare(("HEAD~1", "HEAD"), ["tasks"], 2, root=repository)


def test_an_unknown_revision_is_an_error(repository: Path) -> None:
    with pytest.raises(compare.BenchmarkFailed, match=r"git worktree add .* failed: .*nowhere"):
        compare.compare(("HEAD", "nowhere"), ["tasks"], 1, root=repository)
    assert git(repository, "worktree", "list").count("\n") == 1


def test_the_figures_of_a_report_are_parsed() -> None:
    limits = [report.Limit("a name", must=3, aim=2), report.Limit("cold", must=800, aim=400, unit="ms")]
    limits.append(report.Limit("a small difference of two times", must=9, aim=5, unit="ms"))
    found = [report.Finding(limit, figure) for limit, figure in zip(limits, (1.25, 1234, -0.2), strict=True)]
    assert compare.parse_figures("text\n" + report.findings(found) + "3 s in all\n")[1] == ("cold", 1234, "ms")
    assert [figure for _, figure, _ in compare.parse_figures(report.findings(found))] == [1.25, 1234, -0.2]


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
