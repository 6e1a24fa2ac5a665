"""Configurations of Metron as JSON: in a directory, or in ZooKeeper below /metron/topology."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from stellar.util.abbreviate import quote
from stellar.util.atomic_files import replace_content

# The path of each kind of configuration below the root, in a directory also with the extension .json
_SINGLE = {"GLOBAL": "global", "PROFILER": "profiler"}
_OF_SENSORS = {"PARSER": "parsers", "ENRICHMENT": "enrichments", "INDEXING": "indexing"}
KINDS = (*_SINGLE, *_OF_SENSORS)
ROOT = "/metron/topology"


class ReadableConfigurations(Protocol):
    """The configurations of Metron: one of each kind, or one for each sensor.

    The kinds are KINDS; the name of the sensor is None for GLOBAL and PROFILER.
    """

    def read(self, kind: str, sensor: str | None = None) -> str | None:
        """Return a configuration; None if it does not exist.

        Raises ValueError for an invalid name, and for bytes that are not UTF-8; OSError if it cannot be read.
        """

    def describe(self, kind: str, sensor: str | None = None) -> str:
        """Return the location of a configuration, for messages. Raises ValueError for an invalid name."""

    def list_sensors(self, kind: str) -> list[str]:
        """Return the sensors that have a configuration of a kind, sorted. Raises OSError if they cannot be read."""


class ConfigurationStore(ReadableConfigurations, Protocol):
    """Configurations that can be changed."""

    def write(self, kind: str, text: str, sensor: str | None = None) -> None:
        """Store a configuration as it is. A reader sees the earlier one, or all of the new one.

        Raises ValueError for an invalid name, and for JSON that UTF-8 cannot encode; OSError if it cannot be stored.
        """


def has_sensors(kind: str) -> bool:
    """Return True if there is a configuration of this kind for each sensor."""
    return kind in _OF_SENSORS


def is_configuration(path: str) -> bool:
    """Return True for a path below the root that can have a configuration."""
    folder, slash, name = path.partition("/")
    return path in _SINGLE.values() or (folder in _OF_SENSORS.values() and bool(slash and name))


def locate(kind: str, sensor: str | None = None) -> str:
    """Return the path of a configuration below the root. Raises ValueError for an invalid kind or name."""
    if kind in _SINGLE:
        return _SINGLE[kind]
    if kind not in _OF_SENSORS:
        raise ValueError(f"unknown kind of configuration {quote(kind)}; expected one of {', '.join(KINDS)}")
    if not sensor:
        raise ValueError(f"a configuration of the kind {kind} needs the name of a sensor")
    check_sensor(sensor)
    return describe_path(kind, sensor)


def describe_path(kind: str, sensor: str | None = None) -> str:
    """Return the path of a configuration below the root, for messages: the name may be invalid."""
    return _SINGLE[kind] if kind in _SINGLE else f"{_OF_SENSORS[kind]}/{sensor}"


def check_sensor(name: str) -> None:
    """Raise ValueError for a name of a sensor that is not the name of a file or node."""
    if name in ("", ".", "..") or not name.isprintable() or "/" in name or "\\" in name:
        raise ValueError(
            f"invalid name of a sensor {quote(name, 80)}: expected a name without slashes and control characters"
        )


@dataclass(frozen=True)
class DirectoryConfigurations:
    """The configurations in the files of a directory."""

    directory: Path

    def read(self, kind: str, sensor: str | None = None) -> str | None:
        """Return a configuration; see ConfigurationStore."""
        path = self._path(kind, sensor)
        try:
            return _decode(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def write(self, kind: str, text: str, sensor: str | None = None) -> None:
        """Store a configuration in a new file, which then replaces the earlier one."""
        path = self._path(kind, sensor)
        data = encode_text(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_content(str(path), data)

    def describe(self, kind: str, sensor: str | None = None) -> str:
        """Return the path of a file."""
        return str(self._path(kind, sensor))

    def list_sensors(self, kind: str) -> list[str]:
        """Return the names of the files with the extension .json, without it."""
        return sorted(path.stem for path in (self.directory / _OF_SENSORS[kind]).glob("*.json"))

    def _path(self, kind: str, sensor: str | None) -> Path:
        return self.directory / f"{locate(kind, sensor)}.json"


class NodeStore(Protocol):
    """Nodes by path, such as those of ZooKeeper."""

    def read(self, path: str) -> bytes | None:
        """Return the data of a node; None if it does not exist."""

    def write(self, path: str, data: bytes) -> None:
        """Set the data of a node; create it and its missing parents."""

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children, sorted; empty if the node does not exist."""


@dataclass(frozen=True)
class ZooKeeperConfigurations:
    """The configurations in ZooKeeper, where Metron's topologies follow them.

    root: the node that has them
    """

    nodes: NodeStore
    root: str = ROOT

    def read(self, kind: str, sensor: str | None = None) -> str | None:
        """Return a configuration; see ReadableConfigurations."""
        path = self.describe(kind, sensor)
        data = self.nodes.read(path)
        return None if data is None else _decode(data, path)

    def write(self, kind: str, text: str, sensor: str | None = None) -> None:
        """Store a configuration; see ConfigurationStore."""
        self.nodes.write(self.describe(kind, sensor), encode_text(text))

    def describe(self, kind: str, sensor: str | None = None) -> str:
        """Return the path of a node."""
        return f"{self.root}/{locate(kind, sensor)}"

    def list_sensors(self, kind: str) -> list[str]:
        """Return the names of the nodes of a kind."""
        return self.nodes.children(f"{self.root}/{_OF_SENSORS[kind]}")


