"""Changes of the configurations in ZooKeeper, as Metron's tools make them: push, pull, dump, patch, delete.

Everything is checked before anything is stored, and several configurations are stored in one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from kazoo.exceptions import BadVersionError, NoNodeError

from stellar.java.jackson import to_indented_bytes
from stellar.language.errors import ConfigError
from stellar.maas.zookeeper import ZooKeeper
from stellar.pipeline.config.cluster import PUSH_FIRST, ZooKeeperLocation
from stellar.pipeline.config.locations import ConfigErrors, ErrorCollector, SourceLocation, parse_object
from stellar.pipeline.config.positions import add_positions
from stellar.pipeline.stored_check import ConfigurationCheck, check_changes, check_configuration
from stellar.stores.configurations import (
    ROOT,
    ConfigurationSnapshot,
    NewConfiguration,
    describe_path,
    has_sensors,
    locate,
    read_snapshot,
)
from stellar.util.abbreviate import quote
from stellar.util.atomic_files import replace_content
from stellar.util.json_patch import PatchError, apply_patch
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)

# In the order in which Metron's tools process them
ORDER = ("GLOBAL", "PARSER", "INDEXING", "ENRICHMENT", "PROFILER")
_ATTEMPTS = 20  # to patch a configuration that other clients change, too


class ConfigurationSelection(NamedTuple):
    """Which configurations a tool processes; None for all kinds, or all sensors."""

    kind: str | None = None
    sensor: str | None = None

    def list_kinds(self) -> Sequence[str]:
        """Return the kinds in the order of Metron's tools."""
        return ORDER if self.kind is None else (self.kind,)

    def describe(self) -> str:
        """Return the selection for messages."""
        kind = self.kind or "any kind"
        return kind if self.sensor is None else f"{kind} {quote(self.sensor)}"


class StoredConfiguration(NamedTuple):
    """A configuration in ZooKeeper."""

    kind: str
    name: str
    path: str
    data: bytes


class StoredChange(NamedTuple):
    """What storing a configuration does: its effect is `new`, `changed` or `unchanged`."""

    path: str
    effect: str


def read_cluster(location: ZooKeeperLocation) -> ConfigurationSnapshot:
    """Return all configurations at a location, by a connection that is then closed.

    Raises ConfigError if there are none, and OSError or ValueError if ZooKeeper cannot be used.
    """
    from stellar.repl.models import connect_zookeeper  # loads kazoo

    with closing(connect_zookeeper(location.hosts)) as zookeeper:
        snapshot = Cluster(zookeeper, location.topology).read()
    if not snapshot.contents:
        raise ConfigError(snapshot.origin, "", f"no configuration in this node; {PUSH_FIRST}")
    return snapshot


