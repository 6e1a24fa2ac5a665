"""The registry in a directory, laid out as in ZooKeeper; for one machine, without a server.

    <directory>/metron/maas/config            the paths of the queue and of the registrations; may be absent
    <directory>/maas/queue/qn-0000000001      a request; see stellar.maas.registries.directory_queue
    <directory>/maas/service/<model>/<id>     a registration
    <directory>/maas/ext/...                  our own files; see stellar.maas.registries.extensions

A registration that ends with its owner is a file that the owner holds locked: when the owner dies, the operating system
releases the lock, and the next reader finds the file unlocked and removes it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, TypeVar

from stellar.maas.registries.extensions import INSTANCES, WANTED, encode_settings, parse_desired, parse_settings
from stellar.maas.registries.file_tree import CachedFile, FileTree, Names, Stamp
from stellar.maas.registry import BaseRegistry, Instances, Listener, validate_key
from stellar.maas.routing import TRAFFIC, parse_plan
from stellar.maas.schema import CONFIG_PATH, MaaSConfig, Model, ServiceInstance
from stellar.maas.snapshots import NO_SETTINGS, Key, Registration, Settings
from stellar.net.breaker import CircuitBreakers
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)
T = TypeVar("T")

REFRESH_SECONDS = 0.25  # between two scans while the view is in use
STALE_SECONDS = 1.0  # the age of a view at which a caller waits for a scan
IDLE_SECONDS = 2.0  # time without a call after which scanning stops
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
        raise ValueError(f"invalid path {path!r}: expected an absolute path such as {CONFIG_PATH}")
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


class RegistrationFiles(FileTree[Registration]):
    """The files of all registrations; those of dead owners are removed.

    settings: the directory of the instances' settings
    """

    def __init__(self, root: Path, settings: Path) -> None:
        super().__init__(root, 2, self._parse_registration)
        self._settings = settings

    def _read(self, names: Names, file: str) -> CachedFile[Registration] | None:
        known = self._entries.get(names)
        try:
            if known and not _has_owner(known) and known.stamp == Stamp.of(os.stat(file)):
                return known
            with open(file, "rb", buffering=0) as handle:
                stamp = Stamp.of(os.fstat(handle.fileno()))
                if known is None or known.stamp != stamp:
                    known = CachedFile(stamp, self._parse(file, handle.read()))
                if not _has_owner(known) or is_locked(handle):
                    return known
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if known is None:
                log.warning("can't read %s, which is ignored: %s", file, error)
            return known or CachedFile(Stamp(), None)
        return self._remove_abandoned(names, file, stamp)

    def _deny(self, path: str, error: PermissionError) -> None:
        raise error  # without its registrations a registry is unusable

    def _remove_abandoned(self, names: Names, file: str, stamp: Stamp) -> CachedFile[Registration] | None:
        """Remove a registration whose owner is dead, unless it was just registered again."""
        with suppress(OSError):  # without the permission to remove it, it is ignored
            if os.stat(file).st_ino != stamp.inode:
                return self._read(names, file)
            os.unlink(file)
            log.info("removed %s: its owner has exited", file)
            self._remove_abandoned_settings(names)
        return None

    def _remove_abandoned_settings(self, names: Names) -> None:
        file = self._settings.joinpath(*names)
        with suppress(FileNotFoundError), file.open("rb", buffering=0) as handle:
            if not is_locked(handle):  # otherwise they belong to a new owner
                file.unlink()

    def _parse_registration(self, file: str, data: bytes) -> Registration | None:
        try:
            instance = ServiceInstance.from_json(data)
        except ValueError as error:
            log.warning("invalid registration %s is ignored: %s", file, error)
            return None
        # Read after the registration, because its owner writes the settings first
        return Registration(instance, self._read_settings(self._settings / os.path.relpath(file, self.root)))

    def _read_settings(self, file: Path) -> Settings:
        try:
            return parse_settings(str(file), file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return NO_SETTINGS
        except OSError as error:
            log.warning("can't read %s; the instance has no settings: %s", file, error)
            return NO_SETTINGS


def _has_owner(entry: CachedFile[Registration]) -> bool:
    return entry.value is not None and not entry.value.instance.lasting


class FileRegistry(BaseRegistry):
    """A registry in a directory of this machine.

    directory: created by the first write
    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    config_path: path of the configuration, as in ZooKeeper
    clock: monotonic seconds, for the age of the view and the grace period of `is_desired`

    While it is in use, a background thread reads the directory every 0.25 s. After a pause, when the view is older than
    a second, the caller reads the directory, or waits for another thread that does. `instances` always reads it. This
    object sees its own changes at once.

    Raises ValueError if the configuration is invalid.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        version_order: str = "natural",
        *,
        config_path: str = CONFIG_PATH,
        breakers: CircuitBreakers | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(version_order, breakers, clock)
        self.directory = Path(directory)
        config = read_config(self.directory, config_path)
        ext = resolve_path(self.directory, config.ext_root)
        self._settings_root = ext / INSTANCES
        self._registration_files = RegistrationFiles(
            resolve_path(self.directory, config.service_root), self._settings_root
        )
        self._plan_files = FileTree(ext / TRAFFIC, 1, parse_plan)
        self._desired_files = FileTree(ext / WANTED, 2, parse_desired)
        self._locked: set[BinaryIO] = set()
        self._owned: dict[Key, list[BinaryIO]] = {}
        self._last_error = ""
        self._reading = threading.Lock()  # serializes reading the files; reading the view takes no lock
        self._scans = 0  # number of scans begun
        self._read_at = -inf  # time at which the last scan began
        self._used_at = -inf  # time at which a caller last read the view
        self._starting = threading.Lock()
        self._refresher: threading.Thread | None = None
        self._closed = threading.Event()
        self._refresh()
        reset_after_fork(self)

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        self._refresh()
        self._resume_listening()
        return self._snapshot.instances(name, version)

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        key = validate_key(instance.name, instance.id)
        note = encode_settings(settings)
        with self._reading:
            handles = self._write(key, instance, note)
            self._release(key)
            if handles:
                self._owned[key] = handles
            self._read_one(key)
        self._notify_listeners()

    def unregister(self, name: str, id: str) -> None:
        key = validate_key(name, id)
        with self._reading:
            self._remove(key)
            self._read_one(key)
        self._notify_listeners()

    def listen(self, listener: Listener) -> Callable[[], None]:
        stop = super().listen(listener)
        self._resume_listening()
        return stop

    def close(self) -> None:
        super().close()
        self._closed.set()
        refresher = self._refresher
        if refresher is not None and refresher is not threading.current_thread():
            refresher.join()
        with self._reading:
            for key in list(self._owned):
                self._remove(key)

    def after_fork(self) -> None:
        super().after_fork()
        self._reading, self._starting = threading.Lock(), threading.Lock()
        self._refresher = None
        is_closed, self._closed = self._closed.is_set(), threading.Event()
        if is_closed:
            self._closed.set()
        self._read_at = -inf
        self._owned = {}  # the registrations are the parent's
        for handle in self._locked:
            handle.close()  # does not release the parent's lock; unlocking would
        self._locked = set()

    # --- writing

    def _write(self, key: Key, instance: ServiceInstance, note: bytes | None) -> list[BinaryIO]:
        """Write the settings, then the registration; return the locked files, which must stay open."""
        written = []
        settings = self._settings_root.joinpath(*key)
        try:
            if note is not None:
                written.append(self._write_file(settings, note, instance))
            written.append(self._write_file(self._registration_files.root.joinpath(*key), instance.to_json(), instance))
        except BaseException:
            for handle in written:
                self._close(handle)
                settings.unlink(missing_ok=True)
            raise
        if note is None:
            settings.unlink(missing_ok=True)
        if not instance.lasting:
            return written
        for handle in written:
            handle.close()
        return []

    def _write_file(self, file: Path, data: bytes, instance: ServiceInstance) -> BinaryIO:
        return write_atomically(self.directory, file, data, locked=None if instance.lasting else self._locked)

    def _remove(self, key: Key) -> None:
        self._registration_files.root.joinpath(*key).unlink(missing_ok=True)
        self._settings_root.joinpath(*key).unlink(missing_ok=True)
        self._release(key)

    def _release(self, key: Key) -> None:
        for handle in self._owned.pop(key, ()):
            self._close(handle)

    def _close(self, handle: BinaryIO) -> None:
        self._locked.discard(handle)
        handle.close()

    # --- reading

    def _update_view(self) -> None:
        self._used_at = self._clock()
        if self._is_stale():
            with self._reading:
                if self._is_stale():  # otherwise another thread has read it while this one waited
                    self._read_all()
            self._notify_listeners()
        if self._refresher is None:
            self._start_refresher()

    def _resume_listening(self) -> None:
        """Start the background thread if there is a listener; in the child of a fork too."""
        if self._listeners and self._refresher is None:
            self._start_refresher()

    def _start_refresher(self) -> None:
        with self._starting:
            if self._refresher is None and not self._closed.is_set():
                self._refresher = threading.Thread(
                    target=self._refresh_periodically, name="model registry", daemon=True
                )
                self._refresher.start()

    def _refresh_periodically(self) -> None:
        try:
            while not self._closed.wait(REFRESH_SECONDS):
                if not self._listeners and self._clock() - self._used_at > IDLE_SECONDS:
                    break
                self._refresh()
        finally:
            self._refresher = None  # the next call starts another one

    def _is_stale(self) -> bool:
        return self._clock() - self._read_at > STALE_SECONDS

    def _refresh(self) -> None:
        """Update the view by a scan that begins after the call, in this thread or in another one."""
        before = self._scans
        with self._reading:
            if self._scans == before:
                self._read_all()
        self._notify_listeners()

    def _read_all(self) -> None:
        self._scans += 1
        began = self._clock()
        try:
            registrations = _drop_invalid(self._registration_files.read())
            # after the instances: see _publish
            plans, desired = self._plan_files.read(), self._desired_files.read()
        except OSError as error:  # the last view stays in use
            if (message := str(error)) != self._last_error:
                log.warning("can't read the model registry: %s", error)
            self._last_error = message
        else:
            self._last_error = ""
            known = {(name, id): registration for (name, id), registration in registrations.items()}
            self._publish(self._snapshot.changes_to(known), _plans_by_name(plans), _by_model(desired))
        self._read_at = began

    def _read_one(self, key: Key) -> None:
        """Read a change made by this object, with the plan and the desired state of its model."""
        registration = self._registration_files.read(*key).get(key)
        plans, desired = self._plan_files.read(key[0]), self._desired_files.read(key[0])
        self._publish({key: registration}, _plans_by_name(plans), _by_model(desired))


def _drop_invalid(values: Mapping[Names, T | None]) -> dict[Names, T]:
    return {names: value for names, value in values.items() if value is not None}


def _plans_by_name(values: Mapping[Names, T | None]) -> dict[str, T]:
    return {name: plan for (name,), plan in _drop_invalid(values).items()}


def _by_model(values: Mapping[Names, int | None]) -> dict[Model, int | None]:
    return {Model(name, version): instances for (name, version), instances in values.items()}
