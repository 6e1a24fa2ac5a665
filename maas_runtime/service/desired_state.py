"""The desired state: how many instances of each model version shall run, stored so that it survives the service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from maas_runtime.deployers import Deployment
from maas_runtime.state.store import JsonObject, StateStore, failures_path
from stellar.maas.schema import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeploymentSpec:
    """A deployment and its desired number of instances."""

    deployment: Deployment
    instances: int

    @classmethod
    def from_object(cls, model: Model, entry: JsonObject, environment: Mapping[str, str]) -> DeploymentSpec:
        """Return the specification that `to_object` stored.

        Raises KeyError if a field is missing.
        """
        return cls(Deployment(model, entry["path"], entry["memory"], environment), entry["instances"])

    def to_object(self) -> JsonObject:
        """Return the stored form; the model is in the path, and the environment belongs to the service."""
        return {"instances": self.instances, "path": self.deployment.path, "memory": self.deployment.memory}


@dataclass
class DesiredState:
    """The specifications of all deployments. A change is stored before it takes effect. Thread-safe.

    environment: variables for the scripts of all models
    """

    state_store: StateStore
    environment: Mapping[str, str] = field(default_factory=dict)
    _specs: dict[Model, DeploymentSpec] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def get(self, model: Model) -> DeploymentSpec | None:
        """Return the specification of a model version, or None."""
        return self._specs.get(model)

    def __iter__(self) -> Iterator[DeploymentSpec]:
        return iter(list(self._specs.values()))

    def get_versions(self, name: str) -> dict[str, DeploymentSpec]:
        """Return the specifications of a model by version."""
        return {spec.deployment.model.version: spec for spec in self if spec.deployment.model.name == name}

    def set(self, spec: DeploymentSpec) -> None:
        """Store a specification and apply it. Idempotent."""
        model = spec.deployment.model
        with self._lock:
            if self._specs.get(model) == spec:
                return
            self.state_store.write(_spec_path(model), spec.to_object())
            self._specs[model] = spec
        log.info("%s: desired instances: %d", model, spec.instances)

    def remove(self, spec: DeploymentSpec) -> None:
        """Delete a specification, once its last instance has ended, unless it was replaced since."""
        model = spec.deployment.model
        with self._lock:
            if self._specs.get(model) is spec:  # else a newer request replaced it
                self.state_store.write(_spec_path(model), None)
                self.state_store.write(failures_path(model), None)
                del self._specs[model]

    def load(self) -> None:
        """Read the desired state that the previous service stored."""
        self._specs.clear()
        for name in self.state_store.names("wanted"):
            for version in self.state_store.names(f"wanted/{name}"):
                model = Model(name, version)
                try:
                    entry = self.state_store.read(_spec_path(model)) or {}
                    self._specs[model] = DeploymentSpec.from_object(model, entry, self.environment)
                except (KeyError, ValueError):
                    log.exception("invalid desired state of %s: the model is left as it is", model)


def _spec_path(model: Model) -> str:
    return f"wanted/{model.name}/{model.version}"