@dataclass(frozen=True)
class ConfigurationSnapshot:
    """Configurations as they were at one time.

    origin: the location of their root, for messages
    contents: the bytes of each configuration by its path below the root, such as parsers/squid
    """

    origin: str
    contents: Mapping[str, bytes]

    def read(self, kind: str, sensor: str | None = None) -> str | None:
        """Return a configuration; see ReadableConfigurations."""
        data = self.contents.get(locate(kind, sensor))
        return None if data is None else _decode(data, self.describe(kind, sensor))

    def describe(self, kind: str, sensor: str | None = None) -> str:
        """Return the origin and the path of a configuration."""
        return f"{self.origin}/{locate(kind, sensor)}"

    def list_sensors(self, kind: str) -> list[str]:
        """Return the sensors that have a configuration of a kind, sorted."""
        folder = f"{_OF_SENSORS[kind]}/"
        return sorted(path.removeprefix(folder) for path in self.contents if path.startswith(folder))

    def texts(self) -> dict[str, str]:
        """Return the configurations by their locations; bytes that are not UTF-8 are replaced."""
        return {f"{self.origin}/{path}": data.decode("utf-8-sig", "replace") for path, data in self.contents.items()}


@dataclass(frozen=True)
class RecordingSnapshot(ConfigurationSnapshot):
    """Configurations that record which of them are read.

    paths: the paths that were read, also of configurations that do not exist
    folders: the folders whose sensors were listed, such as enrichments
    """

    paths: set[str] = field(default_factory=set, compare=False)
    folders: set[str] = field(default_factory=set, compare=False)

    def read(self, kind: str, sensor: str | None = None) -> str | None:
        """Return a configuration; see ReadableConfigurations."""
        self.paths.add(locate(kind, sensor))
        return super().read(kind, sensor)

    def list_sensors(self, kind: str) -> list[str]:
        """Return the sensors that have a configuration of a kind, sorted."""
        self.folders.add(_OF_SENSORS[kind])
        return super().list_sensors(kind)

    def has_read(self, path: str) -> bool:
        """Return True if a change at a path may change what was read."""
        return path in self.paths or path.partition("/")[0] in self.folders


class NewConfiguration(NamedTuple):
    """A configuration that is to be stored.

    name: its location, for messages
    """

    kind: str
    sensor: str | None
    data: bytes
    name: str

    @property
    def path(self) -> str:
        """The path below the root. Raises ValueError for an invalid name of a sensor."""
        return locate(self.kind, self.sensor)


class ChangedConfigurations:
    """Configurations as they would be after changes."""

    def __init__(self, base: ReadableConfigurations, changes: Iterable[NewConfiguration]) -> None:
        self._base = base
        self._changes = {(each.kind, each.sensor): each for each in changes}

    def read(self, kind: str, sensor: str | None = None) -> str | None:
        """Return a configuration; see ReadableConfigurations."""
        change = self._changes.get((kind, sensor))
        return self._base.read(kind, sensor) if change is None else _decode(change.data, change.name)

    def describe(self, kind: str, sensor: str | None = None) -> str:
        """Return the location of a configuration, which is its name if it is a change."""
        change = self._changes.get((kind, sensor))
        return self._base.describe(kind, sensor) if change is None else change.name

    def list_sensors(self, kind: str) -> list[str]:
        """Return the sensors that have a configuration of a kind, sorted."""
        changed = {sensor for changed, sensor in self._changes if changed == kind and sensor is not None}
        return sorted(changed.union(self._base.list_sensors(kind)))


def read_snapshot(nodes: NodeStore, root: str, origin: str) -> ConfigurationSnapshot:
    """Return the configurations below a node as they were at one time. Raises OSError if they cannot be read.

    Nodes are read one after the other, so a transaction may change two of them between the two reads. If a second pass
    reads the same, all nodes had these contents between the passes.
    """
    before: Mapping[str, bytes] | None = None
    contents: Mapping[str, bytes] = {}
    for _ in range(_MOST_PASSES):
        contents = _read_nodes(nodes, root)
        if contents == before:
            break
        before = contents
    return ConfigurationSnapshot(origin, contents)


_MOST_PASSES = 20  # to read what changes all the time


def _read_nodes(nodes: NodeStore, root: str) -> Mapping[str, bytes]:
    paths = [*_SINGLE.values()]
    paths += [f"{folder}/{name}" for folder in _OF_SENSORS.values() for name in nodes.children(f"{root}/{folder}")]
    contents = ((path, nodes.read(f"{root}/{path}")) for path in paths)
    return {path: data for path, data in contents if data is not None}


def encode_text(text: str) -> bytes:
    """Return a configuration as bytes. Raises ValueError if UTF-8 cannot encode it."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the configuration contains half of a surrogate pair at character {error.start}") from error


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not valid UTF-8 at byte {error.start}") from error
