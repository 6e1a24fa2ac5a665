"""The registrations of one process in a registry directory, and how files are written there.

A process that only registers, such as a runner, needs nothing else: it reads no other registrations, so hundreds of
them do not burden each other.
"""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from stellar.maas.registries.extensions import INSTANCES, encode_settings
from stellar.maas.schema import CONFIG_PATH, MaaSConfig, ServiceInstance
from stellar.maas.snapshots import Key, validate_key
from stellar.util.abbreviate import quote
from stellar.util.forks import reset_after_fork

ASIDE = ".aside"  # drafts of files, and the counter of the queue


def read_config(directory: Path, path: str = CONFIG_PATH) -> MaaSConfig:
    """Return the configuration in a registry directory; the defaults if the file does not exist.

    Raises ValueError, naming the file, for an invalid configuration.
    """
    file = resolve_path(directory, path)
    try:
        return MaaSConfig.from_json(file.read_bytes())
    except FileNotFoundError:
        return MaaSConfig()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def resolve_path(directory: Path, path: str) -> Path:
    """Return the file for an absolute path of ZooKeeper.

    Raises ValueError if the path leads out of the directory.
    """
    parts = path.removeprefix("/").split("/")
    if {"", ".", ".."} & set(parts):
        raise ValueError(f"invalid path {quote(path)}: expected an absolute path such as {CONFIG_PATH}")
    return directory.joinpath(*parts)


def write_atomically(directory: Path, file: Path, data: bytes, *, locked: set[BinaryIO] | None = None) -> BinaryIO:
    """Write a file atomically, by renaming a draft; return the open file.

    directory: of the registry
    locked: the open files that this process holds locked; the file is locked and added before it gets its name
    """
    aside = directory / ASIDE
    for folder in (directory, aside, file.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = aside / uuid.uuid4().hex
    handle = draft.open("xb", buffering=0)
    try:
        if locked is not None:
            locked.add(handle)  # first, so that the child of a fork can close it
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(data)
        draft.replace(file)  # the lock belongs to the file, not to its name
    except BaseException:
        if locked is not None:
            locked.discard(handle)
        handle.close()
        draft.unlink(missing_ok=True)
        raise
    return handle


def is_locked(handle: BinaryIO) -> bool:
    """Return True if another process, or another open file of this one, holds the lock of this file."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


class FileRegistrar:
    """The registrations of this process in a registry directory; they end when it is closed or the process dies.

    directory: created by the first registration
    config_path: path of the configuration, as in ZooKeeper

    Thread-safe. In the child of a fork the registrations remain the parent's.

    Raises ValueError if the configuration is invalid.
    """

    def __init__(self, directory: str | os.PathLike[str], *, config_path: str = CONFIG_PATH) -> None:
        self.directory = Path(directory)
        config = read_config(self.directory, config_path)
        self.root = resolve_path(self.directory, config.service_root)
        self.ext_root = resolve_path(self.directory, config.ext_root)
        self.settings_root = self.ext_root / INSTANCES
        self._writing = threading.Lock()
        self._locked: set[BinaryIO] = set()
        self._owned: dict[Key, list[BinaryIO]] = {}
        reset_after_fork(self)

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        """Register an instance, as `Registry.register` does."""
        key = validate_key(instance.name, instance.id)
        note = encode_settings(settings)
        with self._writing:
            handles = self._write(key, instance, note)
            self._release(key)
            if handles:
                self._owned[key] = handles

    def unregister(self, name: str, id: str) -> None:
        """Remove an instance and its settings, if it exists."""
        key = validate_key(name, id)
        with self._writing:
            self._remove(key)

    def close(self) -> None:
        """Remove the registrations made by this object."""
        with self._writing:
            for key in list(self._owned):
                self._remove(key)

    def after_fork(self) -> None:
        self._writing = threading.Lock()
        self._owned = {}  # the registrations are the parent's
        for handle in self._locked:
            handle.close()  # does not release the parent's lock; unlocking would
        self._locked = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, key: Key, instance: ServiceInstance, note: bytes | None) -> list[BinaryIO]:
        """Write the settings, then the registration; return the locked files, which must stay open.

        A reader may read both as soon as the registration has its name.
        """
        written = []
        settings = self.settings_root.joinpath(*key)
        try:
            if note is None:
                settings.unlink(missing_ok=True)
            else:
                written.append(self._write_file(settings, note, instance))
            written.append(self._write_file(self.root.joinpath(*key), instance.to_json(), instance))
        except BaseException:
            for handle in written:
                self._close(handle)
                settings.unlink(missing_ok=True)
            raise
        if not instance.lasting:
            return written
        for handle in written:
            handle.close()
        return []

    def _write_file(self, file: Path, data: bytes, instance: ServiceInstance) -> BinaryIO:
        return write_atomically(self.directory, file, data, locked=None if instance.lasting else self._locked)

    def _remove(self, key: Key) -> None:
        self.root.joinpath(*key).unlink(missing_ok=True)
        self.settings_root.joinpath(*key).unlink(missing_ok=True)
        self._release(key)

    def _release(self, key: Key) -> None:
        for handle in self._owned.pop(key, ()):
            self._close(handle)

    def _close(self, handle: BinaryIO) -> None:
        self._locked.discard(handle)
        handle.close()
