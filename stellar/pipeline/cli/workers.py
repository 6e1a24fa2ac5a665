"""Runs in several processes, for `stellar-pipeline run --workers`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from functools import partial

from stellar.monitoring.processes import ProcessChannels
from stellar.pipeline.command_line import OptionError
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.connectors.sinks import Encoding, Sink
from stellar.pipeline.input_use import warn_of_unused
from stellar.pipeline.metrics import PipelineMetrics
from stellar.pipeline.parallel import BlockWork, run_in_workers
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.run import Counts
from stellar.pipeline.services import ServicesOfProcess, connect_services, print_shadow_counts
from stellar.util.workers import Workers

Process = Callable[[Iterable[LineBatch], Sink, Sink, Counts, Callable[[LineBatch], None]], None]


def start_workers(
    pipeline: PipelineGroup,
    config: SensorConfig,
    options: argparse.Namespace,
    encodings: Sequence[Encoding],
    stack: ExitStack,
    metrics: PipelineMetrics | None = None,
) -> Process:
    """Start the processes of a run, and return the function that processes batches in them.

    encodings: the forms for the sinks of records and errors
    metrics: shows the metrics of all processes; None if they are not needed

    Raises ConfigError or ValueError if the pipeline needs something that is missing, and OptionError if it needs one
    process for all records.
    """
    _check_order(pipeline, config)
    services = ServicesOfProcess(pipeline, config, options)
    make_work = partial(BlockWork, pipeline, encodings, services, options.in_flight, options.topic)
    make_workers = partial(Workers, options.workers)
    if metrics is not None:
        services.metrics = own = PipelineMetrics()
        make_work = partial(make_work, observe_errors=own.observer.count_errors)
        metrics.channels = stack.enter_context(closing(ProcessChannels(options.workers)))
        make_workers = partial(make_workers, begin=metrics.channels.prepare(own.collect))
    workers = stack.enter_context(make_workers(make_work))  # before there are other threads
    if metrics is not None and metrics.channels is not None:
        metrics.channels.release()
    with ExitStack() as checked:  # the processes connect at their first lines
        connect_services(pipeline, config, options, checked)
    return partial(_run, workers, pipeline, options)


def _run(
    workers: Workers,
    pipeline: PipelineGroup,
    options: argparse.Namespace,
    source: Iterable[LineBatch],
    sink: Sink,
    errors: Sink,
    counts: Counts,
    commit: Callable[[LineBatch], None],
) -> None:
    summaries = run_in_workers(workers, pipeline, source, sink, errors, counts, options.topic, commit)
    shadows, inputs = zip(*summaries, strict=True)
    warn_of_unused(*inputs)
    if not options.quiet:
        print_shadow_counts(*map(sum, zip(*shadows, strict=True)))


def _check_order(pipeline: PipelineGroup, config: SensorConfig) -> None:
    """Raise OptionError if one process must see all records, in their order."""
    if config.profiler_location is not None:
        raise OptionError(
            "the values of profiles need all records in one process; "
            f"remove --workers or {config.profiler_location}, and apply the records with stellar-profiler"
        )
    if stateful := sorted({name for _, member in pipeline.members for name in member.list_stateful_steps()}):
        raise OptionError(
            f"{', '.join(stateful)}: the result for a record depends on the records before, which other processes "
            "may have; remove --workers"
        )
