"""A deployer for tests: it registers instances without running anything."""

from __future__ import annotations

import itertools
import threading

from maas_runtime.deployers import Deployment
from maas_runtime.store.base import ModelStore
from stellar.maas.registry import Registry
from stellar.maas.schema import Endpoint, Model, ServiceInstance


class MemoryDeployer:
    """Register an unreachable URL for each instance; the registry is its only state."""

    def __init__(self, store: ModelStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._ids = itertools.count(2)
        self._lock = threading.Lock()

    def scale(self, deployment: Deployment, instances: int) -> None:
        model = deployment.model
        with self._lock:
            running = sorted(self._registry.instances(*model), key=lambda instance: int(instance.id))
            for instance in running[: max(0, len(running) - instances)]:
                self._registry.unregister(model.name, instance.id)
            for _ in range(instances - len(running)):
                self._store.script(deployment.files)
                self._register(model, str(next(self._ids)))

    def running(self, model: Model) -> int:
        return len(self._registry.instances(*model))

    def begin(self) -> None:
        """Do nothing: the registry is read each time."""

    def take_restored(self) -> list[Deployment]:
        return []

    def _register(self, model: Model, id: str) -> None:
        self._registry.register(ServiceInstance.of(model, id, Endpoint(url=f"http://127.0.0.1:1/{id}")))
