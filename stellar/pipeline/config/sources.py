"""Sources of configurations: a directory, or configurations that were read from ZooKeeper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stellar.pipeline.config.loading import (
    SensorConfig,
    default_parser,
    empty_globals,
    load_config,
    load_enrichment,
    load_groups,
    load_stored,
    load_stored_enrichment,
    load_stored_global,
    read_global,
)
from stellar.pipeline.config.locations import RAISE_FIRST, ErrorCollector
from stellar.stores.configurations import DirectoryConfigurations, ReadableConfigurations

if TYPE_CHECKING:
    from stellar.pipeline.config.schema import GlobalConfig


class ConfigSource(Protocol):
    """Loads configurations; each method raises ConfigError, or adds it to `problems`."""

    def load(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """Return the configuration of a sensor, which must have a parser."""

    def load_enrichment(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """Return the configuration of a sensor that is parsed elsewhere: its input is JSON."""

    def load_empty(self, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """Return the configuration of a sensor that has none, with the global configuration."""

    def load_groups(self) -> dict[str, list[str]]:
        """Return the sensors of each group in `parser.groups` of the global configuration."""

    def list_sensors(self, kind: str) -> list[str]:
        """Return the sensors that have a configuration of a kind, such as ENRICHMENT."""


@dataclass(frozen=True)
class DirectorySource:
    """The configurations in the files of a directory."""

    directory: Path

    def load(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        return load_config(self.directory, sensor, problems)

    def load_enrichment(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        return load_enrichment(self.directory, sensor, problems)

    def load_empty(self, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        file = self.directory / "global.json"
        settings = problems.attempt(lambda: read_global(file), empty_globals()) if file.exists() else empty_globals()
        return SensorConfig("", default_parser(), globals=settings, directory=self.directory)

    def load_groups(self) -> dict[str, list[str]]:
        """See ConfigSource."""
        return load_groups(self.directory)

    def list_sensors(self, kind: str) -> list[str]:
        """See ConfigSource."""
        return DirectoryConfigurations(self.directory).list_sensors(kind)


@dataclass(frozen=True)
class StoredSource:
    """Configurations in a store, such as a snapshot of those in ZooKeeper.

    directory: the directory in which pattern files are searched first
    """

    store: ReadableConfigurations
    directory: Path | None = None

    def load(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        return load_stored(self.store, sensor, problems, self.directory)

    def load_enrichment(self, sensor: str, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        found = load_stored_enrichment(self.store, sensor, problems, self.directory)
        return found or SensorConfig(
            sensor, default_parser(), directory=self.directory, globals=self._load_global(problems), store=self.store
        )

    def load_empty(self, problems: ErrorCollector = RAISE_FIRST) -> SensorConfig:
        """See ConfigSource."""
        settings = self._load_global(problems)
        return SensorConfig("", default_parser(), globals=settings, directory=self.directory, store=self.store)

    def load_groups(self) -> dict[str, list[str]]:
        """See ConfigSource."""
        return {group.name: group.sensors for group in self._load_global(RAISE_FIRST).parser_groups}

    def list_sensors(self, kind: str) -> list[str]:
        """See ConfigSource."""
        return self.store.list_sensors(kind)

    def _load_global(self, problems: ErrorCollector) -> GlobalConfig:
        return load_stored_global(self.store, problems)
