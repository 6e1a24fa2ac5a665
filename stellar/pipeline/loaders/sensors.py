"""The enrichment configurations of sensors, to which a loader adds the fields that it has loaded types for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stellar.java.jackson import without_comments
from stellar.pipeline.config.loading import parse_enrichment, validate
from stellar.pipeline.config.locations import SourceLocation, parse_object, read_text

# The section of an enrichment configuration and the adapter, by the type in the description
_ADAPTERS = {"THREAT_INTEL": ("threatIntel", "hbaseThreatIntel"), "ENRICHMENT": ("enrichment", "hbaseEnrichment")}


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
    return validate(SensorFields, parse_object(read_text(path), location.file), location)


def add_fields(directory: Path, fields: SensorFields) -> list[Path]:
    """Add fields and types to the enrichment configurations in a directory, and return the files that changed.

    A file that does not exist is created. All files are checked before one is changed.

    Raises ConfigError for an invalid configuration, and for one with comments, which would be lost.
    """
    changes = [
        (path, text)
        for sensor, of_sensor in fields.sensors.items()
        if (text := _update(path := directory / "enrichments" / f"{sensor}.json", of_sensor)) is not None
    ]
    for path, text in changes:
        _write(path, text)
    return [path for path, _ in changes]


def _update(path: Path, fields: FieldList) -> str | None:
    """Return the new content of a configuration, or None if it stays as it is."""
    location = SourceLocation(str(path))
    source = read_text(path) if path.exists() else "{}"
    parse_enrichment(source, location)
    config = parse_object(source, location.file)
    section_name, adapter = _ADAPTERS[fields.type]
    key = next((key for key in config if key.lower() == section_name.lower()), section_name)
    section: dict[str, Any] = config.setdefault(key, {})
    listed = section.setdefault("fieldMap", {}).setdefault(adapter, [])
    names = listed if isinstance(listed, list) else listed.setdefault("config", [])
    before = json.dumps(config)
    names += [field for field in fields.field_types if field not in names]
    _add_types(section.setdefault("fieldToTypeMap", {}), fields.field_types)
    if json.dumps(config) == before:
        return None
    if without_comments(source) != source:
        raise location.error(
            f"the file has comments, which would be lost; add the fields {', '.join(fields.field_types)} to "
            f"{section_name}.fieldMap.{adapter} and to {section_name}.fieldToTypeMap by hand"
        )
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _add_types(known: dict[str, Any], added: Mapping[str, list[str]]) -> None:
    for field, types in added.items():
        present = known.get(field, [])
        present = [present] if isinstance(present, str) else present
        known[field] = present + [each for each in types if each not in present]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    copy = path.with_name(f".{path.name}.new")
    copy.write_text(text, encoding="utf-8")
    os.replace(copy, path)
