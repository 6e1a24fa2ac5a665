"""The registry and the request queue in a directory, laid out as in ZooKeeper; for one machine, without a server.

    <directory>/metron/maas/config            the paths of the queue and of the registrations; may be absent
    <directory>/maas/queue/qn-0000000001      a request
    <directory>/maas/service/<model>/<id>     a registration
    <directory>/maas/ext/...                  our own notes; see stellar.maas.registries.extensions

A registration that ends with its owner is a file which the owner keeps locked: when the owner dies, however it dies,
the system releases the lock, and the next reader finds the file unlocked and removes it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import Any, BinaryIO, TypeVar

from stellar.maas.registries.extensions import INSTANCES, WANTED, encode_settings, parse_desired, parse_settings
from stellar.maas.registries.file_tree import Entry, FileTree, Names, Stamp
from stellar.maas.registry import BaseRegistry, Instances, Listener, checked_key
from stellar.maas.requests import ITEM_PREFIX, Item, item_name
from stellar.maas.routing import TRAFFIC, checked_plan
from stellar.maas.schema import CONFIG_PATH, MaaSConfig, Model, ModelRequest, ServiceInstance
from stellar.maas.snapshots import NO_SETTINGS, Key, Registration, Settings
from stellar.net.breaker import CircuitBreakers
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)
T = TypeVar("T")

REFRESH_SECONDS = 0.25  # between two scans while the view is in use
STALE_SECONDS = 1.0  # the age of a view at which a caller waits for a scan
IDLE_SECONDS = 2.0  # without a call, after which scanning ends
TAKE_SECONDS = 0.1
_ASIDE = ".aside"  # files in the making, and the queue's counter


def read_config(directory: Path, path: str = CONFIG_PATH) -> MaaSConfig:
    """The configuration in a registry directory; the defaults if there is none.

    Raises ValueError, naming the file, if it can't be used.
    """
    file = below(directory, path)
    try:
        return MaaSConfig.from_json(file.read_bytes())
    except FileNotFoundError:
        return MaaSConfig()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def below(directory: Path, path: str) -> Path:
    """The file that stands for an absolute path of ZooKeeper.

    Raises ValueError if the path leads out of the directory.
    """
    parts = path.removeprefix("/").split("/")
    if {"", ".", ".."} & set(parts):
        raise ValueError(f"{path!r} is not an absolute path such as {CONFIG_PATH}")
    return directory.joinpath(*parts)


def write_whole(directory: Path, file: Path, data: bytes, *, locked: set[BinaryIO] | None = None) -> BinaryIO:
    """Write a file so that nobody reads half of it; return it, open.

    directory: the registry's
    locked: the open files that this process keeps locked; the file is locked and added, before it gets its name
    """
    aside = directory / _ASIDE
    for folder in (directory, aside, file.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = aside / uuid.uuid4().hex
    handle = draft.open("xb", buffering=0)
    try:
        if locked is not None:
            locked.add(handle)  # first: what a child of a fork inherits, it must be able to close
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(data)
        draft.replace(file)  # the lock is the file's, not the name's: it goes along
    except BaseException:
        if locked is not None:
            locked.discard(handle)
        handle.close()
        draft.unlink(missing_ok=True)
        raise
    return handle


def is_locked(handle: BinaryIO) -> bool:
    """Return whether another process, or another open file of this one, holds the lock of this file."""
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

    def _read(self, names: Names, file: str) -> Entry[Registration] | None:
        known = self._entries.get(names)
        try:
            if known and not _has_owner(known) and known.stamp == Stamp.of(os.stat(file)):
                return known
            with open(file, "rb", buffering=0) as handle:
                stamp = Stamp.of(os.fstat(handle.fileno()))
                if known is None or known.stamp != stamp:
                    known = Entry(stamp, self._parse(file, handle.read()))
                if not _has_owner(known) or is_locked(handle):
                    return known
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if known is None:
                log.warning("can't read %s, so it is ignored: %s", file, error)
            return known or Entry(Stamp(), None)
        return self._remove_abandoned(names, file, stamp)

    def _deny(self, path: str, error: PermissionError) -> None:
        raise error  # a registry without registrations is none

    def _remove_abandoned(self, names: Names, file: str, stamp: Stamp) -> Entry[Registration] | None:
        """Remove a registration whose owner is dead, unless it was just registered again."""
        with suppress(OSError):  # without the permission to remove it, it is only ignored
            if os.stat(file).st_ino != stamp.inode:
                return self._read(names, file)
            os.unlink(file)
            log.info("removed %s: its owner is gone", file)
            self._remove_abandoned_settings(names)
        return None

    def _remove_abandoned_settings(self, names: Names) -> None:
        file = self._settings.joinpath(*names)
        with suppress(FileNotFoundError), file.open("rb", buffering=0) as handle:
            if not is_locked(handle):  # else they belong to its successor
                file.unlink()

    def _parse_registration(self, file: str, data: bytes) -> Registration | None:
        try:
            instance = ServiceInstance.from_json(data)
        except ValueError as error:
            log.warning("invalid registration %s, which is ignored: %s", file, error)
            return None
        # After the registration, for its owner writes the settings first
        return Registration(instance, self._read_settings(self._settings / os.path.relpath(file, self.root)))

    def _read_settings(self, file: Path) -> Settings:
        try:
            return parse_settings(str(file), file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return NO_SETTINGS
        except OSError as error:
            log.warning("can't read %s, so it counts as none: %s", file, error)
            return NO_SETTINGS


def _has_owner(entry: Entry[Registration]) -> bool:
    return entry.value is not None and not entry.value.instance.lasting


class FileRegistry(BaseRegistry):
    """A registry in a directory of this machine.

    directory: made when it is first written to
    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    config_path: where in the directory the configuration is
    clock: seconds, for the age of the view and the grace of `is_desired`

    As long as it is used, a thread reads the directory every 0.25 s. After a pause, when what is known is older than a
    second, the caller reads it, or waits for the thread that does. `instances` always reads it. What is registered and
    unregistered here is known here at once.

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
        ext = below(self.directory, config.ext_root)
        self._settings_root = ext / INSTANCES
        self._registration_files = RegistrationFiles(below(self.directory, config.service_root), self._settings_root)
        self._plan_files = FileTree(ext / TRAFFIC, 1, checked_plan)
        self._wanted_files = FileTree(ext / WANTED, 2, parse_desired)
        self._locked: set[BinaryIO] = set()
        self._owned: dict[Key, list[BinaryIO]] = {}
        self._trouble = ""
        self._reading = threading.Lock()  # for reading the files, not for reading the view
        self._scans = 0  # how many have begun
        self._read_at = -inf  # when the last one began
        self._used_at = -inf  # when a caller last read the view
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
        key = checked_key(instance.name, instance.id)
        note = encode_settings(settings)
        with self._reading:
            handles = self._write(key, instance, note)
            self._release(key)
            if handles:
                self._owned[key] = handles
            self._read_one(key)
        self._notify_listeners()

    def unregister(self, name: str, id: str) -> None:
        key = checked_key(name, id)
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
            handle.close()  # keeps the parent's lock, while to unlock would end it
        self._locked = set()

    # --- what is written

    def _write(self, key: Key, instance: ServiceInstance, note: bytes | None) -> list[BinaryIO]:
        """Write the settings, then the registration; return the files that are to stay open, as they are locked."""
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
        return write_whole(self.directory, file, data, locked=None if instance.lasting else self._locked)

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

    # --- what is read

    def _update_view(self) -> None:
        self._used_at = self._clock()
        if self._is_stale():
            with self._reading:
                if self._is_stale():  # else another thread has read it while this one waited
                    self._read_all()
            self._notify_listeners()
        if self._refresher is None:
            self._start_refresher()

    def _resume_listening(self) -> None:
        """Start the thread that notices changes if there is a listener, in the child of a fork too."""
        if self._listeners and self._refresher is None:
            self._start_refresher()

    def _start_refresher(self) -> None:
        with self._starting:
            if self._refresher is None and not self._closed.is_set():
                self._refresher = threading.Thread(target=self._keep_fresh, name="model registry", daemon=True)
                self._refresher.start()

    def _keep_fresh(self) -> None:
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
        """Bring the view up to this moment, by a scan of this thread or of another one that begins after the call."""
        before = self._scans
        with self._reading:
            if self._scans == before:
                self._read_all()
        self._notify_listeners()

    def _read_all(self) -> None:
        self._scans += 1
        began = self._clock()
        try:
            registrations = _present(self._registration_files.read())
            # After the instances: see _publish
            plans, desired = self._plan_files.read(), self._wanted_files.read()
        except OSError as error:  # what was known stays known
            if (trouble := str(error)) != self._trouble:
                log.warning("can't read the model registry: %s", error)
            self._trouble = trouble
        else:
            self._trouble = ""
            known = {(name, id): registration for (name, id), registration in registrations.items()}
            self._publish(self._snapshot.changes_to(known), _plans(plans), _desired(desired))
        self._read_at = began

    def _read_one(self, key: Key) -> None:
        """Take in a change made here, and what else is known of the model."""
        registration = self._registration_files.read(*key).get(key)
        plans, desired = self._plan_files.read(key[0]), self._wanted_files.read(key[0])
        self._publish({key: registration}, _plans(plans), _desired(desired))


