"""Generates the tables of metrics in docs/monitoring.md: `python -m scripts.metrics`."""

from __future__ import annotations

import re
from pathlib import Path

from maas_runtime.cli import service_metrics
from maas_runtime.serving import metrics as serving_metrics
from stellar.maas import metrics as client_metrics
from stellar.monitoring import process, processes
from stellar.monitoring.metrics import HIDDEN_SERIES, Metric
from stellar.pipeline import metrics as pipeline_metrics
from stellar.pipeline import observer

PAGE = Path(__file__).parent.parent / "docs" / "monitoring.md"

# By the name of the marker around their table
TABLES = {
    "pipeline metrics": (*pipeline_metrics.METRICS, *observer.METRICS),
    "model metrics": client_metrics.METRICS,
    "service metrics": service_metrics.METRICS,
    "serving metrics": serving_metrics.METRICS,
    "process metrics": (*process.METRICS, processes.UP, HIDDEN_SERIES),
}


def render(text: str) -> str:
    """Return the text of the page with the present tables."""
    for marker, metrics in TABLES.items():
        table = re.compile(rf"(?<=<!-- {marker} -->\n).*?(?=<!-- end of {marker} -->)", re.DOTALL)
        text = table.sub(lambda _, metrics=metrics: table_of(metrics), text)
    return text


def table_of(metrics: tuple[Metric, ...]) -> str:
    """Return a row for each metric: name, kind, labels, meaning."""
    rows = (
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.help} |\n"
        for each in metrics
    )
    return "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n" + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
