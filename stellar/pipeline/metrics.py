"""The metrics of a pipeline: records by outcome and calls of models, from the counts that a run has anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stellar.monitoring.metrics import Metric, MetricSample
from stellar.monitoring.process import collect_process
from stellar.pipeline.run import Counts

if TYPE_CHECKING:
    from stellar.maas import ModelClient
    from stellar.monitoring.address import ListenAddress
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
    pipeline: the name of the sensors
    """

    counts: Counts = field(default_factory=Counts)
    pipeline: str = ""
    _client: ModelClient | None = None

    def use_client(self, client: ModelClient) -> None:
        """Show the calls of a client, and measure their latencies from now on."""
        client.measure_latencies()
        self._client = client

    def collect(self) -> Iterator[MetricSample]:
        """Yield all samples."""
        yield from collect_process()
        yield from collect_counts(self.pipeline, self.counts)
        if self._client is not None:
            from stellar.maas.metrics import collect_client  # most runs have no metrics

            yield from collect_client(self._client)


def collect_counts(pipeline: str, counts: Counts) -> Iterator[MetricSample]:
    """Yield the samples of the counts of a run."""
    yield MESSAGES.sample(counts.read, pipeline)
    for outcome in ("out", "dropped", "rejected"):
        yield RECORDS.sample(getattr(counts, outcome), pipeline, outcome)
    yield REPORTS.sample(counts.reports, pipeline)


def serve_metrics(
    address: ListenAddress,
    metrics: PipelineMetrics,
    stack: ExitStack,
    inform: Callable[[str], object],
    ready: FindProblem = lambda: None,
) -> None:
    """Serve metrics. Raises OSError if the address cannot be used.

    inform: receives a message with the address
    ready: why the pipeline cannot process messages now; None if it can
    """
    from stellar.monitoring.server import MonitoringServer  # loads an HTTP server

    server = stack.enter_context(MonitoringServer(address, metrics.collect, ready=ready))
    inform(f"metrics at http://{server.address}/metrics")
