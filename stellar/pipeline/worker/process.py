"""One process of a worker: loads its pipelines, opens topics and targets, and runs the loop."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stellar.java.match_timer import match_timer
from stellar.language.errors import ConfigError
from stellar.pipeline.command_line import OK, OptionError
from stellar.pipeline.config.cluster import ZooKeeperLocation
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.positions import add_positions
from stellar.pipeline.connectors.directories import choose_by_type
from stellar.pipeline.connectors.kafka.consumer import TopicReader
from stellar.pipeline.connectors.kafka.producer import TopicWriter
from stellar.pipeline.connectors.kafka.settings import KafkaSettings
from stellar.pipeline.connectors.kafka.topics import TopicAdmin
from stellar.pipeline.connectors.sinks import Sinks, is_directory, is_search
from stellar.pipeline.metrics import PipelineMetrics
from stellar.pipeline.output_paths import make_path_function
from stellar.pipeline.pipeline import MessageProcessor
from stellar.pipeline.progress import print_line
from stellar.pipeline.records import Record
from stellar.pipeline.run import Counts
from stellar.pipeline.services import ServiceConnector, use_models_of
from stellar.pipeline.worker.document_ids import DocumentIds
from stellar.pipeline.worker.loop import Commits, Stop, WorkerLoop
from stellar.pipeline.worker.metrics import WorkerMetrics
from stellar.pipeline.worker.plan import WorkerLoader, WorkerPhase, WorkerPlan
from stellar.pipeline.worker.targets import Targets
from stellar.stores.configurations import ConfigurationSnapshot, DirectoryConfigurations

if TYPE_CHECKING:
    from stellar.pipeline.connectors.remote import RemoteFiles
    from stellar.pipeline.indexing import SearchIndexing


def run_worker(
    loader: WorkerLoader,
    settings: KafkaSettings,
    options: argparse.Namespace,
    connection: socket.socket | None = None,
) -> int:
    """Run a worker until it is stopped, and return the exit status.

    options: those of `stellar-pipeline worker`
    connection: the parent requests the metrics on it; None if they are served here
    """
    stop = Stop(options.seconds)
    with ExitStack() as stack:
        stack.enter_context(stop.on_signals())
        metrics = None if options.metrics is None else WorkerMetrics(options, stack, connection)
        admin = TopicAdmin(settings)
        if options.idempotent:
            loader = replace(loader, ids=DocumentIds(admin.find_id))
        indexing = _make_indexing(loader, options)
        configs, pipeline = _load(loader, options, stack, indexing, metrics)
        if loader.phase is WorkerPhase.ALL:
            _warn_of_profiles(configs[0])
        if indexing is not None:
            indexing.use(configs)
        plan = loader.plan(configs, options.spout).with_targets(options.output, options.errors)
        plan = plan.with_source(options.input, options.group)
        stack.enter_context(match_timer())
        open_search = None if indexing is None else indexing.open
        sinks = stack.enter_context(Sinks(open_search, partial(_open_remote, settings=configs[0].globals.settings)))
        choose = _make_path_function(plan, configs[0])
        loop = _open_loop(pipeline, plan, settings, admin, options, stack, loader.ids, sinks, choose, stop)
        if metrics is not None:
            loop = metrics.show(pipeline.sensor, loop)
        try:
            loop.process(options.in_flight)
        finally:
            if not options.quiet:
                print(f"stellar-pipeline: {pipeline.sensor}: {loop.counts}", file=sys.stderr)
    return OK


def _warn_of_profiles(config: SensorConfig) -> None:
    """Say that profiles are not applied, which a run over files does."""
    if config.profiler_location is not None:
        _print(f"{config.profiler_location}: a worker applies no profiles; apply its records with stellar-profiler")


def _make_indexing(loader: WorkerLoader, options: argparse.Namespace) -> SearchIndexing | None:
    """Return the indexing configuration if a target is a search server."""
    if not any(target is not None and is_search(target) for target in (options.output, options.errors)):
        return None
    from stellar.pipeline.indexing import SearchIndexing  # most workers write to topics

    return SearchIndexing(drops_disabled=loader.phase is WorkerPhase.INDEX)


def _open_remote(target: str, settings: Mapping[str, Any]) -> RemoteFiles:
    from stellar.pipeline.remote_targets import open_remote  # most workers write to topics

    return open_remote(target, settings)


def _load(
    loader: WorkerLoader,
    options: argparse.Namespace,
    stack: ExitStack,
    indexing: SearchIndexing | None,
    metrics: PipelineMetrics | None,
) -> tuple[Sequence[SensorConfig], Any]:
    """Return configurations and connected pipelines; those in ZooKeeper follow their configuration."""
    if isinstance(options.config, ZooKeeperLocation):
        return _follow(replace(loader, directory=options.patterns), options.config, options, stack, indexing, metrics)
    if options.patterns is not None:
        raise OptionError(f"--patterns has no effect with a directory; move the files to {options.config}/patterns")
    _check_directory(options.config)
    configs, pipeline = replace(loader, directory=options.config).load(DirectoryConfigurations(options.config))
    stack.enter_context(ServiceConnector(options, metrics=metrics)).connect(pipeline, configs[0])
    return configs, pipeline


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise ValueError(f"{directory} is not a directory; pass --config with the directory of the configuration")


def _follow(
    loader: WorkerLoader,
    location: ZooKeeperLocation,
    options: argparse.Namespace,
    stack: ExitStack,
    indexing: SearchIndexing | None,
    metrics: PipelineMetrics | None,
) -> tuple[Sequence[SensorConfig], Any]:
    from stellar.pipeline.live_configuration import LiveConfiguration  # loads kazoo
    from stellar.repl.models import connect_zookeeper

    zookeeper = connect_zookeeper(location.hosts)
    stack.callback(zookeeper.close)
    shared = zookeeper if use_models_of(location, options) else None
    connector = stack.enter_context(ServiceConnector(options, shared, metrics=metrics))
    live = LiveConfiguration(
        zookeeper,
        partial(_load_snapshot, loader),
        root=location.topology,
        connect=_ConnectSamePlan(loader, connector, options.spout, indexing).connect,
        report=_print,
        inform=_ignore if options.quiet else _print,
    )
    stack.enter_context(live)
    return live.configs, live.pipeline


@dataclass
class _ConnectSamePlan:
    """Connects changed pipelines, and rejects those that need other topics, targets or clients than the worker has."""

    loader: WorkerLoader
    connector: ServiceConnector
    spout: Mapping[str, Any] | None
    indexing: SearchIndexing | None = None
    plan: WorkerPlan | None = None

    def connect(self, group: Any, configs: Sequence[SensorConfig]) -> None:
        """Connect pipelines. Raises ConfigError or ValueError to reject them."""
        plan = self.loader.plan(configs, self.spout)
        if self.plan not in (None, plan):
            raise ValueError(
                "changed topics, targets or properties of clients take effect when the worker is restarted, and so do "
                "all changes that come with them"
            )
        self.connector.connect(group, configs[0])
        if self.indexing is not None:
            self.indexing.use(configs)
        self.plan = plan


def _load_snapshot(loader: WorkerLoader, snapshot: ConfigurationSnapshot) -> Any:
    try:
        return loader.load(snapshot)
    except ConfigError as error:
        raise add_positions(error, snapshot.texts()) from error


def _print(message: str) -> None:
    print_line(f"stellar-pipeline: {message}")


def _ignore(_: str) -> None:
    """Print nothing."""


def _make_path_function(plan: WorkerPlan, config: SensorConfig) -> Callable[[Record], str]:
    """Return the function for the sub-directories of documents, if a target is a directory. Raises ConfigError."""
    targets = (plan.output, plan.errors, *plan.errors_of_sensors.values())
    return make_path_function(config, drops_disabled=True) if any(map(is_directory, targets)) else choose_by_type


def _open_loop(
    pipeline: MessageProcessor,
    plan: WorkerPlan,
    settings: KafkaSettings,
    admin: TopicAdmin,
    options: argparse.Namespace,
    stack: ExitStack,
    ids: DocumentIds | None,
    sinks: Sinks,
    choose: Callable[[Record], str],
    stop: Stop,
) -> WorkerLoop:
    """Open the topics and targets of a worker, and return its loop. Raises OSError or ValueError."""
    counts = Counts()
    targets = Targets(sinks, counts, ids)
    partitions = admin.list_partitions(*plan.topics) if plan.topics else {}
    limits = admin.read_limits(sorted(partitions))
    writer = TopicWriter(settings, targets.reject, dict(plan.producer), limits=limits, spreads=options.spread)
    stack.callback(writer.close)
    targets.use_topics(writer)
    sink = targets.open(plan.output, "records", choose)
    errors = targets.open_errors(plan.errors, plan.errors_of_sensors, choose)
    shown = {"reads_times": ids is not None, "measures_lags": options.metrics is not None}
    readers = _open_readers(plan, settings, targets, stack, **shown)
    commits = Commits(readers, targets, stop, sinks.seconds_between_saves)
    writer.stay = commits.await_targets
    for output in sinks.search_outputs:
        output.stay = commits.await_targets
    return WorkerLoop(pipeline, sink, errors, counts, commits.commit_in_time, commits=commits, targets=targets)


def _open_readers(
    plan: WorkerPlan, settings: KafkaSettings, targets: Targets, stack: ExitStack, **shown: bool
) -> list[TopicReader]:
    readers = []
    for each in plan.subscriptions:
        reader = TopicReader(settings, each.group, each.topic, targets.acknowledge, dict(each.properties), **shown)
        stack.callback(reader.close)
        readers.append(reader)
    return readers
