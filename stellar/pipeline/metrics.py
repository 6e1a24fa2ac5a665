"""The metrics of a pipeline: records by outcome and calls of models, from the counts that a run has anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stellar.monitoring.metrics import FindProblem, Metric, MetricSample
from stellar.monitoring.process import collect_process
from stellar.pipeline.observer import PipelineObserver
from stellar.pipeline.run import Counts

if TYPE_CHECKING:
    from stellar.maas import ModelClient
    from stellar.monitoring.address import ListenAddress
    from stellar.monitoring.processes import ProcessChannels

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
LAG = Metric(
    "stellar_pipeline_lag_messages",
    "gauge",
    "Messages of each assigned partition that are not committed yet.",
    ("topic", "partition"),
)
RESTART = Metric(
    "stellar_pipeline_restart_needed",
    "gauge",
    "1 if the configuration in force has changes that take effect after a restart: settings maas.* or profiles.",
)
METRICS = (MESSAGES, RECORDS, REPORTS, LAG, RESTART)


@dataclass
class PipelineMetrics:
    """The metrics of the pipelines in this process.

    counts: those of the run; None if another process has them
    channels: the connections to the processes of the run, whose samples are added; None without any
    pipeline: the name of the sensors
    observer: counts rules and errors, and measures stages
    lags: messages that are not committed yet, by topic and partition
    pending: the changes of the configuration that take effect after a restart
    live: why the process should be restarted; None if it should not
    ready: why it cannot process messages now; None if it can
    """

    counts: Counts | None = None
    pipeline: str = ""
    live: FindProblem = lambda: None
    ready: FindProblem = lambda: None
    channels: ProcessChannels | None = None
    observer: PipelineObserver = field(default_factory=PipelineObserver)
    lags: Mapping[tuple[str, int], int] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    _client: ModelClient | None = None

    def use_client(self, client: ModelClient) -> None:
        """Show the calls of a client, and measure their latencies from now on."""
        client.measure_latencies()
        self._client = client

    def collect(self) -> Iterator[MetricSample]:
        """Yield all samples."""
        yield from collect_process()
        if self.counts is not None:
            yield from collect_counts(self.pipeline, self.counts)
        if self.channels is not None:
            yield from self.channels.collect()
        yield from self.observer.collect()
        if self._client is not None:
            from stellar.maas.metrics import collect_client  # most runs have no metrics

            yield from collect_client(self._client)
        yield RESTART.sample(int(bool(self.pending)))
        for (topic, partition), lag in list(self.lags.items()):
            yield LAG.sample(lag, topic, str(partition))

    def note_pending(self, change: str, *, is_pending: bool) -> None:
        """Note whether a change of the configuration waits for a restart; it no longer does when it is reverted."""
        if is_pending:
            self.pending.add(change)
        else:
            self.pending.discard(change)

    def serve(self, address: ListenAddress, stack: ExitStack, inform: Callable[[str], object]) -> None:
        """Serve the metrics until the stack is closed. Raises OSError if the address cannot be used.

        inform: receives a message with the address
        """
        from stellar.monitoring.server import MonitoringServer  # loads an HTTP server

        server = MonitoringServer(address, self.collect, lambda: self.live(), lambda: self.ready())
        stack.enter_context(server)
        inform(f"metrics at http://{server.address}/metrics")


def collect_counts(pipeline: str, counts: Counts) -> Iterator[MetricSample]:
    """Yield the samples of the counts of a run."""
    yield MESSAGES.sample(counts.read, pipeline)
    for outcome in ("out", "dropped", "rejected"):
        yield RECORDS.sample(getattr(counts, outcome), pipeline, outcome)
    yield REPORTS.sample(counts.reports, pipeline)
