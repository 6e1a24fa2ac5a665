"""Loading of the pipelines that a command runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.connectors.sources import STANDARD_INPUT
from stellar.pipeline.group_loading import load_pipelines
from stellar.pipeline.routing import PipelineGroup


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
    return load_pipelines(directory, names)
