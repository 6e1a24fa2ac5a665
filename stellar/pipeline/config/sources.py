"""Sources of configurations: a directory, or configurations that were read from ZooKeeper."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from stellar.pipeline.config.loading import (
    SensorConfig,
    load_config,
    load_groups,
    load_stored,
    load_stored_global,
)
from stellar.pipeline.config.locations import RAISE_FIRST, ErrorCollector
from stellar.stores.configurations import ReadableConfigurations


class ConfigSource(Protocol):
    """Loads configurations of sensors. Methods raise ConfigError."""

    def load(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """Return the configuration of a sensor; errors are added to `problems`, unless the sensor is unknown."""

    def load_groups(self) -> dict[str, list[str]]:
        """Return the sensors of each group in `parser.groups` of the global configuration."""


class DirectorySource(NamedTuple):
    """The configurations in the files of a directory."""

    directory: Path

    def load(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        return load_config(self.directory, sensor, problems)

    def load_groups(self) -> dict[str, list[str]]:
        """See ConfigSource."""
        return load_groups(self.directory)


class StoredSource(NamedTuple):
    """Configurations in a store, such as a snapshot of those in ZooKeeper.

    directory: the directory in which pattern files are searched first
    """

    store: ReadableConfigurations
    directory: Path | None = None

    def load(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        return load_stored(self.store, sensor, problems, self.directory)

    def load_groups(self) -> dict[str, list[str]]:
        """See ConfigSource."""
        return {group.name: group.sensors for group in load_stored_global(self.store).parser_groups}
