"""What is wanted of each model, kept where it outlives the service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from maas_runtime.deployers import Deployment
from maas_runtime.state.store import Note, StateStore, failures_of
from stellar.maas.schema import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeploymentSpec:
    """How many instances of a deployment there shall be."""

    deployment: Deployment
    instances: int

    @classmethod
    def from_note(cls, model: Model, note: Note, environment: Mapping[str, str]) -> DeploymentSpec:
        """Raises KeyError if something is missing."""
        return cls(Deployment(model, note["path"], note["memory"], environment), note["instances"])

    def to_note(self) -> Note:
        return {"instances": self.instances, "path": self.deployment.path, "memory": self.deployment.memory}


@dataclass
class DesiredState:
    """All that is wanted. It is written down before it counts. Safe to use from many threads.

    environment: variables for all models' scripts
    """

    notes: StateStore
    environment: Mapping[str, str] = field(default_factory=dict)
    _wanted: dict[Model, DeploymentSpec] = field(default_factory=dict, init=False)
    _changing: threading.Lock = field(default_factory=threading.Lock, init=False)

    def get(self, model: Model) -> DeploymentSpec | None:
        return self._wanted.get(model)

    def __iter__(self) -> Iterator[DeploymentSpec]:
        return iter(list(self._wanted.values()))

    def of(self, name: str) -> dict[str, DeploymentSpec]:
        """What is wanted of each version of a model."""
        return {wanted.deployment.model.version: wanted for wanted in self if wanted.deployment.model.name == name}

    def want(self, wanted: DeploymentSpec) -> None:
        """From now on there shall be so many. Saying it twice changes nothing."""
        model = wanted.deployment.model
        with self._changing:
            if self._wanted.get(model) == wanted:
                return
            self.notes.write(_note_path(model), wanted.to_note())
            self._wanted[model] = wanted
        log.info("%s: %d instances are wanted", model, wanted.instances)

    def forget(self, wanted: DeploymentSpec) -> None:
        """The last instance of a removed model is gone."""
        model = wanted.deployment.model
        with self._changing:
            if self._wanted.get(model) is wanted:  # or it was asked for again meanwhile
                self.notes.write(_note_path(model), None)
                self.notes.write(failures_of(model), None)
                del self._wanted[model]

    def remember(self) -> None:
        """Know again what was wanted when the last service ended."""
        self._wanted.clear()
        for name in self.notes.names("wanted"):
            for version in self.notes.names(f"wanted/{name}"):
                model = Model(name, version)
                try:
                    note = self.notes.read(_note_path(model)) or {}
                    self._wanted[model] = DeploymentSpec.from_note(model, note, self.environment)
                except (KeyError, ValueError):
                    log.exception("what was wanted of %s can't be read, so it is left alone", model)


def _note_path(model: Model) -> str:
    return f"wanted/{model.name}/{model.version}"
