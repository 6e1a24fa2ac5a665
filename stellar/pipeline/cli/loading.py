"""Loading of the pipelines that a command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stellar.pipeline.command_line import OptionError
from stellar.pipeline.config.cluster import ZooKeeperLocation
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.connectors.sources import STANDARD_INPUT
from stellar.pipeline.group_loading import load_pipelines, load_stored_pipelines
from stellar.pipeline.live import LivePipeline
from stellar.pipeline.progress import print_line
from stellar.pipeline.routing import PipelineGroup
from stellar.pipeline.services import ServiceConnector, use_models_of

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper
    from stellar.pipeline.metrics import PipelineMetrics

Connect = Callable[[PipelineGroup, Sequence[SensorConfig]], None]


def find_inputs(names: Sequence[str], config: SensorConfig) -> list[str]:
    """Return the files and globs to read: those of the command, or of the configuration, or standard input.

    config: the configuration of the first sensor
    """
    if names:
        return list(names)
    directory = (config.store is None and config.directory) or Path()
    return [str(directory / name) for name in config.globals.inputs.get(config.sensor, ())] or [STANDARD_INPUT]


class Messages:
    """Prints messages of a command on standard error.

    print: prints a line; that of a display, while there is one
    """

    def __init__(self) -> None:
        self.print: Callable[[str], object] = print_line

    def reset(self) -> None:
        """Print without a display."""
        self.print = print_line

    def __call__(self, message: str) -> None:
        self.print(f"stellar-pipeline: {message}")


class OpenPipeline(NamedTuple):
    """The pipeline of a command, with the configurations of its sensors when it started.

    connect: connects the pipeline to its models, and checks what else its expressions need, unless that is done
    watch: reports changes of a configuration that the pipeline does not follow
    """

    configs: Sequence[SensorConfig]
    pipeline: PipelineGroup | LivePipeline[PipelineGroup]
    connect: Callable[[], None]
    watch: Callable[[Callable[[str], object]], None] = lambda report: None


def open_pipeline(
    options: argparse.Namespace,
    stack: ExitStack,
    report: Callable[[str], object],
    prepare: Connect = lambda group, configs: None,
    metrics: PipelineMetrics | None = None,
) -> OpenPipeline:
    """Load the pipeline that options select; one in ZooKeeper is also connected, and follows its configuration.

    With `--workers`, it is that of the configuration now, as its processes cannot have the connection of this one.

    stack: receives what must be closed
    report: receives messages about changes of the configuration
    prepare: called with a changed configuration before it is used; raises ConfigError or ValueError to reject it
    metrics: shows the calls of models; None if they are not needed

    Raises ConfigErrors with all errors of all configurations, OSError or ValueError if ZooKeeper cannot be used.
    """
    if isinstance(options.config, ZooKeeperLocation):
        if getattr(options, "workers", 1) > 1:
            return _read_once(options.config, options, stack)
        return _follow(options.config, options, stack, report, prepare, metrics)
    if options.patterns is not None:
        raise OptionError(f"--patterns has no effect with a directory; move the files to {options.config}/patterns")
    configs, group = load_pipelines(options.config, options.sensor)
    connect = _make_connect(stack.enter_context(ServiceConnector(options, metrics=metrics)), prepare)
    return OpenPipeline(configs, group, partial(connect, group, configs))


def _make_connect(connector: ServiceConnector, prepare: Connect) -> Connect:
    def connect(group: PipelineGroup, configs: Sequence[SensorConfig]) -> None:
        connector.connect(group, configs[0])
        prepare(group, configs)

    return connect


def _follow(
    location: ZooKeeperLocation,
    options: argparse.Namespace,
    stack: ExitStack,
    report: Callable[[str], object],
    prepare: Connect,
    metrics: PipelineMetrics | None,
) -> OpenPipeline:
    from stellar.pipeline.live_configuration import LiveConfiguration  # loads kazoo

    zookeeper = _connect(location, stack)
    shared = zookeeper if use_models_of(location, options) else None
    connector = stack.enter_context(ServiceConnector(options, shared, metrics=metrics))
    live = stack.enter_context(
        LiveConfiguration(
            zookeeper,
            partial(load_stored_pipelines, names=options.sensor, directory=options.patterns),
            root=location.topology,
            connect=_make_connect(connector, prepare),
            report=report,
            inform=(lambda message: None) if options.quiet else report,
        )
    )
    return OpenPipeline(live.configs, live.pipeline, lambda: None)


def _read_once(location: ZooKeeperLocation, options: argparse.Namespace, stack: ExitStack) -> OpenPipeline:
    """Load the pipeline of the configuration as it is now."""
    from stellar.pipeline.cluster_tools import read_cluster  # loads kazoo

    snapshot = read_cluster(location)
    load = partial(load_stored_pipelines, names=options.sensor, directory=options.patterns)
    configs, group = load(snapshot)
    use_models_of(location, options)

    def watch(report: Callable[[str], object]) -> None:
        from stellar.pipeline.live_configuration import report_changes  # most runs end with their files

        stack.enter_context(report_changes(_connect(location, stack), load, snapshot, location.topology, report))

    return OpenPipeline(configs, group, lambda: None, watch)


def _connect(location: ZooKeeperLocation, stack: ExitStack) -> ZooKeeper:
    from stellar.repl.models import connect_zookeeper  # loads kazoo

    zookeeper = connect_zookeeper(location.hosts)
    stack.callback(zookeeper.close)
    return zookeeper