def _present(values: Mapping[Names, T | None]) -> dict[Names, T]:
    return {names: value for names, value in values.items() if value is not None}


def _plans(values: Mapping[Names, T | None]) -> dict[str, T]:
    return {name: plan for (name,), plan in _present(values).items()}


def _desired(values: Mapping[Names, int | None]) -> dict[Model, int | None]:
    return {Model(name, version): instances for (name, version), instances in values.items()}


class FileQueue:
    """A request queue in a directory of this machine. It keeps nothing open, so that the child of a fork may use it.

    Raises ValueError if the directory's configuration is invalid.
    """

    def __init__(self, directory: str | os.PathLike[str], config_path: str = CONFIG_PATH) -> None:
        self.directory = Path(directory)
        self._queue = below(self.directory, read_config(self.directory, config_path).queue_path)

    def enqueue(self, request: ModelRequest) -> str:
        return self.put(request.to_json())

    def put(self, data: bytes) -> str:
        """Put any bytes at the end, as a stranger might."""
        with self._counter() as number:
            name = item_name(number)
            write_whole(self.directory, self._queue / name, data).close()
            return name

    def take(self, seconds: float) -> Item | None:
        deadline = monotonic() + seconds
        while (item := self._first()) is None and monotonic() < deadline:
            sleep(min(TAKE_SECONDS, max(0.0, deadline - monotonic())))
        return item

    def _first(self) -> Item | None:
        for file in self._items():
            with suppress(FileNotFoundError):  # another taker was quicker
                data = file.read_bytes()
                file.unlink()  # this is the claim; as numbers are never used again, it can't hit a later item
                return Item(file.name, data)
        return None

    def _items(self) -> list[Path]:
        try:
            return sorted(file for file in self._queue.iterdir() if file.name.startswith(ITEM_PREFIX))
        except FileNotFoundError:
            return []

    @contextmanager
    def _counter(self) -> Iterator[int]:
        """The next number, kept from all others meanwhile and used up afterwards."""
        aside = self.directory / _ASIDE
        for folder in (self.directory, aside):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(aside / "next-request", os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as counter:
            fcntl.flock(counter, fcntl.LOCK_EX)
            taken = (file.name.removeprefix(ITEM_PREFIX) for file in self._items())
            number = max([int(counter.read() or b"0"), *(int(digits) + 1 for digits in taken if digits.isdecimal())])
            try:
                yield number
                os.pwrite(counter.fileno(), b"%010d" % (number + 1), 0)  # in one write: a crash can't lose the count
            finally:
                fcntl.flock(counter, fcntl.LOCK_UN)  # closing does not unlock what the child of a fork has inherited