class Cluster:
    """The configurations in ZooKeeper below a node."""

    def __init__(self, zookeeper: ZooKeeper, root: str = ROOT) -> None:
        self._zookeeper = zookeeper
        self._root = root
        self.origin = f"zookeeper:{zookeeper.hosts}{root}"

    def read(self) -> ConfigurationSnapshot:
        """Return all configurations. Raises OSError if they cannot be read."""
        return read_snapshot(self._zookeeper, self._root, self.origin)

    def select(self, selection: ConfigurationSelection) -> list[StoredConfiguration]:
        """Return configurations in the order of Metron's tools.

        Raises ValueError if there are none, OSError if they cannot be read.
        """
        snapshot = self.read()
        found = list(_select(snapshot, selection))
        if not found:
            raise ValueError(_describe_missing(snapshot, selection))
        return found

    # --- changes

    def push(
        self, new: Sequence[NewConfiguration], directory: Path, *, force: bool, dry_run: bool
    ) -> list[StoredChange]:
        """Check and store configurations, all or none; return the changes.

        directory: the directory in which pattern files are searched first
        force: store those that are valid, but cannot be used here
        dry_run: check them only

        Raises ConfigErrors, which name lines and columns, and OSError if they cannot be stored.
        """
        before = self.read()
        texts = before.texts()
        _raise_errors(check_changes(before, new, directory), texts, force=force)
        if not dry_run:
            self._zookeeper.write_all({f"{self._root}/{each.path}": each.data for each in new})
        return [StoredChange(each.path, _describe_effect(before.contents.get(each.path), each.data)) for each in new]

    def pull(self, directory: Path, selection: ConfigurationSelection, *, force: bool) -> list[Path]:
        """Write configurations to files, and return these.

        force: replace existing files

        Raises ValueError, before any file is written, if one exists; OSError if they cannot be written.
        """
        files = {directory / f"{each.path}.json": each.data for each in self.select(selection)}
        for file in files:
            if file.exists() and not force:
                raise ValueError(
                    f"Unable to overwrite existing file ({file.absolute()}) without the force flag (-f or --force) "
                    "being set."
                )
        for file, data in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_content(str(file), data)
        return list(files)

    def patch(self, kind: str, sensor: str | None, patch: Any, *, force: bool) -> bytes:
        """Apply a JSON Patch to a configuration, check the result and store it; return it.

        Raises ValueError if it does not exist or the patch cannot be applied, ConfigErrors if the result is invalid,
        OSError if it cannot be stored.
        """
        path = f"{self._root}/{locate(kind, sensor)}"
        for _ in range(_ATTEMPTS):
            found = self._zookeeper.read_version(path)
            if found is None:
                raise ValueError(_describe_missing(self.read(), ConfigurationSelection(kind, sensor)))
            data = self._apply(kind, sensor, found[0], patch, force=force)
            if self._replace(path, data, found[1]):
                return data
        raise OSError(f"{path} is changed too often by others; try again")

    def _replace(self, path: str, data: bytes, version: int) -> bool:
        """Store a configuration, and return True, unless another client has changed it."""
        try:
            self._zookeeper.transact(lambda transaction: transaction.set_data(path, data, version=version))
        except (BadVersionError, NoNodeError):
            return False
        return True

    def _apply(self, kind: str, sensor: str | None, data: bytes, patch: Any, *, force: bool) -> bytes:
        before = self.read()
        location = SourceLocation(before.describe(kind, sensor))
        try:
            patched = apply_patch(parse_object(data.decode("utf-8-sig"), location.file), patch)
            new_data = to_indented_bytes(patched)
        except UnicodeDecodeError as error:
            raise location.error(f"invalid UTF-8 at byte {error.start}; push the file as UTF-8") from None
        except PatchError as error:
            raise location.error(f"cannot apply the patch: {error}") from error
        except ValueError as error:
            raise location.error(f"the patched configuration cannot be written as JSON: {error}") from error
        name = f"{location.file} (patched)"
        new = NewConfiguration(kind, sensor, new_data, name)
        _raise_errors(check_changes(before, [new], None), {**before.texts(), name: new_data.decode()}, force=force)
        return new_data

    def delete(self, kind: str, sensor: str | None, *, force: bool) -> bool:
        """Delete a configuration; return True if it existed.

        force: do not raise ValueError if it does not exist
        """
        if self._zookeeper.delete(f"{self._root}/{locate(kind, sensor)}"):
            return True
        if force:
            return False
        raise ValueError(_describe_missing(self.read(), ConfigurationSelection(kind, sensor)))


def _describe_effect(before: bytes | None, after: bytes) -> str:
    return "new" if before is None else "unchanged" if before == after else "changed"


def _select(snapshot: ConfigurationSnapshot, selection: ConfigurationSelection) -> Iterator[StoredConfiguration]:
    for kind in selection.list_kinds():
        sensors: Sequence[str | None] = snapshot.list_sensors(kind) if has_sensors(kind) else [None]
        for sensor in sensors:
            path = locate(kind, sensor)
            if path in snapshot.contents and (sensor is None or selection.sensor in (None, sensor)):
                yield StoredConfiguration(kind, sensor or path, path, snapshot.contents[path])


def _describe_missing(snapshot: ConfigurationSnapshot, selection: ConfigurationSelection) -> str:
    if not snapshot.contents:
        return f"no configuration in {snapshot.origin}; check the path, or push a directory"
    if selection.kind is None or selection.sensor is None or not has_sensors(selection.kind):
        return f"no configuration of {selection.describe()} in {snapshot.origin}"
    known = snapshot.list_sensors(selection.kind)
    hint = suggest_name(selection.sensor, known) if known else f"there is none of the kind {selection.kind}"
    return f"Unable to find configuration for {selection.sensor} in {snapshot.origin}; {hint}"


