"""The enrichment configurations of sensors, to which a loader adds the fields that it has loaded types for.

They are in files of a directory, or in Metron's nodes of ZooKeeper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from stellar.java.jackson import to_indented, without_comments
from stellar.pipeline.config.loading import modernize_enrichment, validate
from stellar.pipeline.config.locations import SourceLocation, parse_object, read_text
from stellar.pipeline.config.schema import EnrichmentConfig
from stellar.stores.configurations import ROOT, check_sensor
from stellar.util.atomic_files import replace_content

if TYPE_CHECKING:
    from stellar.maas.zookeeper import ZooKeeper

# The section of an enrichment configuration and the adapter, by the type in the description
_ADAPTERS = {"THREAT_INTEL": ("threatIntel", "hbaseThreatIntel"), "ENRICHMENT": ("enrichment", "hbaseEnrichment")}
_NODES = f"{ROOT}/enrichments"
_ATTEMPTS = 20  # to change nodes of ZooKeeper, while other processes change them, too


class FieldList(BaseModel):
    """The types that are looked up for the fields of a sensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["THREAT_INTEL", "ENRICHMENT"]
    field_types: dict[str, list[str]] = Field(alias="fieldToEnrichmentTypes")


class SensorFields(BaseModel):
    """Metron's description of the fields of sensors, the option `-n` of its loader."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zookeeper: str | None = Field(default=None, alias="zkQuorum")
    sensors: dict[str, FieldList] = Field(alias="sensorToFieldList")


def read_sensor_fields(path: Path) -> SensorFields:
    """Load a description of fields. Raises ConfigError."""
    location = SourceLocation(str(path))
    fields = validate(SensorFields, parse_object(read_text(path), location.file), location)
    for sensor in fields.sensors:
        try:
            check_sensor(sensor)
        except ValueError as error:
            raise (location / "sensorToFieldList" / sensor).error(str(error)) from error
    return fields


class StoredConfig(NamedTuple):
    """A configuration as it is stored.

    name: its path, for messages
    text: its content; None if it does not exist
    version: the version of the node in ZooKeeper
    """

    name: str
    text: str | None
    version: int = 0


class ConfigChange(NamedTuple):
    """The new content of a configuration."""

    before: StoredConfig
    text: str


class ChangedMeanwhile(Exception):
    """Another process has changed a configuration since it was read; then nothing was written."""


class EnrichmentConfigs(Protocol):
    """The enrichment configurations of sensors."""

    def read(self, sensor: str) -> StoredConfig:
        """Return the configuration of a sensor. Raises OSError or ConfigError if it cannot be read."""

    def encode(self, config: Mapping[str, Any]) -> str:
        """Return the text of a configuration. Raises ValueError for a value without a JSON form."""

    def write(self, changes: Mapping[str, ConfigChange]) -> None:
        """Store configurations, by sensor. Raises ChangedMeanwhile, and OSError if they cannot be written."""


class EnrichmentFiles:
    """Files `enrichments/SENSOR.json` in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "enrichments"

    def read(self, sensor: str) -> StoredConfig:
        """See EnrichmentConfigs."""
        path = self._directory / f"{sensor}.json"
        return StoredConfig(str(path), read_text(path) if path.exists() else None)

    def encode(self, config: Mapping[str, Any]) -> str:
        """See EnrichmentConfigs."""
        return json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, changes: Mapping[str, ConfigChange]) -> None:
        """See EnrichmentConfigs. Each file has its old or its new content at any time."""
        for change in changes.values():
            path = Path(change.before.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_content(str(path), change.text.encode())


class EnrichmentNodes:
    """Metron's nodes in ZooKeeper, in the form in which Metron's tools write them."""

    def __init__(self, zookeeper: ZooKeeper) -> None:
        self._zookeeper = zookeeper

    def read(self, sensor: str) -> StoredConfig:
        """See EnrichmentConfigs."""
        path = f"{_NODES}/{sensor}"
        name = f"{self._zookeeper.hosts}{path}"
        found = self._zookeeper.read_version(path)
        if found is None:
            return StoredConfig(name, None)
        data, version = found
        try:
            return StoredConfig(name, data.decode("utf-8-sig"), version)
        except UnicodeDecodeError as error:
            raise SourceLocation(name).error(f"invalid UTF-8 at byte {error.start}; upload the file as UTF-8") from None

    def encode(self, config: Mapping[str, Any]) -> str:
        """See EnrichmentConfigs."""
        return to_indented(config)

    def write(self, changes: Mapping[str, ConfigChange]) -> None:
        """See EnrichmentConfigs. All nodes change in one transaction."""
        from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError  # most loads need no ZooKeeper

        self._zookeeper.ensure_path(_NODES)
        try:
            self._zookeeper.transact(lambda transaction: _add_changes(transaction, changes))
        except (BadVersionError, NodeExistsError, NoNodeError) as error:
            raise ChangedMeanwhile from error


def _add_changes(transaction: Any, changes: Mapping[str, ConfigChange]) -> None:
    for sensor, (before, text) in changes.items():
        path, data = f"{_NODES}/{sensor}", text.encode()
        if before.text is None:
            transaction.create(path, data)
        else:
            transaction.set_data(path, data, version=before.version)


def find_changes(configs: EnrichmentConfigs, fields: SensorFields) -> dict[str, ConfigChange]:
    """Return the configurations that change if fields and their types are added to them, by sensor.

    Raises ConfigError for an invalid configuration, and for one with comments, which would be lost.
    """
    changes = {}
    for sensor, of_sensor in fields.sensors.items():
        before = configs.read(sensor)
        if (config := _update(before, of_sensor)) is not None:
            changes[sensor] = ConfigChange(before, configs.encode(config))
    return changes


def add_fields(configs: EnrichmentConfigs, fields: SensorFields) -> list[str]:
    """Add fields and types to the configurations of sensors, and return the names of those that changed.

    A configuration that does not exist is created. All are checked before one is changed.

    Raises as `find_changes`, and OSError if a configuration cannot be written.
    """
    for _ in range(_ATTEMPTS):
        changes = find_changes(configs, fields)
        try:
            if changes:
                configs.write(changes)
        except ChangedMeanwhile:
            continue
        return [change.before.name for change in changes.values()]
    raise OSError(f"the configurations of {', '.join(fields.sensors)} are changed too often by others; try again")


def _update(before: StoredConfig, fields: FieldList) -> dict[str, Any] | None:
    """Return the new configuration, or None if it stays as it is."""
    location, source = SourceLocation(before.name), "{}" if before.text is None else before.text
    config = parse_object(source, location.file)
    validate(EnrichmentConfig, modernize_enrichment(deepcopy(config), location), location)
    section_name, adapter = _ADAPTERS[fields.type]
    key = next((key for key in config if key.lower() == section_name.lower()), section_name)
    section: dict[str, Any] = config.setdefault(key, {})
    listed = section.setdefault("fieldMap", {}).setdefault(adapter, [])
    names = listed if isinstance(listed, list) else listed.setdefault("config", [])
    unchanged = json.dumps(config)
    names += [field for field in fields.field_types if field not in names]
    _add_types(section.setdefault("fieldToTypeMap", {}), fields.field_types)
    if json.dumps(config) == unchanged:
        return None
    if without_comments(source) != source:
        raise location.error(
            f"the file has comments, which would be lost; add the fields {', '.join(fields.field_types)} to "
            f"{section_name}.fieldMap.{adapter} and to {section_name}.fieldToTypeMap by hand"
        )
    return config


def _add_types(known: dict[str, Any], added: Mapping[str, list[str]]) -> None:
    for field, types in added.items():
        present = known.get(field, [])
        present = [present] if isinstance(present, str) else present
        known[field] = present + [each for each in types if each not in present]
