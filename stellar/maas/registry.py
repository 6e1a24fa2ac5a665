"""The registry of models: which instances of which models run, and which of them to call."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

from stellar.maas.routing import TrafficPlan
from stellar.maas.schema import Model, ModelEndpoint, ServiceInstance, checked_name
from stellar.maas.snapshots import Instances as Instances
from stellar.maas.snapshots import Key, Registration, RegistrySnapshot
from stellar.maas.snapshots import VersionSnapshot as VersionSnapshot
from stellar.maas.versions import VERSION_ORDERS as VERSION_ORDERS
from stellar.maas.versions import natural_order as natural_order
from stellar.net.breaker import CircuitBreakers

log = logging.getLogger(__name__)

Listener = Callable[[Instances, Instances], None]

GRACE_SECONDS = 5.0
MAX_REMOVED = 10_000  # versions that are remembered as removed


class Registry(Protocol):
    """The instances that run, as their runners registered them. Safe to use from many threads, and after a fork.

    A registration lives as long as the registry object that made it: closing that, or the death of its process, ends
    it. Only one whose `service_type` is STATIC stays until it is unregistered. In the child of a fork the registrations
    remain the parent's, and the first use reads the source again.
    """

    @property
    def breakers(self) -> CircuitBreakers:
        """The circuits of the instances: which of them to leave alone, because they failed."""

    @property
    def changes(self) -> int:
        """A number that grows with each change of the instances, their settings or the desired state; 0 before any."""

    def endpoint(self, name: str, version: str | None = None, key: str | None = None) -> ModelEndpoint:
        """Return any one instance of the model, preferably one whose circuit is closed.

        Without a version it is of the one that the traffic plan chooses, by the key if there is one; without a plan, or
        if that has no instance, of the newest.

        What it knows is at most a second old; while the source can't be reached, it is what was last known.
        Raises ModelNotFound.
        """

    def version(self, name: str, version: str) -> VersionSnapshot | None:
        """Return what is known of a version now, without reading the source: a look-up by name.

        It is the same object as long as its instances stay the same. None if it has no instance.
        """

    def is_desired(self, name: str, version: str | None = None) -> bool:
        """Return whether instances of a version should exist; without a version, of any version of the model.

        True if `ext/wanted` names it with more than 0 instances. False if `ext/wanted` names it with 0, or named it
        before and does so no more: it was removed. A version that `ext/wanted` never named, because none of our
        services deploys it, is desired while it has instances, and for 5 seconds after the last one left.
        """

    def traffic(self, name: str) -> TrafficPlan | None:
        """Return the traffic plan of the model, if there is one; as old as what `endpoint` knows.

        An invalid one counts as none, with a warning.
        """

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        """Return all instances, or those with exactly this name, this version or both; by name, version and id."""

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        """Register an instance; one with the same name and id is replaced.

        settings: our own keys of its `endpoint.dat`, such as {"hedge": False}, which are published beside it

        Raises ValueError if the name, the id or the settings are invalid, OSError if the registration can't be written.
        """

    def unregister(self, name: str, id: str) -> None:
        """Remove an instance and its settings. It is no error if it does not exist."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(added, removed)` after each change, within about a second; return a function that ends that.

        It is called without any lock of the registry, by one thread at a time, and is kept in the child of a fork.
        """

    def close(self) -> None:
        """End the registrations made here, and the listening."""


class BaseRegistry:
    """The view that every registry has of its instances: how it is read, how it is changed, who is told of changes.

    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    clock: seconds, for the grace of `is_desired`

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
            raise ValueError(f"unknown order of versions {version_order!r}: expected {known}")
        self._order = VERSION_ORDERS[version_order]
        self._breakers = breakers or CircuitBreakers()
        self._clock = clock
        self._snapshot = RegistrySnapshot()
        self._plans: Mapping[str, TrafficPlan] = {}
        self._desired: Mapping[Model, int] = {}  # 0 for what was removed
        self._departed: Mapping[Model, float] = {}  # when the last instance of a version left
        self._changes = 0
        self._listeners: list[Listener] = []
        self._pending: deque[tuple[Instances, Instances]] = deque()
        self._publishing = threading.RLock()
        self._notifying = threading.Lock()

    @property
    def breakers(self) -> CircuitBreakers:
        return self._breakers

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
        closed = self._breakers.closed(found.urls)
        if closed is found.urls:
            return random.choice(found.instances).payload
        return random.choice([instance for instance in found.instances if instance.url in closed]).payload

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
        self._pending = deque()  # the parent notifies of these

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _update_view(self) -> None:
        """Bring the view up to date before it is read, where it does not follow its source by itself."""

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
        """Change the view; `_notify_listeners` is to be called afterwards, without a lock.

        changes: registrations that are new or differ; None for one that is gone
        plans: all traffic plans; None if they are the same
        desired: all versions that are named, None for one whose number is not known; None if they are the same

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
            self._departed = self._departed_after(before, after, changes)
            self._snapshot = after
            self._changes += is_changed
            if any(difference := _difference(before, after, changes)):
                self._pending.append(difference)
                for instance in difference[0]:  # it is another one, even at the same URL
                    self._breakers.record_success(instance.url)

    def _departed_after(
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
        """Call the listeners with the changes not yet notified, in order. If another thread does so, it goes on."""
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


def _difference(
    before: RegistrySnapshot, after: RegistrySnapshot, changes: Mapping[Key, Registration | None]
) -> tuple[Instances, Instances]:
    """Return the instances added and removed by changes; one that was replaced by another is in both."""
    pairs = [(_instance(before, key), _instance(after, key)) for key in changes]
    differing = [(old, new) for old, new in pairs if old != new]
    return _in_order(new for _, new in differing), _in_order(old for old, _ in differing)


def _instance(snapshot: RegistrySnapshot, key: Key) -> ServiceInstance | None:
    found = snapshot.registrations.get(key)
    return None if found is None else found.instance


def _in_order(instances: Iterable[ServiceInstance | None]) -> Instances:
    present = (instance for instance in instances if instance is not None)
    return tuple(sorted(present, key=lambda each: (each.model.name, natural_order(each.model.version), each.id)))


def _call_listener(listener: Listener, added: Instances, removed: Instances) -> None:
    try:
        listener(added, removed)
    except Exception:  # a listener's fault must not stop the others, nor the registry
        log.exception("a listener to changes of the model registry failed")


def checked_key(name: str, id: str) -> Key:
    """Return where an instance is registered.

    Raises ValueError if the name or the id can't be an element of a path.
    """
    return checked_name(name, "model's name"), checked_name(id, "instance's id")
