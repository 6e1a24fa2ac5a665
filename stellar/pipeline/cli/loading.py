"""Loading of the pipelines that a command runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stellar.language.errors import ConfigError
from stellar.pipeline.build import build_group
from stellar.pipeline.config.loading import SensorConfig, load_config, load_groups
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector
from stellar.pipeline.connectors.sources import STANDARD_INPUT
from stellar.pipeline.routing import PipelineGroup, expand_groups


def find_inputs(names: Sequence[str], config: SensorConfig) -> list[str]:
    """Return the files and globs to read: those of the command, or of the configuration, or standard input.

    config: the configuration of the first sensor
    """
    if names:
        return list(names)
    directory = config.directory or Path()
    return [str(directory / name) for name in config.globals.inputs.get(config.sensor, ())] or [STANDARD_INPUT]


def load_pipeline(directory: Path, names: str) -> tuple[list[SensorConfig], PipelineGroup]:
    """Load and build the configurations of sensors and groups. Raises ConfigErrors with all errors of all files."""
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    groups: dict[str, list[str]] = problems.attempt(partial(load_groups, directory), {})
    sensors = expand_groups([name.strip() for name in names.split(",")], groups)
    configs = [load_config(directory, sensor, problems) for sensor in sensors]
    pipeline = build_group(configs, problems=problems)
    if errors:
        raise ConfigErrors(list({str(error): error for error in errors}.values()))  # all sensors share global.json
    return configs, pipeline
