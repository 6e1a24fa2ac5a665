"""What the expressions of a pipeline need from outside, for the commands: models, stores, files and packages."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from stellar.language.context import Context
from stellar.language.errors import ConfigError
from stellar.pipeline.config.loading import SensorConfig, locate_setting
from stellar.pipeline.config.locations import ConfigErrors, SourceLocation
from stellar.pipeline.models import ReportingClient
from stellar.pipeline.pipeline import MODEL_FUNCTIONS, Pipeline
from stellar.pipeline.routing import TopicPattern
from stellar.util.abbreviate import quote
from stellar.util.slow_waits import announce_zookeeper

if TYPE_CHECKING:
    from stellar.maas import ClientSettings, ModelClient, Registry
    from stellar.maas.zookeeper import ZooKeeper
    from stellar.pipeline.config.cluster import ZooKeeperLocation
    from stellar.pipeline.input_use import InputUse
    from stellar.pipeline.metrics import PipelineMetrics

log = logging.getLogger(__name__)

NO_REGISTRY = "none"

_REGISTRY_HELP = (
    "directory of the model registry; by default $MAAS_HOME or ~/.maas, if that directory exists. With "
    f"{quote(NO_REGISTRY)} no models are available, and their results are null"
)


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the model registry."""
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--registry", metavar="DIR", help=_REGISTRY_HELP)
    models.add_argument("-z", "--zookeeper", metavar="HOST:PORT,...", help="ZooKeeper servers with the model registry")


def make_model_options(registry: str | None, zookeeper: str | None) -> argparse.Namespace:
    """Return the options of `add_registry_options` for a program without a command line, which prints nothing."""
    return argparse.Namespace(registry=registry, zookeeper=zookeeper, quiet=True)


class Pipelines(Protocol):
    """One or more pipelines that use the same services."""

    @property
    def members(self) -> tuple[tuple[TopicPattern, Pipeline], ...]:
        """The pipelines, with the topics that they read."""

    @property
    def calls_models(self) -> bool:
        """True if an expression of any pipeline calls models."""

    def use_models(self, registry: Registry, client: ModelClient) -> None:
        """Set the registry and the client for the model calls of all pipelines."""


ReportShadows = Callable[[int, int, int, int], None]


def print_shadow_counts(compared: int, disagreed: int, failed: int, dropped: int) -> None:
    """Print the counts of calls to shadows of models, if there were any, on standard error."""
    if compared or failed or dropped:
        print(
            f"stellar-pipeline: shadows: {compared} compared, {disagreed} disagreed, {failed} failed, "
            f"{dropped} dropped",
            file=sys.stderr,
        )


def use_models_of(location: ZooKeeperLocation, options: argparse.Namespace) -> bool:
    """Use the models beside a configuration, unless options name others. Return True if they are used."""
    if options.registry is not None or options.zookeeper is not None or not location.has_models:
        return False
    options.zookeeper = location.hosts
    return True


def connect_services(
    pipeline: Pipelines,
    config: SensorConfig,
    options: argparse.Namespace,
    stack: ExitStack,
    report_shadows: ReportShadows = print_shadow_counts,
    metrics: PipelineMetrics | None = None,
) -> None:
    """Connect a pipeline to its models, and check what else its expressions need; see ServiceConnector."""
    connector = ServiceConnector(options, report_shadows=report_shadows, metrics=metrics)
    stack.enter_context(connector).connect(pipeline, config)


