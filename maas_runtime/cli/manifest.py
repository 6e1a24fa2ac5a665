"""The file of `maas apply`: models with the desired number of instances of each version, and traffic plans.

models:
  dga:
    versions:
      "1.0": {path: /user/me/dga/1.0, instances: 2, memory: 512}
    traffic:                 # optional; {} for no plan
      weights: {"1.0": 90, "2.0": 10}
      per: instance
      shadow: {version: "2.0", share: 0.5}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas_runtime.runner.samples import parse_warm_up
from maas_runtime.service.desired_state import MAX_GPUS
from stellar.maas.routing import TrafficPlan
from stellar.maas.schema import validate_name
from stellar.util.abbreviate import quote
from stellar.util.yaml_reader import Listed, Location, Mapped, Node, YamlReader

MAX_INSTANCES = 1_000_000
MAX_MEMORY = 1 << 24  # MB, as in requests
MAX_PATH = 4096


@dataclass(frozen=True)
class VersionEntry:
    """The desired state of a version.

    instances: 0 to remove it
    path: of its files in the model store
    memory: limit of each instance in MB; 0 for none
    gpus, warm_up: as in Deployment
    """

    instances: int
    path: str = ""
    memory: int = 0
    gpus: int = 0
    warm_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelEntry:
    """The desired state of a model.

    at: location in the file, for messages; None for one that is in no file
    plan: its traffic plan; None to leave the current one
    """

    at: Location | None
    versions: Mapping[str, VersionEntry]
    plan: TrafficPlan | None = None


def read_manifest(file: Path) -> dict[str, ModelEntry]:
    """Return the models of a file by name.

    Raises YamlErrors with all errors, and OSError if the file cannot be read.
    """
    reader = YamlReader(file)
    root = reader.read_mapping(reader.root, "the file", ("models",))
    models: dict[str, ModelEntry] = {}
    if "models" not in root and not reader.errors:
        reader.add_error(reader.root.at, "missing key 'models'")
    for name, (at, node) in reader.read_mapping(root["models"][1], "models").items() if "models" in root else ():
        _check_name(reader, at, name, "model's name")
        models[name] = _read_model(reader, at, name, node)
    reader.raise_errors()
    return models


def _read_model(reader: YamlReader, at: Location, name: str, node: Node) -> ModelEntry:
    entries = reader.read_mapping(node, f"model {name}", ("versions", "traffic"))
    if "versions" not in entries:
        if isinstance(node, Mapped):
            reader.add_error(at, f"model {name} needs 'versions'; write {{}} for none")
        return ModelEntry(at, {})
    versions = {}
    for version, (version_at, value) in reader.read_mapping(entries["versions"][1], f"versions of {name}").items():
        _check_name(reader, version_at, version, "model's version")
        versions[version] = _read_version(reader, version_at, f"{name} @ {version}", value)
    plan = _read_plan(reader, name, entries["traffic"][1]) if "traffic" in entries else None
    _check_plan(reader, entries, name, plan, versions)
    return ModelEntry(at, versions, plan)


def _read_version(reader: YamlReader, at: Location, subject: str, node: Node) -> VersionEntry:
    entries = reader.read_mapping(node, subject, ("path", "instances", "memory", "gpus", "warm_up"))
    if isinstance(node, Mapped) and "instances" not in entries:
        reader.add_error(at, f"{subject} needs 'instances'")
    instances, memory, gpus = (
        reader.read_integer(entries[key][1], f"{key} of {subject}", most) if key in entries else 0
        for key, most in (("instances", MAX_INSTANCES), ("memory", MAX_MEMORY), ("gpus", MAX_GPUS))
    )
    path = reader.read_string(entries["path"][1], f"path of {subject}") if "path" in entries else ""
    if instances and "path" not in entries:
        reader.add_error(at, f"{subject} needs 'path', the path of its files in the model store")
    if len(path) > MAX_PATH or not path.isprintable():
        reader.add_error(entries["path"][1].at, f"invalid path of {subject}: too long, or contains control characters")
    warm_up = _read_warm_up(reader, subject, entries["warm_up"][1]) if "warm_up" in entries else ()
    return VersionEntry(instances, path, memory, gpus, warm_up)


def _read_warm_up(reader: YamlReader, subject: str, node: Node) -> tuple[str, ...]:
    if not isinstance(node, Listed):
        reader.add_error(node.at, f"invalid warm_up of {subject}: expected a sequence, got {node.describe()}")
        return ()
    requests = tuple(reader.read_string(item, f"warm_up of {subject}") for item in node.items)
    try:
        parse_warm_up(requests)
    except ValueError as error:
        reader.add_error(node.at, f"warm_up of {subject}: {error}")
    return requests


def _check_name(reader: YamlReader, at: Location, name: str, subject: str) -> None:
    try:
        validate_name(name, subject)
    except ValueError as error:
        reader.add_error(at, str(error))


# --- traffic plans


def _read_plan(reader: YamlReader, name: str, node: Node) -> TrafficPlan | None:
    """Return a traffic plan; None, with an error, if it is invalid."""
    entries = reader.read_mapping(node, f"traffic of {name}", ("weights", "per", "shadow"))
    before = len(reader.errors)
    note: dict[str, Any] = {}
    if "weights" in entries:
        weights = reader.read_mapping(entries["weights"][1], f"weights of {name}").items()
        note["weights"] = {key: reader.read_number(value, f"weight of {name} @ {key}") for key, (_, value) in weights}
    if "per" in entries:
        note["per"] = reader.read_string(entries["per"][1], f"per of {name}")
    if "shadow" in entries:
        note["shadow"] = _read_shadow(reader, name, entries["shadow"][1])
    if len(reader.errors) > before:
        return None
    try:
        return TrafficPlan.from_note(note)
    except ValueError as error:
        reader.add_error(node.at, f"traffic of {name}: {error}")
        return None


def _read_shadow(reader: YamlReader, name: str, node: Node) -> dict[str, Any]:
    entries = reader.read_mapping(node, f"shadow of {name}", ("version", "share"))
    shadow: dict[str, Any] = {}
    if "version" in entries:
        shadow["version"] = reader.read_string(entries["version"][1], f"shadow of {name}")
    elif isinstance(node, Mapped):
        reader.add_error(node.at, f"shadow of {name} needs 'version'")
    if "share" in entries:
        shadow["share"] = reader.read_number(entries["share"][1], f"share of {name}")
    return shadow


def _check_plan(
    reader: YamlReader,
    entries: Mapping[str, tuple[Location, Node]],
    name: str,
    plan: TrafficPlan | None,
    versions: Mapping[str, VersionEntry],
) -> None:
    """Add an error for each version of a plan that the file does not have."""
    if plan is None:
        return
    for version in dict.fromkeys([*plan.weights, *([plan.shadow.version] if plan.shadow else [])]):
        if version not in versions:
            known = ", ".join(versions) or "none"
            reader.add_error(
                entries["traffic"][0], f"traffic of {name}: unknown version {quote(version)}: its versions are {known}"
            )


# --- writing


def format_manifest(models: Mapping[str, ModelEntry]) -> str:
    """Return the file that describes these models."""
    lines = ["models:" if models else "models: {}"]
    for name, model in models.items():
        lines += [f"  {_quote(name)}:", "    versions:" if model.versions else "    versions: {}"]
        for version, entry in model.versions.items():
            fields = [f"path: {_quote(entry.path)}", f"instances: {entry.instances}", f"memory: {entry.memory}"]
            if entry.gpus:
                fields.append(f"gpus: {entry.gpus}")
            if entry.warm_up:
                fields.append(f"warm_up: {json.dumps(entry.warm_up, ensure_ascii=False)}")
            lines.append(f"      {_quote(version, always=True)}: {{{', '.join(fields)}}}")
        if model.plan is not None:
            lines.append(f"    traffic: {json.dumps(model.plan.to_note(), ensure_ascii=False)}")
    return "\n".join([*lines, ""])


def _quote(text: str, *, always: bool = False) -> str:
    """Return a string in YAML: as it is if it cannot mean anything else, or in quotes, as in JSON."""
    plain = re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_./-]*", text) and text.lower() not in _WORDS
    return text if plain and not always else json.dumps(text, ensure_ascii=False)


# Words with a meaning of their own in YAML 1.1
_WORDS: Sequence[str] = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
