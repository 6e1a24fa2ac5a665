"""`stellar-pipeline run`: processes lines with the pipeline of a sensor."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from stellar.java.match_timer import match_timer
from stellar.monitoring.options import add_log_format_option, add_metrics_option
from stellar.pipeline.checkpoints import Checkpoints
from stellar.pipeline.cli.common import add_config_or_zookeeper, add_input
from stellar.pipeline.cli.loading import Messages, OpenPipeline, find_inputs, open_pipeline
from stellar.pipeline.command_line import INTERRUPTED, MAX_SHOWN, OK, OptionError, convert_option_errors
from stellar.pipeline.config.cluster import ZooKeeperLocation
from stellar.pipeline.config.loading import ConfigText, SensorConfig
from stellar.pipeline.connectors.directories import choose_by_type
from stellar.pipeline.connectors.lines import LineBatch
from stellar.pipeline.connectors.positions import RunState
from stellar.pipeline.connectors.resuming import check_resumable, read_resumed
from stellar.pipeline.connectors.sinks import (
    STANDARD_OUTPUT,
    Encoding,
    Sink,
    Sinks,
    find_encoding,
    is_directory,
    is_search,
)
from stellar.pipeline.connectors.sources import check_readable, expand_names, list_existing, read_batches, total_size
from stellar.pipeline.input_use import collect_inputs, warn_of_unused
from stellar.pipeline.live import LivePipeline
from stellar.pipeline.options import positive_integer
from stellar.pipeline.pipeline import MessageProcessor
from stellar.pipeline.progress import Display, display, summarize_counts
from stellar.pipeline.records import Record
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.run import Counts, reject_stored, run_batches
from stellar.pipeline.services import add_registry_options
from stellar.util.abbreviate import escape
from stellar.util.interrupts import Interrupts
from stellar.util.program_cache import save_cache

if TYPE_CHECKING:
    from stellar.pipeline.connectors.remote import RemoteFiles
    from stellar.pipeline.connectors.search.output import SearchOutput
    from stellar.pipeline.indexing import SearchIndexing
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
    messages, counts = Messages(), Counts()
    metrics = _make_metrics(options, counts)
    targets = _TargetSettings(options, messages)
    with ExitStack() as stack:
        if options.workers > 1:
            _check_configuration_stays(options)
        opened = open_pipeline(options, stack, messages, targets.prepare, metrics)
        configs, pipeline = opened.configs, opened.pipeline
        patterns = find_inputs(options.files, configs[0])
        files = _find_files(patterns, options)
        check_readable(files, (options.output, options.errors))
        _check_options(options, configs[0], files)
        process = _connect(opened, options, targets, stack, metrics)
        save_cache()
        sinks = stack.enter_context(Sinks(targets.open_search, targets.open_remote))
        state = open_state(options, sinks, pipeline.sensor) if options.resume else RunState(pipeline.sensor)
        sink = sinks.open(options.output, "records", targets.choose)
        total = None if options.follow else total_size(files)
        screen = stack.enter_context(display(partial(summarize_counts, counts), total, _is_progress_shown(options)))
        messages.print = screen.print_message
        stack.callback(messages.reset)  # before the display ends
        errors = sinks.open(options.errors, "errors", targets.choose) if options.errors else _FailureSummary(screen)
        if metrics is not None and options.workers == 1:  # in several processes each counts its own
            sink = metrics.observer.measure_writes(sink, pipeline.sensor)
            errors = metrics.observer.count_errors(errors)
        for output in sinks.search_outputs:
            output.reject = lambda item, reason: reject_stored(counts, errors, item.document, reason)
        profiles = _open_profiles(configs[0], sink, errors)
        if metrics is not None:
            metrics.pipeline = pipeline.sensor
            metrics.serve(options.metrics, stack, _ignore if options.quiet else messages)
        interrupts = Interrupts()
        checkpoints = (
            Checkpoints(sinks, state, counts, complete=interrupts.complete)
            if options.resume or options.follow
            else None
        )
        source = screen.track(_read(patterns, files, state, options))
        try:
            with interrupts.handle(*_list_signals(options)), checkpoints or nullcontext():
                commit = checkpoints.commit if checkpoints is not None else _ignore
                process(source, profiles or sink, errors, counts, commit)
            _finish_profiles(profiles, screen, options)
            sinks.deliver()
        except KeyboardInterrupt:
            _finish_profiles(profiles, screen, options)
            sinks.deliver()
            screen.print_message("stellar-pipeline: interrupted; the records so far are stored")
            return OK if options.follow else INTERRUPTED
        finally:
            if not options.quiet:
                screen.print_message(f"stellar-pipeline: {pipeline.sensor}: {counts}")
    return OK


def _make_metrics(options: argparse.Namespace, counts: Counts) -> PipelineMetrics | None:
    if options.metrics is None:
        return None
    from stellar.pipeline.metrics import PipelineMetrics  # most runs show none

    return PipelineMetrics(counts)


class _TargetSettings:
    """The settings of directories and search servers, by the configuration that is in force."""

    def __init__(self, options: argparse.Namespace, report: Callable[[str], object]) -> None:
        self._options = options
        self._report = report
        self._choose: Callable[[Record], str] = choose_by_type
        self._indexing: SearchIndexing | None = None
        self._settings: Mapping[str, Any] = {}
        self._profiles: ConfigText | Literal["unread"] | None = "unread"

    def prepare(self, group: PipelineGroup, configs: Sequence[SensorConfig]) -> None:
        """Use other configurations. Raises ConfigError."""
        choose = _make_path_function(configs[0], self._options)
        self._settings = self._settings or configs[0].globals.settings
        if any(target is not None and is_search(target) for target in (self._options.output, self._options.errors)):
            self._find_indexing().use(configs)
        self._choose = choose
        profiles = configs[0].read_profiler()
        if self._profiles not in ("unread", profiles):
            self._report("changed profiles take effect after a restart")
        self._profiles = profiles

    def _find_indexing(self) -> SearchIndexing:
        from stellar.pipeline.indexing import SearchIndexing  # most runs write to files

        self._indexing = self._indexing or SearchIndexing()
        return self._indexing

    def open_remote(self, target: str) -> RemoteFiles:
        """Open a directory of another file system, by the first configuration. Raises ValueError or OSError."""
        from stellar.pipeline.remote_targets import open_remote  # most runs write to local files

        return open_remote(target, self._settings)

    def choose(self, document: Record) -> str:
        """Return the sub-directory of a document."""
        return self._choose(document)

    def open_search(self, target: str) -> SearchOutput:
        """Open a search server. Raises ConfigError, ValueError or OSError."""
        if self._indexing is None:
            raise RuntimeError("no configuration; call prepare first")
        return self._indexing.open(target)


_Process = Callable[[Iterable[LineBatch], Sink, Sink, Counts, Callable[[LineBatch], None]], None]


def _check_configuration_stays(options: argparse.Namespace) -> None:
    """Raise OptionError if the configuration may change during the run."""
    if isinstance(options.config, ZooKeeperLocation):
        raise OptionError(
            "only a run in one process follows a configuration in ZooKeeper; remove --workers, or copy the "
            "configuration to a directory with `zk_load_configs.sh -m PULL`"
        )


def _connect(
    opened: OpenPipeline,
    options: argparse.Namespace,
    targets: _TargetSettings,
    stack: ExitStack,
    metrics: PipelineMetrics | None,
) -> _Process:
    """Return the function that processes batches, after the services of the pipeline were connected."""
    pipeline, configs = opened.pipeline, opened.configs
    if options.workers > 1 and isinstance(pipeline, PipelineGroup):
        from stellar.pipeline.cli.workers import start_workers  # most runs have one process

        targets.prepare(pipeline, configs)
        errors = find_encoding(options.errors, targets.choose) if options.errors else Encoding(_encode_failure)
        output = find_encoding(options.output, targets.choose)
        return start_workers(pipeline, configs[0], options, (output, errors), stack, metrics)
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


def _make_path_function(config: SensorConfig, options: argparse.Namespace) -> Callable[[Record], str]:
    """Return the function for the sub-directories of documents, if a target is a directory. Raises ConfigError."""
    if not any(target is not None and is_directory(target) for target in (options.output, options.errors)):
        return choose_by_type
    from stellar.pipeline.output_paths import make_path_function  # most runs write to files

    return make_path_function(config)


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


def _finish_profiles(profiles: ProfilingSink | None, screen: Display, options: argparse.Namespace) -> None:
    if profiles is not None:
        counts = profiles.finish()
        if not options.quiet:
            screen.print_message(f"stellar-pipeline: profiles: {counts}")


def _is_progress_shown(options: argparse.Namespace) -> bool:
    is_output_shown = options.output == STANDARD_OUTPUT and sys.stdout.isatty()
    return sys.stderr.isatty() and not options.quiet and not is_output_shown


class _FailureSummary:
    """Prints one line for each of the first failures."""

    def __init__(self, screen: Display) -> None:
        self._screen = screen
        self._seen = 0

    def __call__(self, document: Record) -> None:
        self.write(_encode_failure(document))

    def write(self, encoded: bytes) -> None:
        """Add a failure that `_encode_failure` returned."""
        self._seen += 1
        if self._seen <= MAX_SHOWN:
            self._screen.print_message(encoded.decode())
        elif self._seen == MAX_SHOWN + 1:
            self._screen.print_message("further failures are only counted; use --errors FILE to store all of them")


def _encode_failure(document: Record) -> bytes:
    """Return the line for a failure, with unprintable characters escaped."""
    location = f"{document.get('origin', 'a message')}:{document.get('line', '')}"
    first, *_ = str(document["message"]).splitlines()
    return escape(f"{location}: {document['stage']}: {first}").encode()