def _raise_errors(check: ConfigurationCheck, texts: dict[str, str], *, force: bool) -> None:
    """Raise ConfigErrors for what must not be stored, and log warnings for the rest."""
    if errors := [*check.invalid, *(() if force else check.failing)]:
        raise add_positions(ConfigErrors(errors), texts)
    for warning in (*check.failing, *check.elsewhere):
        (positioned,) = add_positions(warning, texts).errors
        log.warning("%s", positioned)


def check_stored(found: StoredConfiguration, snapshot: ConfigurationSnapshot, directory: Path | None) -> StoredCheck:
    """Check a configuration in ZooKeeper as a run would; errors and warnings have lines and columns.

    directory: the directory in which pattern files are searched first
    """
    check = check_configuration(snapshot, found.kind, found.name if has_sensors(found.kind) else None, directory)
    texts = snapshot.texts()

    def position(errors: Sequence[ConfigError]) -> Sequence[ConfigError]:
        return add_positions(ConfigErrors(errors), texts).errors if errors else ()

    return StoredCheck(position([*check.invalid, *check.failing]), position(check.elsewhere))


class StoredCheck(NamedTuple):
    """The errors and warnings of a stored configuration."""

    errors: Sequence[ConfigError]
    warnings: Sequence[ConfigError]


def find_errors(found: StoredConfiguration, origin: str) -> Sequence[ConfigError]:
    """Return why a configuration in ZooKeeper is invalid, with lines and columns."""
    snapshot = ConfigurationSnapshot(origin, {found.path: found.data})
    sensor = found.name if has_sensors(found.kind) else None
    invalid = check_configuration(snapshot, found.kind, sensor).invalid
    return add_positions(ConfigErrors(invalid), snapshot.texts()).errors if invalid else ()


# -- Files ------------------------------------------------------------------------------------------------------------


def read_directory(directory: Path, selection: ConfigurationSelection) -> list[NewConfiguration]:
    """Return the configurations in the files of a directory, in the order of Metron's tools.

    A file in the folder of a kind whose name does not end in .json is ignored, with a warning.

    Raises ValueError if the directory or the selected configurations do not exist, ConfigErrors for unreadable files.
    """
    if not directory.is_dir():
        raise ValueError(f"Input directory: {directory} does not exist or is not a directory.")
    errors: list[ConfigError] = []
    problems = ErrorCollector(errors)
    found = []
    for kind in selection.list_kinds():
        for sensor, file in _list_files(directory, kind):
            if selection.sensor is None or sensor in (None, selection.sensor):
                data = problems.attempt(lambda file=file: _read_bytes(file), b"")  # type: ignore[misc]
                found.append(NewConfiguration(kind, sensor, data, str(file)))
    if errors:
        raise ConfigErrors(errors)
    if not found:
        raise ValueError(_describe_no_file(directory, selection))
    return found


def _list_files(directory: Path, kind: str) -> Iterator[tuple[str | None, Path]]:
    if not has_sensors(kind):
        file = directory / f"{describe_path(kind)}.json"
        if file.exists():
            yield None, file
        return
    folder = directory / Path(describe_path(kind, "any")).parent
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix == ".json" and file.is_file():
            yield file.stem, file
        else:
            log.warning("%s: ignored; expected a file whose name ends in .json", file)


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(str(file), "", f"cannot read the file: {error.strerror}") from error


def _describe_no_file(directory: Path, selection: ConfigurationSelection) -> str:
    if selection.sensor is not None:
        return f"Unable to find configuration for {selection.sensor}"
    if selection.kind is not None:
        return f"Unable to find configuration for {describe_path(selection.kind, '*')}.json in {directory}"
    return (
        f"no configuration in {directory}; expected global.json, profiler.json, or files such as parsers/squid.json, "
        "enrichments/squid.json or indexing/squid.json"
    )
