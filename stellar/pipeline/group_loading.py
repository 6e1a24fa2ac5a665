"""Loading of the pipelines of sensors and groups, with all errors of all their configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group
from stellar.pipeline.config.loading import (
    SensorConfig,
    load_config,
    load_groups,
    load_stored,
    load_stored_global,
)
from stellar.pipeline.config.locations import ErrorCollector
from stellar.pipeline.config.positions import add_positions
from stellar.pipeline.routing import PipelineGroup, expand_groups
from stellar.stores.configurations import ConfigurationSnapshot

Loaded = tuple[list[SensorConfig], PipelineGroup]


def load_pipelines(directory: Path, names: str) -> Loaded:
    """Load and build the configurations of sensors in a directory. Raises ConfigErrors with all errors of all files.

    names: the names of sensors and groups, with commas between them
    """
    return _load(names, partial(load_groups, directory), partial(load_config, directory))


def load_stored_pipelines(
    snapshot: ConfigurationSnapshot,
    names: str,
    directory: Path | None = None,
    build: Callable[..., PipelineGroup] = build_group,
) -> Loaded:
    """Load and build the configurations of sensors in a snapshot, as `load_pipelines` does.

    directory: the directory in which pattern files are searched first
    build: builds the group, with the arguments of `build_group`

    Raises ConfigErrors, which name lines and columns.
    """

    def load_one(sensor: str, problems: ErrorCollector) -> SensorConfig:
        return load_stored(snapshot, sensor, problems, directory)

    def load_stored_groups() -> dict[str, list[str]]:
        return {group.name: group.sensors for group in load_stored_global(snapshot).parser_groups}

    try:
        return _load(names, load_stored_groups, load_one, build)
    except ConfigError as error:
        raise add_positions(error, snapshot.texts()) from error


def _load(
    names: str,
    load_all_groups: Callable[[], Mapping[str, list[str]]],
    load_one: Callable[[str, ErrorCollector], SensorConfig],
    build: Callable[..., PipelineGroup] = build_group,
) -> Loaded:
    problems = ErrorCollector([])
    groups: Mapping[str, list[str]] = problems.attempt(load_all_groups, {})
    sensors = expand_groups([name.strip() for name in names.split(",")], groups)
    configs = [load_one(sensor, problems) for sensor in sensors]
    group = build(configs, problems=problems)
    problems.raise_found()
    return configs, group
