"""The desired state: how many instances of each model version shall run, stored so that it survives the service.

Each specification has an epoch, which grows with each change. An instance ends only if a desired state with a greater
epoch than its own does not include it. A missing or unreadable object in the store means nothing: if someone deleted
it, or ZooKeeper lost its data, the leader stores it again, from memory or from the instances that run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from maas_runtime.deployers import Deployment
from maas_runtime.state.store import Changes, JsonObject, StateStore, StateView, failures_path
from stellar.maas.requests import Item
from stellar.maas.schema import Model

log = logging.getLogger(__name__)

MAX_GPUS = 64  # of one instance; well above any machine


@dataclass(frozen=True)
class DeploymentSpec:
    """A deployment and its desired number of instances.

    request: id of the last request that changed it, by which a repeated attempt is recognized
    """

    deployment: Deployment
    instances: int
    request: str = ""

    @property
    def epoch(self) -> int:
        return self.deployment.epoch

    @classmethod
    def from_object(cls, model: Model, entry: JsonObject, environment: Mapping[str, str]) -> DeploymentSpec:
        """Return the specification that `to_object` stored.

        Raises KeyError if a field is missing, ValueError if one is invalid.
        """
        numbers = (entry["instances"], entry["memory"], entry.get("epoch", 0), entry.get("gpus", 0))
        warm_up = entry.get("warm_up", [])
        strings = (entry["path"], entry.get("content", ""), entry.get("request", ""))
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("expected instances, memory, epoch and gpus to be integers of at least 0")
        if not isinstance(warm_up, list) or not all(isinstance(text, str) for text in (*strings, *warm_up)):
            raise ValueError("expected path, content and request to be strings, and warm_up an array of strings")
        (instances, memory, epoch, gpus), (path, content, request) = numbers, strings
        deployment = Deployment(model, path, memory, environment, content, epoch, tuple(warm_up), gpus)
        return cls(deployment, instances, request)

    def to_object(self) -> JsonObject:
        """Return the stored form; the model is in the path, and the environment belongs to the service."""
        deployment = self.deployment
        return {
            "instances": self.instances,
            "path": deployment.path,
            "memory": deployment.memory,
            **({"content": deployment.content} if deployment.content else {}),
            "epoch": self.epoch,
            **({"request": self.request} if self.request else {}),
            **({"warm_up": list(deployment.warm_up)} if deployment.warm_up else {}),
            **({"gpus": deployment.gpus} if deployment.gpus else {}),
        }


def next_epoch(*last: int) -> int:
    """Return an epoch that is greater than these, and than those of states that are forgotten: the time in ms."""
    return max(time.time_ns() // 1_000_000, *(each + 1 for each in last))


@dataclass
class DesiredState:
    """The specifications of all deployments. A change is stored before it takes effect. Thread-safe.

    environment: variables for the scripts of all models
    """

    state_store: StateStore
    environment: Mapping[str, str] = field(default_factory=dict)
    _specs: dict[Model, DeploymentSpec] = field(default_factory=dict, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def get(self, model: Model) -> DeploymentSpec | None:
        """Return the specification of a model version, or None."""
        return self._specs.get(model)

    def __iter__(self) -> Iterator[DeploymentSpec]:
        return iter(list(self._specs.values()))

    def get_versions(self, name: str) -> dict[str, DeploymentSpec]:
        """Return the specifications of a model by version."""
        return {spec.deployment.model.version: spec for spec in self if spec.deployment.model.name == name}

    def set(self, spec: DeploymentSpec) -> None:
        """Store a specification in a new epoch and apply it. Idempotent."""
        self.commit(spec, {}, None)

    def commit(self, spec: DeploymentSpec, others: Changes, item: Item | None) -> bool:
        """Store a specification in a new epoch together with other changes, discard an item, and apply it.

        Returns False if the item was not in the queue any more; then nothing is applied.
        """
        model = spec.deployment.model
        with self._lock:
            before = self._specs.get(model)
            if before is not None and item is None and _is_same(before, spec):
                return True
            epoch = next_epoch(before.epoch if before else 0, spec.epoch)
            spec = replace(spec, deployment=replace(spec.deployment, epoch=epoch))
            if not self.state_store.commit({_spec_path(model): spec.to_object(), **others}, item):
                return False
            self._specs[model] = spec
        log.info("%s: desired instances: %d", model, spec.instances)
        return True

    def remove(self, spec: DeploymentSpec) -> None:
        """Delete a specification, once its last instance has ended, unless it was replaced since."""
        model = spec.deployment.model
        with self._lock:
            if self._specs.get(model) is spec:  # else a newer request replaced it
                self.state_store.commit({_spec_path(model): None, failures_path(model): None})
                del self._specs[model]

    def load(self, *, keep: bool = False) -> None:
        """Read the desired state that the previous service stored.

        keep: keep the specifications in memory that are not stored
        """
        with self._lock:
            if not keep:
                self._specs.clear()
            for name in self.state_store.names("wanted"):
                for version in self.state_store.names(f"wanted/{name}"):
                    model = Model(name, version)
                    try:
                        entry = self.state_store.read(_spec_path(model)) or {}
                        self._specs[model] = DeploymentSpec.from_object(model, entry, self.environment)
                    except (KeyError, ValueError):
                        log.exception("invalid desired state of %s: the model is left as it is", model)

    def restore(self, view: StateView) -> None:
        """Store again the specifications that someone deleted.

        view: of the stored desired state
        """
        with self._lock:
            stored = view.read()
            missing = [spec for spec in self if tuple(spec.deployment.model) not in stored]
            if not missing or not view.is_complete():
                return
            for spec in missing:
                if self.state_store.read(_spec_path(spec.deployment.model)) is None:  # the view may not be current
                    log.warning("%s: its desired state was deleted; storing it again", spec.deployment.model)
                    self.state_store.write(_spec_path(spec.deployment.model), spec.to_object())


def _is_same(one: DeploymentSpec, other: DeploymentSpec) -> bool:
    def without_epoch(spec: DeploymentSpec) -> DeploymentSpec:
        return replace(spec, deployment=replace(spec.deployment, epoch=0), request="")

    return without_epoch(one) == without_epoch(other)


def _spec_path(model: Model) -> str:
    return f"wanted/{model.name}/{model.version}"
