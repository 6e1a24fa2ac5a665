"""A registry within this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from stellar.maas.registry import BaseRegistry
from stellar.maas.routing import TrafficPlan
from stellar.maas.schema import Model, ServiceInstance
from stellar.maas.snapshots import NO_SETTINGS, Registration, validate_key
from stellar.maas.snapshots import Instances as Instances
from stellar.maas.snapshots import VersionSnapshot as VersionSnapshot
from stellar.maas.versions import VERSION_ORDERS as VERSION_ORDERS
from stellar.maas.versions import natural_order as natural_order
from stellar.net.breaker import CircuitBreakers
from stellar.util.forks import reset_after_fork


class MemoryRegistry(BaseRegistry):
    """A registry within this process: for tests, and for programs that run their models themselves.

    The child of a fork has a copy of its own.
    """

    def __init__(
        self,
        version_order: str = "natural",
        breakers: CircuitBreakers | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(version_order, breakers, clock)
        reset_after_fork(self)

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        key = validate_key(instance.name, instance.id)
        self._publish({key: Registration(instance, dict(settings) if settings else NO_SETTINGS)})
        self._notify_listeners()

    def unregister(self, name: str, id: str) -> None:
        self._publish({(name, id): None})
        self._notify_listeners()

    def plan(self, name: str, plan: TrafficPlan | None) -> None:
        """Set the traffic plan of a model; None removes it."""
        with self._publishing:
            others = {each: known for each, known in self._plans.items() if each != name}
            self._plans = others if plan is None else {**others, name: plan}

    def desire(self, name: str, version: str, instances: int) -> None:
        """Set the desired number of instances of a version, as a service does; 0 removes the version."""
        with self._publishing:
            others = {model: known for model, known in self._desired.items() if known}
            self._publish({}, desired={**others, Model(name, version): instances})

    def close(self) -> None:
        super().close()
        with self._publishing:
            known = self._snapshot.registrations
            self._publish({key: None for key, each in known.items() if not each.instance.lasting})
