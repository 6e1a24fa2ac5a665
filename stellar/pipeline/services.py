"""What the expressions of a pipeline need from outside, for the commands: models, stores, files and packages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stellar.language.errors import ConfigError
from stellar.pipeline.check import locate_setting
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.locations import ConfigErrors, SourceLocation
from stellar.pipeline.pipeline import MODEL_FUNCTIONS, Pipeline
from stellar.pipeline.routing import TopicPattern
from stellar.util.abbreviate import quote
from stellar.util.slow_waits import announce_zookeeper

if TYPE_CHECKING:
    from stellar.maas import ClientSettings, ModelClient, Registry

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


def print_shadow_counts(compared: int, disagreed: int, failed: int, dropped: int) -> None:
    """Print the counts of calls to shadows of models, if there were any, on standard error."""
    if compared or failed or dropped:
        print(
            f"stellar-pipeline: shadows: {compared} compared, {disagreed} disagreed, {failed} failed, "
            f"{dropped} dropped",
            file=sys.stderr,
        )


def connect_services(
    pipeline: Pipelines,
    config: SensorConfig,
    options: argparse.Namespace,
    stack: ExitStack,
    report_shadows: Callable[[int, int, int, int], None] = print_shadow_counts,
) -> None:
    """Connect a pipeline to its models, and check what else its expressions need.

    Models are connected only if expressions call any, as that loads an HTTP client.

    report_shadows: is passed the counts of `print_shadow_counts` when the stack is closed, unless options have `quiet`

    Raises ConfigError or ValueError if something is missing or cannot be used.
    """
    if missing := [error for _, member in pipeline.members for error in _find_missing_stores(member)]:
        raise ConfigErrors(missing)
    if pipeline.calls_models:
        _connect_models(pipeline, config, options, stack, report_shadows)


@dataclass
class ServicesOfProcess:
    """The services of a pipeline in one of the processes of a run.

    shadow_counts: the arguments of `print_shadow_counts`
    """

    pipeline: Pipelines
    config: SensorConfig
    options: argparse.Namespace
    shadow_counts: tuple[int, ...] = (0, 0, 0, 0)

    def open(self, stack: ExitStack) -> None:
        """Connect the pipeline. Raises ValueError if something is missing or cannot be used."""
        try:
            connect_services(self.pipeline, self.config, self.options, stack, self._note_shadows)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    def summarize(self) -> tuple[int, ...]:
        """Return the counts of shadows."""
        return self.shadow_counts

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


def _connect_models(
    pipeline: Pipelines,
    config: SensorConfig,
    options: argparse.Namespace,
    stack: ExitStack,
    report_shadows: Callable[[int, int, int, int], None],
) -> None:
    from stellar.maas import ClientSettings, ModelClient

    try:
        settings = ClientSettings.from_global(config.globals.settings)
    except ValueError as error:
        raise locate_setting(config, str(error)).error(str(error)) from error
    directory = find_registry(options)
    registry = _open_registry(directory, options.zookeeper, settings)
    stack.callback(registry.close)
    client = ModelClient(registry, settings)
    if not options.quiet:
        stack.callback(_report_shadows, client, report_shadows)  # after the client is closed, with all comparisons
    pipeline.use_models(registry, stack.enter_context(client))


def _report_shadows(client: ModelClient, report: Callable[[int, int, int, int], None]) -> None:
    counts = client.counters()
    report(counts.compared, counts.disagreed, counts.shadow_failed, counts.shadow_dropped)


def _open_registry(directory: Path | None, zookeeper: str | None, settings: ClientSettings | None) -> Registry:
    if zookeeper is None and directory is None:
        from stellar.maas import MemoryRegistry

        return MemoryRegistry()
    from stellar.maas.registries.open import open_registry

    with announce_zookeeper(zookeeper):
        return open_registry(directory, zookeeper, settings)
