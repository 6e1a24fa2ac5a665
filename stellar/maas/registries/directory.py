"""The registry in a directory, laid out as in ZooKeeper; for one machine, without a server.

    <directory>/metron/maas/config            the paths of the queue and of the registrations; may be absent
    <directory>/maas/queue/qn-0000000001      a request; see stellar.maas.registries.directory_queue
    <directory>/maas/service/<model>/<id>     a registration
    <directory>/maas/ext/...                  our own files; see stellar.maas.registries.extensions

A registration that ends with its owner is a file that the owner holds open and locked: when the owner dies, the
operating system closes it and releases the lock, and the next reader finds the file unlocked and removes it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Set
from math import inf
from time import monotonic
from typing import Any, TypeVar

from stellar.maas.registries.directory_reports import FileReports
from stellar.maas.registries.directory_watch import DirectoryWatch
from stellar.maas.registries.extensions import WANTED, parse_desired
from stellar.maas.registries.file_registrar import FileRegistrar
from stellar.maas.registries.file_registrar import is_locked as is_locked
from stellar.maas.registries.file_registrar import read_config as read_config
from stellar.maas.registries.file_registrar import resolve_path as resolve_path
from stellar.maas.registries.file_registrar import write_atomically as write_atomically
from stellar.maas.registries.file_tree import FileTree, Names
from stellar.maas.registries.registration_files import RegistrationFiles
from stellar.maas.registry import BaseRegistry, Instances, Listener
from stellar.maas.reports import REPORTS
from stellar.maas.routing import TRAFFIC, parse_plan
from stellar.maas.schema import CONFIG_PATH, Model, ServiceInstance
from stellar.net.breaker import CircuitBreakers
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)
T = TypeVar("T")

REFRESH_SECONDS = 0.25  # between two reads of all files, while the view is in use and not watched
STALE_SECONDS = 1.0  # the age of a view at which a caller waits for a read
IDLE_SECONDS = 2.0  # time without a call after which the follower stops
CHECK_SECONDS = (0.02, 0.2, 1.0)  # after a registration was closed


class FileRegistry(BaseRegistry):
    """A registry in a directory of this machine.

    directory: created by the first write
    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    config_path: path of the configuration, as in ZooKeeper
    clock: monotonic seconds, for the age of the view and the grace period of `is_desired`

    While it is in use, a background thread, the follower, reads what changed as soon as the kernel reports it; see
    directory_watch. Where that is not available, it looks at all files every 0.25 s. After a pause, when the view may
    be older than a second, the caller reads the directory, or waits for another thread that does. `instances` always
    reads what has changed up to the call. This object sees its own changes at once.

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
        self._own = FileRegistrar(directory, config_path=config_path)
        self.directory, ext = self._own.directory, self._own.ext_root
        self._registration_files = RegistrationFiles(self._own.root, self._own.settings_root)
        self._plan_files = FileTree(ext / TRAFFIC, 1, parse_plan)
        self._desired_files = FileTree(ext / WANTED, 2, parse_desired)
        self._reports = FileReports(self.directory, ext / REPORTS)
        self._last_error = ""
        self._reading = threading.Lock()  # serializes reading the files; reading the view takes no lock
        self._reads = 0  # number of reads begun
        self._read_at = -inf  # time at which the last one began
        self._used_at = -inf  # time at which a caller last read the view
        self._watch: DirectoryWatch | None = None  # while the follower reads the changes that the kernel reports
        self._checks: list[tuple[float, Names]] = []  # when to check registrations that were closed
        self._starting = threading.Lock()
        self._follower: threading.Thread | None = None
        self._closed = threading.Event()
        self._refresh()
        reset_after_fork(self)

    @property
    def reports(self) -> FileReports:
        return self._reports

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        self._refresh()
        self._resume_listening()
        return self._snapshot.instances(name, version)

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        with self._reading:
            self._own.register(instance, settings)
            self._read_paths({(instance.name, instance.id)})
        self._notify_listeners()

    def unregister(self, name: str, id: str) -> None:
        with self._reading:
            self._own.unregister(name, id)
            self._read_paths({(name, id)})
        self._notify_listeners()

    def listen(self, listener: Listener) -> Callable[[], None]:
        stop = super().listen(listener)
        self._resume_listening()
        return stop

    def close(self) -> None:
        super().close()
        self._closed.set()
        with self._reading:  # the follower closes its watch once this has been released
            if self._watch is not None:
                self._watch.wake()
        follower = self._follower
        if follower is not None and follower is not threading.current_thread():
            follower.join()
        self._reports.close()
        with self._reading:
            self._own.close()

    def after_fork(self) -> None:
        super().after_fork()
        self._reading, self._starting = threading.Lock(), threading.Lock()
        self._follower = None
        is_closed, self._closed = self._closed.is_set(), threading.Event()
        if is_closed:
            self._closed.set()
        self._read_at = -inf
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()  # the child's copies; reading them would take changes from the parent

    # --- following

    def _update_view(self) -> None:
        self._used_at = self._clock()
        if self._is_stale():
            with self._reading:
                if self._is_stale():  # otherwise another thread has read it while this one waited
                    self._read_changes()
            self._notify_listeners()
        if self._follower is None:
            self._start_follower()

    def _resume_listening(self) -> None:
        """Start the follower if there is a listener; in the child of a fork too."""
        if self._listeners and self._follower is None:
            self._start_follower()

    def _start_follower(self) -> None:
        with self._starting:
            if self._follower is None and not self._closed.is_set():
                self._follower = threading.Thread(target=self._follow, name="model registry", daemon=True)
                self._follower.start()

    def _follow(self) -> None:
        can_watch = True
        try:
            while not self._closed.is_set() and not self._is_idle():
                try:
                    watch = self._open_watch() if can_watch else None
                except OSError as error:
                    can_watch = False
                    log.info("can't watch %s, reading it every %g s: %s", self.directory, REFRESH_SECONDS, error)
                    continue
                if watch is not None:
                    self._follow_changes(watch)
                elif not self._closed.wait(REFRESH_SECONDS):
                    self._refresh()
        finally:
            self._follower = None  # the next call starts another one
            self._resume_listening()  # for a listener that was added just now

    def _open_watch(self) -> DirectoryWatch | None:
        """Watch the directory, and read everything once more; return None if it does not exist yet.

        Raises OSError if the system can't watch it.
        """
        try:
            watch = DirectoryWatch(self.directory, {tree.root: tree.depth for tree in self._trees})
        except FileNotFoundError:
            return None
        with self._reading:
            self._watch = watch
            self._read_all()
        self._notify_listeners()
        return watch

    def _follow_changes(self, watch: DirectoryWatch) -> None:
        """Read the changes until the view is idle or the watch has ended."""
        try:
            while self._watch is watch and not self._closed.is_set() and not self._is_idle():
                watch.wait(self._pause_seconds())
                self._refresh()
        finally:
            with self._reading:
                self._watch = None
            watch.close()

    def _pause_seconds(self) -> float | None:
        """Return the time until the next check, or until the view may be idle; None without either."""
        due = [at - monotonic() for at, _ in self._checks]
        return min(due if self._listeners else [*due, IDLE_SECONDS], default=None)

    def _is_idle(self) -> bool:
        return not self._listeners and self._clock() - self._used_at > IDLE_SECONDS

    # --- reading

    @property
    def _trees(self) -> tuple[FileTree[Any], ...]:
        return self._registration_files, self._plan_files, self._desired_files

    def _is_stale(self) -> bool:
        return self._watch is None and self._clock() - self._read_at > STALE_SECONDS

    def _refresh(self) -> None:
        """Update the view by a read that begins after the call, in this thread or in another one."""
        before = self._reads
        with self._reading:
            if self._reads == before:
                self._read_changes()
        self._notify_listeners()

    def _read_changes(self) -> None:
        """Read the changed files; without a watch, look at all files."""
        if (watch := self._watch) is None:
            return self._read_all()
        self._reads += 1
        try:
            changes, closed = watch.read()
            registrations, plans, desired = (changes[tree.root] for tree in self._trees)
            self._read_paths(registrations | self._take_due_checks(), plans, desired)
            self._schedule_checks(closed[self._registration_files.root], watch)
        except OSError as error:
            log.info("the watch of %s has ended: %s", self.directory, error)
            self._watch = None
            watch.wake()  # the follower closes it
            return self._read_all()
        return None

    def _schedule_checks(self, closed: Set[Names], watch: DirectoryWatch) -> None:
        """Check registrations again that were closed: that is reported just before their lock is released."""
        if closed:
            now = monotonic()
            self._checks = [*self._checks, *((now + later, names) for later in CHECK_SECONDS for names in closed)]
            watch.wake()  # for the follower, if another thread has read the changes

    def _take_due_checks(self) -> set[Names]:
        now = monotonic()
        due = {names for at, names in self._checks if at <= now}
        self._checks = [(at, names) for at, names in self._checks if at > now]
        return due

    def _read_paths(
        self, registrations: Set[Names], plans: Set[Names] = frozenset(), desired: Set[Names] = frozenset()
    ) -> None:
        """Read and publish the changed files at or below paths, with the plans and desired state of their models."""
        changed = self._registration_files.update(registrations)
        models = {names[:1] for names in changed}
        # after the instances: see _publish
        has_plans, has_desired = self._plan_files.update(plans | models), self._desired_files.update(desired | models)
        if changed or has_plans or has_desired:
            self._publish(
                {(name, id): self._registration_files.get((name, id)) for name, id in changed},
                _plans_by_name(self._plan_files.values) if has_plans else None,
                _by_model(self._desired_files.values) if has_desired else None,
            )

    def _read_all(self) -> None:
        self._reads += 1
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


def _drop_invalid(values: Mapping[Names, T | None]) -> dict[Names, T]:
    return {names: value for names, value in values.items() if value is not None}


def _plans_by_name(values: Mapping[Names, T | None]) -> dict[str, T]:
    return {name: plan for (name,), plan in _drop_invalid(values).items()}


def _by_model(values: Mapping[Names, int | None]) -> dict[Model, int | None]:
    return {Model(name, version): instances for (name, version), instances in values.items()}
