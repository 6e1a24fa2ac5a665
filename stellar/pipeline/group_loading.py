"""Loading of the pipelines of sensors and groups, with all errors of all their configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.config.locations import ErrorCollector
from stellar.pipeline.config.sources import ConfigSource, DirectorySource, StoredSource
from stellar.pipeline.routing import PipelineGroup, expand_groups
from stellar.stores.configurations import ConfigurationSnapshot

Loaded = tuple[list[SensorConfig], PipelineGroup]


def load_pipelines(directory: Path, names: str) -> Loaded:
    """Load and build the configurations of sensors in a directory; see `load_group`."""
    return load_group(DirectorySource(directory), names)


def load_stored_pipelines(
    snapshot: ConfigurationSnapshot,
    names: str,
    directory: Path | None = None,
    build: Callable[..., PipelineGroup] = build_group,
) -> Loaded:
    """Load and build the configurations of sensors in a snapshot; see `load_group`.

    directory: the directory in which pattern files are searched first

    Raises ConfigErrors, which name lines and columns.
    """
    with positions_in(snapshot):
        return load_group(StoredSource(snapshot, directory), names, build)


@contextmanager
def positions_in(snapshot: ConfigurationSnapshot) -> Iterator[None]:
    """Add lines and columns to the errors of configurations in a snapshot."""
    try:
        yield
    except ConfigError as error:
        from stellar.pipeline.config.positions import add_positions  # it parses the files once more

        raise add_positions(error, snapshot.texts()) from error


def load_group(source: ConfigSource, names: str, build: Callable[..., PipelineGroup] = build_group) -> Loaded:
    """Load and build the configurations of sensors and groups.

    names: the names of sensors and groups, with commas between them
    build: builds the group, with the arguments of `build_group`

    Raises ConfigErrors with all errors of all configurations.
    """
    problems = ErrorCollector([])
    groups: dict[str, list[str]] = problems.attempt(source.load_groups, {})
    sensors = expand_groups([name.strip() for name in names.split(",")], groups)
    configs = [source.load(sensor, problems) for sensor in sensors]
    group = build(configs, problems=problems)
    problems.raise_found()
    return configs, group
