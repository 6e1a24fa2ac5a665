"""The registry and the request queue in a directory, laid out as in ZooKeeper; for one machine, without a server.

    <directory>/metron/maas/config            where the other two are; may be absent
    <directory>/maas/queue/qn-0000000001      a request
    <directory>/maas/service/<model>/<id>     a registration
    <directory>/maas/ext/traffic/<model>      a traffic plan; see stellar.maas.traffic

A registration that ends with its owner is a file which the owner keeps locked: when the owner dies, however it dies,
the system lets go of the lock, and whoever looks next finds the file unlocked and takes it away.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO, NamedTuple

from stellar.maas.registry import Instances, KnownInstances, Listener, Quarantine
from stellar.maas.requests import ITEM_PREFIX, Item, item_name
from stellar.maas.schema import (
    CONFIG_PATH,
    EXT_PATH,
    MaaSConfig,
    ModelEndpoint,
    ModelRequest,
    ServiceInstance,
    checked_name,
)
from stellar.maas.traffic import TRAFFIC, TrafficPlan, checked_plan

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
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


def write_whole(directory: Path, file: Path, data: bytes, *, locked: bool = False) -> BinaryIO:
    """Write a file so that nobody sees a part of it; returns it, open, and locked if asked."""
    aside = directory / _ASIDE
    for folder in (directory, aside, file.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = aside / uuid.uuid4().hex
    handle = draft.open("xb", buffering=0)
    try:
        if locked:
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(data)
        draft.replace(file)  # the lock is the file's, not the name's: it goes along
    except BaseException:
        handle.close()
        draft.unlink(missing_ok=True)
        raise
    return handle


def is_locked(handle: BinaryIO) -> bool:
    """Whether somebody else holds the lock of this open file."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


class _Stamp(NamedTuple):
    """What changes when a file is written anew."""

    inode: int
    changed: int
    size: int


class FileRegistry(KnownInstances):
    """A registry in a directory of this machine. It looks for changes when it is asked, at most every 0.25 s.

    directory: made when it is first written to
    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    config_path: where in the directory the configuration is

    Raises ValueError if the configuration can't be used.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        version_order: str = "natural",
        *,
        config_path: str = CONFIG_PATH,
        quarantine: Quarantine | None = None,
    ) -> None:
        super().__init__(version_order, quarantine)
        self.directory = Path(directory)
        self._root = below(self.directory, read_config(self.directory, config_path).service_root)
        self._owned: dict[Path, BinaryIO] = {}
        self._plans_root = below(self.directory, f"{EXT_PATH}/{TRAFFIC}")
        self._seen: dict[Path, tuple[_Stamp, ServiceInstance | None]] = {}
        self._seen_plans: dict[Path, tuple[_Stamp, TrafficPlan | None]] = {}
        self._trouble = ""
        self._looking = threading.RLock()  # a listener may ask us
        self._next_look = 0.0
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        self._look()

    def endpoint(self, name: str, version: str | None = None, key: str | None = None) -> ModelEndpoint:
        self._look_if_due()
        return super().endpoint(name, version, key)

    def traffic(self, name: str) -> TrafficPlan | None:
        self._look_if_due()
        return super().traffic(name)

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        self._look()
        return super().instances(name, version)

    def register(self, instance: ServiceInstance) -> None:
        file = self._file(instance.name, instance.id)
        handle = write_whole(self.directory, file, instance.to_json(), locked=not instance.lasting)
        with self._changing:
            self._let_go(file)
            if instance.lasting:
                handle.close()
            else:
                self._owned[file] = handle
        self._look()

    def unregister(self, name: str, id: str) -> None:
        file = self._file(name, id)
        file.unlink(missing_ok=True)
        with self._changing:
            self._let_go(file)
        self._look()

    def listen(self, listener: Listener) -> Callable[[], None]:
        with self._changing:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="model registry", daemon=True)
                self._watcher.start()
        return super().listen(listener)

    def close(self) -> None:
        super().close()
        self._closed.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        with self._changing:
            for file in list(self._owned):
                file.unlink(missing_ok=True)
                self._let_go(file)

    def _file(self, name: str, id: str) -> Path:
        return self._root / checked_name(name, "model's name") / checked_name(id, "instance's id")

    def _let_go(self, file: Path) -> None:
        if handle := self._owned.pop(file, None):
            handle.close()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self._look()

    def _look_if_due(self) -> None:
        if monotonic() >= self._next_look and self._looking.acquire(blocking=False):  # one thread looks for all
            try:
                self._look_locked()
            finally:
                self._looking.release()

    def _look(self) -> None:
        with self._looking:
            self._look_locked()

    def _look_locked(self) -> None:
        try:
            self._seen = {file: found for file in _registrations(self._root) if (found := self._read(file))}
            # After the instances: who sees an instance sees the plan that was made before it
            self._seen_plans = {file: read for file in _files(self._plans_root) if (read := self._read_plan(file))}
            trouble = ""
        except OSError as error:  # what was known stays known
            trouble = f"the model registry can't be read: {error}"
        if trouble and trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble
        self._next_look = monotonic() + LOOK_SECONDS
        self._now_known(
            (instance for _, instance in self._seen.values() if instance is not None),
            {file.name: plan for file, (_, plan) in self._seen_plans.items() if plan is not None},
        )

    def _read(self, file: Path) -> tuple[_Stamp, ServiceInstance | None] | None:
        """What the file says, None within for nonsense; None if the file is gone or its owner is."""
        seen = self._seen.get(file)
        try:
            with file.open("rb", buffering=0) as handle:
                stamp = _stamp(handle)
                instance = seen[1] if seen and seen[0] == stamp else _parsed(file, handle.read())
                if instance is None or instance.lasting or is_locked(handle):
                    return stamp, instance
        except FileNotFoundError:
            return None
        except OSError as error:
            if seen is None:
                log.warning("%s can't be read and is left out: %s", file, error)
            return seen or (_Stamp(0, 0, 0), None)
        with suppress(OSError):  # one who may only read leaves it there, and ignores it
            if file.stat().st_ino != stamp.inode:  # its owner lives, and has just written it anew
                return self._read(file)
            file.unlink()
            log.info("%s: its owner is gone", file)
        return None

    def _read_plan(self, file: Path) -> tuple[_Stamp, TrafficPlan | None] | None:
        """What the file says, None within for nonsense; None if the file is gone."""
        seen = self._seen_plans.get(file)
        try:
            with file.open("rb", buffering=0) as handle:
                stamp = _stamp(handle)
                return seen if seen and seen[0] == stamp else (stamp, checked_plan(str(file), handle.read()))
        except FileNotFoundError:
            return None


def _stamp(handle: BinaryIO) -> _Stamp:
    status = os.fstat(handle.fileno())
    return _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _registrations(root: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for model in root.iterdir():
            yield from _files(model)


def _files(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from (entry for entry in folder.iterdir() if entry.is_file())


def _parsed(file: Path, data: bytes) -> ServiceInstance | None:
    try:
        return ServiceInstance.from_json(data)
    except ValueError as error:
        log.warning("%s is no registration and is left out: %s", file, error)
        return None


class FileQueue:
    """A request queue in a directory of this machine.

    Raises ValueError if the directory's configuration can't be used.
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
            yield number
            os.pwrite(counter.fileno(), b"%010d" % (number + 1), 0)  # in one stroke: a crash can't lose the count
