"""Registries of models: the interface, and the view of the registered instances that all of them share."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

from stellar.maas.reports import MemoryReports, Reports
from stellar.maas.routing import TrafficPlan
from stellar.maas.schema import Model, ModelEndpoint, ServiceInstance
from stellar.maas.snapshots import Instances as Instances
from stellar.maas.snapshots import Key, Registration, RegistrySnapshot
from stellar.maas.snapshots import VersionSnapshot as VersionSnapshot
from stellar.maas.versions import VERSION_ORDERS as VERSION_ORDERS
from stellar.maas.versions import natural_order as natural_order
from stellar.net.breaker import CircuitBreakers
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

Listener = Callable[[Instances, Instances], None]

GRACE_SECONDS = 5.0
MAX_REMOVED = 10_000  # removed versions to track


class Registrar(Protocol):
    """The registrations of this process; all that a program needs that registers instances, and reads no others."""

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        """Register an instance; one with the same name and id is replaced.

        settings: our own keys of its `endpoint.dat`, such as {"hedge": False}, which are published next to it

        Raises ValueError if the name, the id or the settings are invalid, OSError if the registration can't be written.
        """

    def unregister(self, name: str, id: str) -> None:
        """Remove an instance and its settings, if it exists."""

    def close(self) -> None:
        """Remove the registrations made by this object."""


class Registry(Registrar, Protocol):
    """The running instances of models, as their runners registered them. Thread-safe, and usable after a fork.

    A registration lasts as long as the registry object that made it: it ends when that is closed, or when its process
    dies. One whose `service_type` is STATIC stays until it is unregistered. In the child of a fork the registrations
    remain the parent's, and the first use reads the source again.
    """

    @property
    def breakers(self) -> CircuitBreakers:
        """The circuit breakers of the instances."""

    @property
    def reports(self) -> Reports:
        """The reports of the clients of this registry."""

    @property
    def changes(self) -> int:
        """A counter of changes to the instances, their settings and the desired state."""

    def endpoint(self, name: str, version: str | None = None, key: str | None = None) -> ModelEndpoint:
        """Return any one instance of the model, preferably one whose circuit is closed.

        Without a version, the traffic plan chooses one, by the key if there is one. Without a plan, or if no version of
        the plan has an instance, it is the newest version.

        The view is at most a second old; while the source can't be reached, it is the last one that was read.
        Raises ModelNotFound.
        """

    def version(self, name: str, version: str) -> VersionSnapshot | None:
        """Return the current snapshot of a version, without reading the source; None if it has no instance.

        It is the same object as long as its instances stay the same.
        """

    def is_desired(self, name: str, version: str | None = None) -> bool:
        """Return True if instances of a version should exist; without a version, of any version of the model.

        True if `ext/wanted` names it with more than 0 instances. False if `ext/wanted` names it with 0, or named it
        before and no longer does: it was removed. A version that `ext/wanted` never named, because none of our
        services deploys it, is desired while it has instances, and for 5 seconds after the last one left.
        """

    def traffic(self, name: str) -> TrafficPlan | None:
        """Return the traffic plan of the model, as current as the view of `endpoint`; None without a plan.

        An invalid plan is ignored, with a warning.
        """

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        """Return all instances, or those with exactly this name, this version or both; by name, version and id."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(added, removed)` after each change, within about a second; return a function that stops it.

        It is called without any lock of the registry, by one thread at a time, and stays registered in the child of a
        fork.
        """

    def close(self) -> None:
        """Remove the registrations made by this object, and all listeners."""


class BaseRegistry:
    """The view of the registered instances that all registries share: reading, publishing changes, listeners.

    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    clock: monotonic seconds, for the grace period of `is_desired`

    Readers take no lock: a change replaces the snapshot, in one assignment, after the plans and the desired state.
    """

    def __init__(
        self,
        version_order: str = "natural",
        breakers: CircuitBreakers | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if version_order not in VERSION_ORDERS:
            known = " or ".join(VERSION_ORDERS)
            raise ValueError(f"unknown order of versions {quote(version_order)}: expected {known}")
        self._order = VERSION_ORDERS[version_order]
        self._breakers = breakers or CircuitBreakers()
        self._clock = clock
        self._snapshot = RegistrySnapshot()
        self._plans: Mapping[str, TrafficPlan] = {}
        self._desired: Mapping[Model, int] = {}  # 0 for removed versions
        self._departed: Mapping[Model, float] = {}  # time at which the last instance of a version left
        self._changes = 0
        self._memory_reports = MemoryReports()
        self._listeners: list[Listener] = []
        self._pending: deque[tuple[Instances, Instances]] = deque()
        self._publishing = threading.RLock()
        self._notifying = threading.Lock()

    @property
    def breakers(self) -> CircuitBreakers:
        return self._breakers

    @property
    def reports(self) -> Reports:
        """Reports within this process, for a registry that has no source to share them."""
        return self._memory_reports

    @property
    def changes(self) -> int:
        self._update_view()
        return self._changes

    def endpoint(self, name: str, version: str | None = None, key: str | None = None) -> ModelEndpoint:
        self._update_view()
        snapshot = self._snapshot
        if version is None and (plan := self._plans.get(name)):
            version = plan.choose(snapshot.counts(name), name, key)
        found = snapshot.find(name, version)
        closed = self._breakers.exclude_open(found.urls)
        instances = found.instances
        if len(instances) == 1:
            return instances[0].payload
        chosen = random.choice(instances).payload
        while closed is not found.urls and chosen.url not in closed:  # at least half are closed
            chosen = random.choice(instances).payload
        return chosen

    def version(self, name: str, version: str) -> VersionSnapshot | None:
        self._update_view()
        return self._snapshot.version(name, version)

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        self._update_view()
        return self._snapshot.instances(name, version)

    def traffic(self, name: str) -> TrafficPlan | None:
        self._update_view()
        return self._plans.get(name)

    def is_desired(self, name: str, version: str | None = None) -> bool:
        self._update_view()
        if version is not None:
            return self._is_version_desired(Model(name, version))
        known = {Model(name, each) for each in self._snapshot.counts(name)}
        known |= {model for model in (*self._desired, *self._departed) if model.name == name}
        return any(map(self._is_version_desired, known))

    def listen(self, listener: Listener) -> Callable[[], None]:
        with self._publishing:
            self._listeners.append(listener)

        def stop() -> None:
            with self._publishing:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop

    def close(self) -> None:
        with self._publishing:
            self._listeners.clear()

    def after_fork(self) -> None:
        self._publishing, self._notifying = threading.RLock(), threading.Lock()
        self._pending = deque()  # the parent notifies its own listeners

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _update_view(self) -> None:
        """Update the view before it is read; for registries that do not follow their source in the background."""

    def _is_version_desired(self, model: Model) -> bool:
        if (instances := self._desired.get(model)) is not None:
            return instances > 0
        if self._snapshot.version(*model) is not None:
            return True
        departed = self._departed.get(model)
        return departed is not None and self._clock() - departed < GRACE_SECONDS

    def _publish(
        self,
        changes: Mapping[Key, Registration | None],
        plans: Mapping[str, TrafficPlan] | None = None,
        desired: Mapping[Model, int | None] | None = None,
    ) -> None:
        """Change the view. The caller must call `_notify_listeners` afterwards, without a lock.

        changes: new and changed registrations; None for a removed one
        plans: all traffic plans; None if they are the same
        desired: desired instances of all named versions, None for an unknown number; None if they are the same

        The order matters: a reader that sees an instance sees the plan made before it, and one that no longer sees it
        sees that its version was removed.
        """
        with self._publishing:
            self._plans = self._plans if plans is None else plans
            before, after = self._snapshot, self._snapshot.with_changes(changes, self._order)
            is_changed = after is not before
            if desired is not None:
                merged = _merge_desired(self._desired, desired)
                is_changed |= merged != self._desired
                self._desired = merged
            self._departed = self._update_departed(before, after, changes)
            self._snapshot = after
            self._changes += is_changed
            if any(difference := _diff(before, after, changes)):
                self._pending.append(difference)
                for instance in difference[0]:  # a new instance, even at the same URL
                    self._breakers.record_success(instance.url)

    def _update_departed(
        self, before: RegistrySnapshot, after: RegistrySnapshot, changes: Mapping[Key, Registration | None]
    ) -> Mapping[Model, float]:
        changed = (before.registrations[key].instance.model for key in changes if key in before.registrations)
        gone = {model for model in changed if after.version(*model) is None}
        if not gone:
            return self._departed
        now = self._clock()
        recent = {model: left for model, left in self._departed.items() if now - left < GRACE_SECONDS}
        return recent | dict.fromkeys(gone, now)

    def _notify_listeners(self) -> None:
        """Call the listeners with all pending changes, in order, unless another thread is doing so already."""
        turn = self._notifying
        while self._pending and turn.acquire(blocking=False):
            try:
                while self._pending:
                    change = self._pending.popleft()
                    for listener in tuple(self._listeners):
                        _call_listener(listener, *change)
            finally:
                turn.release()


def _merge_desired(before: Mapping[Model, int], named: Mapping[Model, int | None]) -> dict[Model, int]:
    removed = [model for model in before if model not in named][-MAX_REMOVED:]
    known = {model: before.get(model) if instances is None else instances for model, instances in named.items()}
    merged = dict.fromkeys(removed, 0)
    return merged | {model: instances for model, instances in known.items() if instances is not None}


def _diff(
    before: RegistrySnapshot, after: RegistrySnapshot, changes: Mapping[Key, Registration | None]
) -> tuple[Instances, Instances]:
    """Return the added and the removed instances; a replaced instance is in both."""
    pairs = [(_instance(before, key), _instance(after, key)) for key in changes]
    differing = [(old, new) for old, new in pairs if old != new]
    return _sort_instances(new for _, new in differing), _sort_instances(old for old, _ in differing)


def _instance(snapshot: RegistrySnapshot, key: Key) -> ServiceInstance | None:
    found = snapshot.registrations.get(key)
    return None if found is None else found.instance


def _sort_instances(instances: Iterable[ServiceInstance | None]) -> Instances:
    present = (instance for instance in instances if instance is not None)
    return tuple(sorted(present, key=lambda each: (each.model.name, natural_order(each.model.version), each.id)))


def _call_listener(listener: Listener, added: Instances, removed: Instances) -> None:
    try:
        listener(added, removed)
    except Exception:  # an error in one listener must stop neither the others nor the registry
        log.exception("a listener of the model registry raised an error")
