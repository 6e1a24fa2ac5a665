"""The metrics of a pipeline: records by outcome, from the counts that the run has anyway."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stellar.monitoring.metrics import Metric, MetricSample
from stellar.monitoring.process import collect_process
from stellar.pipeline.run import Counts

if TYPE_CHECKING:
    from stellar.monitoring.server import FindProblem

MESSAGES = Metric(
    "stellar_pipeline_messages_total", "counter", "Raw messages, such as lines, that were read.", ("pipeline",)
)
RECORDS = Metric(
    "stellar_pipeline_records_total",
    "counter",
    "Records and unreadable messages by outcome: out, dropped by a filter, or rejected with an error document.",
    ("pipeline", "outcome"),
)
REPORTS = Metric(
    "stellar_pipeline_reports_total",
    "counter",
    "Error documents of failures after which the record continued.",
    ("pipeline",),
)
METRICS = (MESSAGES, RECORDS, REPORTS)


@dataclass
class PipelineMetrics:
    """The metrics of the pipelines in this process.

    counts: those of the run
    """

    pipeline: str = ""
    counts: Counts = field(default_factory=Counts)

    def collect(self) -> Iterator[MetricSample]:
        """Yield all samples."""
        yield from collect_process()
        yield from collect_counts(self.pipeline, self.counts)


def collect_counts(pipeline: str, counts: Counts) -> Iterator[MetricSample]:
    """Yield the samples of the counts of a run."""
    yield MESSAGES.sample(counts.read, pipeline)
    for outcome in ("out", "dropped", "rejected"):
        yield RECORDS.sample(getattr(counts, outcome), pipeline, outcome)
    yield REPORTS.sample(counts.reports, pipeline)


def serve_metrics(
    options: argparse.Namespace,
    metrics: PipelineMetrics,
    stack: ExitStack,
    inform: Callable[[str], object],
    ready: FindProblem = lambda: None,
) -> None:
    """Serve metrics if options have the address. Raises OSError if it cannot be used.

    inform: receives a message with the address
    ready: why the pipeline cannot process messages now; None if it can
    """
    if options.metrics is None:
        return
    from stellar.monitoring.server import MonitoringServer  # loads an HTTP server

    server = stack.enter_context(MonitoringServer(options.metrics, metrics.collect, ready=ready))
    inform(f"metrics at http://{server.address}/metrics")