class ServiceConnector:
    """Connects pipelines to models, and checks what else their expressions need.

    The models are connected for the first pipeline that calls any, as that loads an HTTP client. Later pipelines share
    its registry and its client.

    options: those of `add_registry_options`, and `quiet`
    zookeeper: an open connection to the ZooKeeper of the options
    report_shadows: is passed the counts of `print_shadow_counts` at the end, unless options have `quiet`
    metrics: shows the calls of models; None if they are not needed
    """

    def __init__(
        self,
        options: argparse.Namespace,
        zookeeper: ZooKeeper | None = None,
        report_shadows: ReportShadows = print_shadow_counts,
        metrics: PipelineMetrics | None = None,
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._zookeeper = zookeeper
        self._report_shadows = report_shadows
        self._opened = ExitStack()
        self._models: tuple[ClientSettings, Registry, ModelClient] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def connect(self, pipeline: Pipelines, config: SensorConfig) -> None:
        """Connect a pipeline; config is that of its first sensor.

        Raises ConfigError or ValueError if something is missing or cannot be used.
        """
        if missing := [error for _, member in pipeline.members for error in _find_missing_stores(member)]:
            raise ConfigErrors(missing)
        if self._metrics is not None:
            for _, member in pipeline.members:
                self._metrics.observer.observe(member)
        if pipeline.calls_models:
            pipeline.use_models(*self._open_models(config))

    def open_context(self) -> Context:
        """Return a context with the models, for expressions without a configuration. Raises OSError or ValueError."""
        from stellar.maas import ClientSettings, ModelClient, Registry

        _, registry, client = self._connect_models(ClientSettings())
        return Context({Registry: registry, ModelClient: ReportingClient(client)})

    def _open_models(self, config: SensorConfig) -> tuple[Registry, ModelClient]:
        settings = _read_client_settings(config)
        if self._models is None:
            self._models = self._connect_models(settings)
        is_pending = settings != self._models[0]
        if is_pending:
            log.warning("%s: changed settings maas.* take effect after a restart", config.global_location)
        if self._metrics is not None:
            self._metrics.note_pending("maas.*", is_pending=is_pending)
        return self._models[1:]

    def _connect_models(self, settings: ClientSettings) -> tuple[ClientSettings, Registry, ModelClient]:
        from stellar.local_models import open_local_models
        from stellar.maas import ModelClient

        options = self._options
        registry = _open_registry(find_registry(options), self._zookeeper or options.zookeeper, settings)
        self._opened.callback(registry.close)
        client = ModelClient(registry, settings, local=open_local_models(registry, settings))
        if self._metrics is not None:
            self._metrics.use_client(client)
        if not options.quiet:
            # Runs after the client is closed, when all comparisons are done
            self._opened.callback(_report_shadows, client, self._report_shadows)
        return settings, registry, self._opened.enter_context(client)


def _read_client_settings(config: SensorConfig) -> ClientSettings:
    from stellar.maas import ClientSettings

    try:
        return ClientSettings.from_global(config.globals.settings)
    except ValueError as error:
        raise locate_setting(config, str(error)).error(str(error)) from error


def _report_shadows(client: ModelClient, report: ReportShadows) -> None:
    counts = client.counters()
    report(counts.compared, counts.disagreed, counts.shadow_failed, counts.shadow_dropped)


ProcessSummary = tuple[tuple[int, ...], list["InputUse"]]


@dataclass
class ServicesOfProcess:
    """The services of a pipeline in one of the processes of a run.

    pipeline: the pipeline of this process
    shadow_counts: the arguments of `print_shadow_counts`
    metrics: those of this process; None if they are not needed
    """

    pipeline: Pipelines
    config: SensorConfig
    options: argparse.Namespace
    shadow_counts: tuple[int, ...] = (0, 0, 0, 0)
    metrics: PipelineMetrics | None = None

    def open(self, stack: ExitStack) -> None:
        """Connect the pipeline. Raises ValueError if something is missing or cannot be used."""
        try:
            connect_services(self.pipeline, self.config, self.options, stack, self._note_shadows, self.metrics)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    def summarize(self) -> ProcessSummary:
        """Return the counts of shadows, and the fields of look-ups."""
        from stellar.pipeline.input_use import collect_inputs  # most runs have one process

        return self.shadow_counts, collect_inputs(member for _, member in self.pipeline.members)

    def _note_shadows(self, *counts: int) -> None:
        self.shadow_counts = counts


def find_missing_services(pipeline: Pipeline, options: argparse.Namespace) -> list[ConfigError]:
    """Return an error for each store, file, package and registry that expressions need and cannot use."""
    missing = _find_missing_stores(pipeline)
    if pipeline.calls_models:
        try:
            directory = find_registry(options)
            if directory is not None or options.zookeeper is not None:
                _open_registry(directory, options.zookeeper, None).close()
        except ValueError as error:
            missing.append(_find_model_call(pipeline).error(str(error)))
    return missing


def _find_model_call(pipeline: Pipeline) -> SourceLocation:
    """Return the location of the first expression that calls a model."""
    calls = (where for where, each in pipeline.expressions if not MODEL_FUNCTIONS.isdisjoint(each.functions))
    return next(calls)


def _find_missing_stores(pipeline: Pipeline) -> list[ConfigError]:
    return [location.error(f"{name}: {problem}") for location, name, problem in pipeline.find_missing_services()]


def find_registry(options: argparse.Namespace) -> Path | None:
    """Return the directory of the model registry that options select; None for ZooKeeper and for no registry.

    Raises ValueError if no registry is selected, and the default one does not exist.
    """
    from stellar.maas import find_default_registry

    if options.zookeeper is not None or options.registry == NO_REGISTRY:
        return None
    if options.registry is not None:
        return Path(options.registry)
    if (directory := find_default_registry()) is None:
        raise ValueError(
            "no model registry configured, but expressions call models; pass --registry DIR or -z HOST:PORT, "
            f"or --registry {NO_REGISTRY} to run with null for all model results"
        )
    return directory


def _open_registry(
    directory: Path | None, zookeeper: ZooKeeper | str | None, settings: ClientSettings | None
) -> Registry:
    if zookeeper is None and directory is None:
        from stellar.maas import MemoryRegistry

        return MemoryRegistry()
    from stellar.maas.registries.open import open_registry

    with announce_zookeeper(zookeeper if isinstance(zookeeper, str) else None):
        return open_registry(directory, zookeeper, settings)
