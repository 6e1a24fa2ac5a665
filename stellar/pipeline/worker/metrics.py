"""The metrics and the health of a process of a worker."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from stellar.monitoring.metrics import MetricSample
from stellar.pipeline.metrics import PipelineMetrics
from stellar.pipeline.progress import print_line

if TYPE_CHECKING:
    from stellar.pipeline.worker.loop import WorkerLoop

SILENT_SECONDS = 300.0  # the default of max.poll.interval.ms, after which Kafka excludes a worker from its group
_STARTING = "the worker is starting"


class WorkerMetrics(PipelineMetrics):
    """The metrics of a worker, served from its start on.

    options: those of `stellar-pipeline worker`
    connection: the parent requests the metrics on it; None to serve them here

    Raises OSError if the address cannot be used.
    """

    def __init__(self, options: argparse.Namespace, stack: ExitStack, connection: socket.socket | None) -> None:
        super().__init__(live=self.find_live_problem, ready=self.find_ready_problem)
        self._loop: WorkerLoop | None = None
        if connection is None:
            self.serve(options.metrics, stack, _ignore if options.quiet else _print)
        else:
            from stellar.monitoring.processes import respond_in_thread  # most workers have one process

            respond_in_thread(connection, self.collect, self.find_live_problem, self.find_ready_problem)

    def show(self, pipeline: str, loop: WorkerLoop) -> WorkerLoop:
        """Show the loop of the worker, which begins now; return the same loop with targets that are observed."""
        self.pipeline, self.counts = pipeline, loop.counts
        errors = loop.targets.observe_errors(self.observer.count_errors)
        self._loop = replace(loop, sink=self.observer.measure_writes(loop.sink, pipeline), errors=errors)
        return self._loop

    def collect(self) -> Iterator[MetricSample]:
        """Yield all samples."""
        readers = () if self._loop is None else self._loop.commits.readers
        self.lags = {partition: lag for reader in readers for partition, lag in reader.read_lags().items()}
        yield from super().collect()

    def find_live_problem(self) -> str | None:
        """Return why the worker should be restarted: it reads no messages any more."""
        seconds = 0.0 if self._loop is None else self._loop.commits.seconds_since_poll
        return f"messages were last read {seconds:.0f} s ago; restart the worker" if seconds > SILENT_SECONDS else None

    def find_ready_problem(self) -> str | None:
        """Return why the worker cannot process messages now: it starts, or no broker is available."""
        if self._loop is None:
            return _STARTING
        problems = (reader.problem for reader in self._loop.commits.readers)
        return next((problem for problem in problems if problem is not None), None)


def _print(message: str) -> None:
    print_line(f"stellar-pipeline: {message}")


def _ignore(_: str) -> None:
    """Print nothing."""
