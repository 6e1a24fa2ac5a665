"""`stellar-pipeline run`: processes lines with the pipeline of a sensor."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stellar.java.match_timer import match_timer
from stellar.monitoring.options import add_log_format_option, add_metrics_option
from stellar.pipeline.checkpoints import Checkpoints
from stellar.pipeline.cli.common import add_config_or_zookeeper, add_input
from stellar.pipeline.cli.loading import Messages, OpenPipeline, find_inputs, open_pipeline
from stellar.pipeline.cli.run_targets import FailureSummary, TargetSettings, encode_failure
from stellar.pipeline.command_line import INTERRUPTED, MAX_SHOWN, OK, OptionError, convert_option_errors
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.connectors.positions import RunState
from stellar.pipeline.connectors.resuming import check_resumable, read_resumed
from stellar.pipeline.connectors.sinks import (
    STANDARD_OUTPUT,
    Encoding,
    Sink,
    Sinks,
    find_encoding,
)
from stellar.pipeline.connectors.sources import check_readable, expand_names, list_existing, read_batches, total_size
from stellar.pipeline.input_use import collect_inputs, warn_of_unused
from stellar.pipeline.live import LivePipeline
from stellar.pipeline.options import positive_integer
from stellar.pipeline.pipeline import MessageProcessor
from stellar.pipeline.progress import Display, display, summarize_counts
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.run import Counts, reject_stored, run_batches
from stellar.pipeline.services import add_registry_options
from stellar.util.interrupts import Interrupts
from stellar.util.program_cache import save_cache

if TYPE_CHECKING:
    from stellar.pipeline.metrics import PipelineMetrics
    from stellar.pipeline.profiler.in_run import ProfilingSink

DESCRIPTION = (
    "Process the lines of files with the pipeline of a sensor: parser, field transformations, filter, validation, "
    "enrichment, threat intelligence, triage."
)
EXIT_STATUS = """\
exit status: 0 if the run completed, even if single records failed;
1 for an error in the configuration or a file; 2 for invalid options; 130 if it
was interrupted, unless it follows files"""
_IN_FLIGHT_HELP = (
    "lines processed concurrently; by default 64 if expressions call models, otherwise 1. The output has the order of "
    "the input"
)
_WORKERS_HELP = (
    "processes that run the pipeline, while this one reads and writes; by default 1, which does everything. The output "
    "is the same, and has the order of the input. Each has its own cache, and its own --in-flight lines"
)
_OUTPUT_HELP = (
    "target for records: a file of JSON lines, which is overwritten; a SQLite file (.db, .sqlite, .sqlite3), which is "
    "appended to; a Parquet file (.parquet), which is replaced; a directory, whose files DIR/SENSOR/DATE.jsonl are "
    "appended to, with the outputPathFunction of indexing/SENSOR.json instead of SENSOR, or a URL of HDFS or an object "
    "store, where each minute has a file of its own; opensearch:URL,... or "
    "elasticsearch:URL,..., with the index of indexing/SENSOR.json; or - for standard output (the default)"
)
_ERRORS_HELP = (
    "target for error documents, likewise; "
    f"by default the first {MAX_SHOWN} failures are summarized on standard error, and the others only counted"
)
_FOLLOW_HELP = (
    "read what is added to the files, and files that appear under their names or globs, until Ctrl-C or SIGTERM. Files "
    "that are renamed, or copied and truncated, are read to their ends. Use --resume to continue after a restart"
)
_RESUME_HELP = (
    "continue where the last run with this output ended, also if it was killed. Positions are stored with the output: "
    "in the SQLite file, or in TARGET.position for a file of JSON lines, which is continued. Records are written "
    "exactly once there, and at least once to standard output"
)
_FOLLOWED_HELP = (
    ", whose changes take effect between two lines; an invalid change is reported, and has no effect. Models are then "
    "those of the same ZooKeeper by default"
)
_POSITION_HELP = "file for the positions of --resume; required for standard output"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_input(parser)
    add = parser.add_argument
    add("--output", default=STANDARD_OUTPUT, metavar="TARGET", help=_OUTPUT_HELP)
    add("--errors", metavar="TARGET", help=_ERRORS_HELP)
    add("--follow", action="store_true", help=_FOLLOW_HELP)
    add("--resume", action="store_true", help=_RESUME_HELP)
    add("--position", metavar="FILE", help=_POSITION_HELP)
    add_registry_options(parser)
    add("--in-flight", metavar="N", type=positive_integer, help=_IN_FLIGHT_HELP)
    add("--workers", metavar="N", type=positive_integer, default=1, help=_WORKERS_HELP)
    add_metrics_option(parser)
    add_log_format_option(parser)
    add("--quiet", action="store_true", help="print neither progress nor counts")
    add_config_or_zookeeper(parser, _FOLLOWED_HELP)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    with ExitStack() as stack:
        return _execute(_open(options, stack))


_Process = Callable[[Iterable[LineBatch], Sink, Sink, Counts, Callable[[LineBatch], None]], None]


@dataclass(frozen=True)
class _OpenRun:
    """A run whose pipeline is connected, and whose sources and targets are open.

    batches: the lines of the sources
    process: processes them
    """

    options: argparse.Namespace
    sensor: str
    counts: Counts
    state: RunState
    sinks: Sinks
    screen: Display
    sink: Sink
    errors: Sink
    profiles: ProfilingSink | None
    batches: Iterable[LineBatch]
    process: _Process

    def finish(self) -> None:
        """Complete the profiles, and wait until all documents are stored. Raises OSError."""
        if self.profiles is not None:
            counts = self.profiles.finish()
            if not self.options.quiet:
                self.screen.print_message(f"stellar-pipeline: profiles: {counts}")
        self.sinks.deliver()


def _execute(opened: _OpenRun) -> int:
    """Process all batches, and return the exit status."""
    options, interrupts = opened.options, Interrupts()
    checkpoints = _make_checkpoints(opened, interrupts)
    commit = _ignore if checkpoints is None else checkpoints.commit
    try:
        with interrupts.handle(*_list_signals(options)), checkpoints or nullcontext():
            opened.process(opened.batches, opened.profiles or opened.sink, opened.errors, opened.counts, commit)
        opened.finish()
    except KeyboardInterrupt:
        opened.finish()
        opened.screen.print_message("stellar-pipeline: interrupted; the records so far are stored")
        return OK if options.follow else INTERRUPTED
    finally:
        if not options.quiet:
            opened.screen.print_message(f"stellar-pipeline: {opened.sensor}: {opened.counts}")
    return OK


def _make_checkpoints(opened: _OpenRun, interrupts: Interrupts) -> Checkpoints | None:
    if not opened.options.resume and not opened.options.follow:
        return None
    return Checkpoints(opened.sinks, opened.state, opened.counts, complete=interrupts.complete)


# -- Opening ----------------------------------------------------------------------------------------------------------


def _open(options: argparse.Namespace, stack: ExitStack) -> _OpenRun:
    """Load and connect the pipeline, and open sources and targets.

    stack: receives what must be closed

    Raises ConfigError, OptionError, OSError or ValueError.
    """
    messages, counts = Messages(), Counts()
    metrics = _make_metrics(options, counts)
    targets = TargetSettings(options, messages, metrics)
    opened = open_pipeline(options, stack, messages, targets.prepare, metrics)
    config, sensor = opened.configs[0], opened.pipeline.sensor
    patterns = find_inputs(options.files, config)
    files = _find_files(patterns, options)
    check_readable(files, (options.output, options.errors))
    _check_options(options, config, files)
    process = _connect(opened, options, targets, stack, metrics, messages)
    save_cache()
    sinks = stack.enter_context(Sinks(targets.open_search, targets.open_remote))
    state = open_state(options, sinks, sensor) if options.resume else RunState(sensor)
    sink = sinks.open(options.output, "records", targets.choose)
    screen = _open_display(options, counts, files, messages, stack)
    errors = sinks.open(options.errors, "errors", targets.choose) if options.errors else FailureSummary(screen)
    if metrics is not None:
        sink, errors = _show_metrics(metrics, options, sensor, sink, errors)
    for output in sinks.search_outputs:
        output.reject = lambda item, reason: reject_stored(counts, errors, item.document, reason)
    profiles = _open_profiles(config, sink, errors)
    if metrics is not None:
        metrics.serve(options.metrics, stack, _ignore if options.quiet else messages)
    batches = screen.track(_read(patterns, files, state, options))
    return _OpenRun(options, sensor, counts, state, sinks, screen, sink, errors, profiles, batches, process)


def _open_display(
    options: argparse.Namespace, counts: Counts, files: Sequence[str], messages: Messages, stack: ExitStack
) -> Display:
    """Return the display of the progress, which prints messages until the stack is closed."""
    total = None if options.follow else total_size(files)
    screen = stack.enter_context(display(partial(summarize_counts, counts), total, _is_progress_shown(options)))
    messages.print = screen.print_message
    stack.callback(messages.reset)  # before the display ends
    return screen


def _show_metrics(
    metrics: PipelineMetrics, options: argparse.Namespace, sensor: str, sink: Sink, errors: Sink
) -> tuple[Sink, Sink]:
    """Name the pipeline in the metrics, and return the sinks, observed unless several processes count their own."""
    metrics.pipeline = sensor
    if options.workers > 1:
        return sink, errors
    return metrics.observer.measure_writes(sink, sensor), metrics.observer.count_errors(errors)


def _make_metrics(options: argparse.Namespace, counts: Counts) -> PipelineMetrics | None:
    if options.metrics is None:
        return None
    from stellar.pipeline.metrics import PipelineMetrics  # most runs show none

    return PipelineMetrics(counts)


def _connect(
    opened: OpenPipeline,
    options: argparse.Namespace,
    targets: TargetSettings,
    stack: ExitStack,
    metrics: PipelineMetrics | None,
    report: Callable[[str], object],
) -> _Process:
    """Return the function that processes batches, after the services of the pipeline were connected."""
    pipeline, configs = opened.pipeline, opened.configs
    if options.workers > 1 and isinstance(pipeline, PipelineGroup):
        from stellar.pipeline.cli.workers import start_workers  # most runs have one process

        targets.prepare(pipeline, configs)
        errors = find_encoding(options.errors, targets.choose) if options.errors else Encoding(encode_failure)
        output = find_encoding(options.output, targets.choose)
        process = start_workers(pipeline, configs[0], options, (output, errors), stack, metrics)
        if options.follow:
            opened.watch(report)
        return process
    opened.connect()
    stack.enter_context(match_timer())
    return partial(_run_here, pipeline, options)


def _run_here(
    pipeline: MessageProcessor,
    options: argparse.Namespace,
    source: Iterable[LineBatch],
    sink: Sink,
    errors: Sink,
    counts: Counts,
    commit: Callable[[LineBatch], None],
) -> None:
    try:
        run_batches(pipeline, source, sink, errors, counts, options.in_flight, options.topic, commit)
    finally:
        group = pipeline.current if isinstance(pipeline, LivePipeline) else pipeline
        if isinstance(group, PipelineGroup):
            warn_of_unused(collect_inputs(member for _, member in group.members))


def _find_files(patterns: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Return the files that exist at the start. Raises OSError if there are none, unless they may appear later."""
    if not options.follow:
        return expand_names(patterns)
    targets = {os.path.realpath(each) for each in _list_targets(options)}
    return [name for name in list_existing(patterns) if os.path.realpath(name) not in targets]


