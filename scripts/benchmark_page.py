"""Writes the results of the benchmarks into the documentation, with charts: `python -m scripts.benchmark_page`.

The results are those of `benchmarks/data/results.json`, which `python -m benchmarks --json` writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Finding, Limit, Quantity, Table, findings
from scripts.bar_charts import OURS, THEIRS, THIRD, Bar, Group, draw_bars

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "data" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
FOLDER = ROOT / "docs" / "benchmarks"

_OURS = re.compile(r"stellar|\bmaas\b|evaluate_many")
_BLOCK = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- end of results -->)", re.DOTALL)


@dataclass(frozen=True)
class Chart:
    """A chart of some columns of a table; the first column has the labels.

    table: the position of the table in its group
    logarithmic: True for values of several orders of magnitude
    """

    file: str
    title: str
    group: str
    columns: Sequence[str]
    table: int = 0
    logarithmic: bool = False


CHARTS = (
    Chart(
        "evaluation.svg",
        "Evaluation: times the CPU of a hand-written function, geometric mean of T1–T7",
        "tasks",
        ["geomean of T1-T7"],
        table=1,
        logarithmic=True,
    ),
    Chart("jvm.svg", "Evaluation: CPU of Stellar relative to Metron's engine on the JVM", "java", ["stellar / JVM"]),
    Chart("pipeline.svg", "Pipeline: CPU time of a Squid line, in µs", "pipeline", ["line"]),
    Chart("parsers.svg", "Parsers: CPU time of a line, in µs", "parsers", ["by hand", "stellar", "JVM"]),
    Chart("rule-sets.svg", "Rule sets: CPU time of a record, in µs", "rulesets", ["by hand", "stellar"]),
    Chart("columns.svg", "60 rules on a file: CPU time of a record, in µs", "columns", ["one by one", "in columns"]),
    Chart("streams.svg", "Records per second through a model that takes 5 ms", "models", ["records/s"], table=1),
    Chart("start-up.svg", "Start-up: CPU time of whole processes, in ms", "startup", ["CPU"]),
)

TITLES = {
    "tasks": "Evaluation",
    "java": "Beside the JVM",
    "mapped": "Calls and map",
    "functions": "Functions",
    "parsers": "Parsers",
    "pipeline": "Pipeline",
    "rulesets": "Rule sets",
    "workers": "Several processes",
    "topics": "Topics of Kafka",
    "spark": "Spark",
    "columns": "Columns",
    "models": "Models",
    "scoring": "Scores of models",
    "serving": "Model servers",
    "alerts": "Alerts page",
    "registry": "Changes of the registry",
    "width": "Width of the record",
    "compile": "Compilation",
    "cold": "Rules in a fresh process",
    "startup": "Start-up",
    "prompt": "First prompt",
}


def read_results(file: Path = RESULTS) -> dict[str, Any]:
    """Return the results of a run of all groups.

    Raises ValueError if a group is missing.
    """
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if missing := [name for name in TITLES if name not in results["groups"]]:
        raise ValueError(f"{file} has no results of {', '.join(missing)}; run `python -m benchmarks --json {file}`")
    return results


def draw_charts(results: dict[str, Any]) -> dict[str, str]:
    """Return the charts, by file name. A chart of results that are not measured is left out."""
    charts = {}
    for chart in CHARTS:
        tables = results["groups"][chart.group]["tables"]
        if len(tables) > chart.table:
            charts[chart.file] = _draw_chart(chart, Table.from_data(tables[chart.table]))
    return charts


def _draw_chart(chart: Chart, table: Table) -> str:
    columns = [table.headings.index(name) for name in chart.columns]
    colours = (THEIRS, OURS, THIRD)
    groups = [
        Group(row[0], [_make_bar(row, column, colour) for column, colour in zip(columns, colours, strict=False)])
        for row in table.rows
    ]
    legend = list(zip(chart.columns, colours, strict=False)) if len(columns) > 1 else ()
    return draw_bars(chart.title, groups, legend, logarithmic=chart.logarithmic)


def _make_bar(row: Sequence[str], column: int, colour: str) -> Bar:
    cell = row[column]
    value = cell.value if isinstance(cell, Quantity) else None
    return Bar(value, str(cell), OURS if _OURS.search(row[0]) else colour)


def render(text: str, results: dict[str, Any]) -> str:
    """Return the text of the page with these results."""
    block = "\n".join([*_write_heading(results), *_write_groups(results), *_write_limits(results)])
    return _BLOCK.sub(lambda _: f"\n{block}\n\n", text)


def _write_heading(results: dict[str, Any]) -> Iterator[str]:
    peers = ", ".join(f"{name} {version or '(not installed)'}" for name, version in results["peers"].items())
    quick = ", with `--quick`" if results["quick"] else ""
    yield f"{results['python']} on {results['machine']} with {results['cores']} cores, {results['date']}{quick}."
    if results["load"] > results["cores"]:
        yield (
            f"The machine was busy (load average {results['load']:g}): wall-clock times, such as those of streams, are "
            "too long, and CPU times slightly."
        )
    yield f"Beside {peers}.\n"


def _write_groups(results: dict[str, Any]) -> Iterator[str]:
    charts = draw_charts(results)
    for name, title in TITLES.items():
        group = results["groups"][name]
        yield f"### {title}\n"
        for chart in CHARTS:
            if chart.group == name and chart.file in charts:
                yield f"![{chart.title}](benchmarks/{chart.file})\n"
        if group["tables"]:
            yield "```text"
            yield "\n".join(str(Table.from_data(table)) for table in group["tables"]).strip()
            yield "```\n"
        yield from (f"{note}\n" for note in group["notes"])


def _write_limits(results: dict[str, Any]) -> Iterator[str]:
    found = [
        Finding(Limit(figure["name"], figure["must"], figure["aim"], figure["unit"]), figure["value"])
        for group in results["groups"].values()
        for figure in group["figures"]
    ]
    yield "### Limits\n"
    yield "```text"
    yield findings(found).partition("\n\n")[2].strip()
    yield "```"


def main() -> None:
    """Write the page and its charts."""
    results = read_results()
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    FOLDER.mkdir(exist_ok=True)
    charts = draw_charts(results)
    for file in FOLDER.glob("*.svg"):
        if file.name not in charts:
            file.unlink()
    for name, chart in charts.items():
        (FOLDER / name).write_text(chart, encoding="utf-8")


if __name__ == "__main__":
    main()