def _list_targets(options: argparse.Namespace) -> list[str]:
    """Return the files that the run writes."""
    targets = [each for each in (options.output, options.errors, options.position) if each is not None]
    return [
        f"{each}{suffix}"
        for each in targets
        for suffix in ("", ".part", ".position", ".position.new", ".new", "-journal")
    ]


def _check_options(options: argparse.Namespace, config: SensorConfig, files: Sequence[str]) -> None:
    """Check the options of positions. Raises OptionError."""
    if options.position is not None and not options.resume:
        raise OptionError("--position has no effect without --resume")
    if options.resume or options.follow:
        with convert_option_errors():
            check_resumable(files)
    if options.resume and config.profiler_location is not None:
        raise OptionError(
            f"the values of profiles cannot be resumed; remove --resume or {config.profiler_location}, and apply the "
            "records with stellar-profiler"
        )


def _list_signals(options: argparse.Namespace) -> list[signal.Signals]:
    """Return the signals that end the run after what it has read was stored."""
    return [signal.SIGINT, *([signal.SIGTERM] if options.follow else [])]


def open_state(options: argparse.Namespace, sinks: Sinks, sensor: str) -> RunState:
    """Return the stored state of a run, or a new one. Raises OptionError, ValueError or OSError."""
    targets = [options.output, *([options.errors] if options.errors else [])]
    with convert_option_errors():
        store = sinks.open_positions(sensor, targets, options.position)
    state = store.load() or RunState(sensor)
    if state.sensor != sensor:
        raise ValueError(f"the stored positions are of a run of {state.sensor}, not {sensor}; use another --output")
    sinks.resume(state.lengths)
    return state


def _read(
    patterns: Sequence[str], files: Sequence[str], state: RunState, options: argparse.Namespace
) -> Iterator[LineBatch]:
    if options.follow:
        from stellar.pipeline.connectors.following import FileFollower  # most runs end with their files

        return FileFollower(patterns, state.files, _list_targets(options), options.max_line_bytes).read()
    if options.resume:
        return read_resumed(files, state.files, options.max_line_bytes)
    return read_batches(files, options.max_line_bytes)


def _ignore(_: object) -> None:
    """Store no position, and print nothing."""


def _open_profiles(config: SensorConfig, sink: Sink, errors: Sink) -> ProfilingSink | None:
    """Return the sink that applies records to profiles; None if the configuration has no profiles."""
    if config.profiler_location is None:
        return None
    from stellar.pipeline.profiler.in_run import open_profiler  # most runs have no profiles

    return open_profiler(config, sink, errors)


def _is_progress_shown(options: argparse.Namespace) -> bool:
    is_output_shown = options.output == STANDARD_OUTPUT and sys.stdout.isatty()
    return sys.stderr.isatty() and not options.quiet and not is_output_shown
