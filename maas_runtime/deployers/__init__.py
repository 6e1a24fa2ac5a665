"""Deployers: one interface to run instances of models on several hosts or on YARN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stellar.maas.schema import Model


@dataclass(frozen=True)
class Deployment:
    """A model version with its files and limits.

    path: directory of the model's files in the model store, as it was requested; others may change the files there
    content: directory of an immutable copy in the model store, from which instances start; empty for `path` itself
    memory: memory limit of an instance in MB; 0 for no limit
    environment: variables for the model's script
    epoch: the time of the desired state that the deployment is part of; a later state has a greater epoch
    gpus: number of GPUs for an instance
    warm_up: queries to which an instance must respond before it is registered, such as `host=a.com`
    """

    model: Model
    path: str
    memory: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    epoch: int = 0
    warm_up: tuple[str, ...] = ()
    gpus: int = 0

    @property
    def files(self) -> str:
        """The directory in the model store from which instances start."""
        return self.content or self.path


class Deployer(Protocol):
    """Keep the desired number of instances of each deployment running. Thread-safe.

    Instances go on when the deployer's process ends; a new deployer with the same configuration finds them.
    """

    def scale(self, deployment: Deployment, instances: int) -> None:
        """Set the number of instances. 0 removes the deployment. Idempotent.

        Missing instances are started with the deployment's files. Surplus instances are stopped, first those not known
        to be ready, then those with other files, then the oldest: each is unregistered, drained and ended. Returns when
        stopped instances have ended and started ones run or will be started by their host. Raises DeployError if an
        instance cannot be started.
        """

    def running(self, model: Model) -> int:
        """Return the number of instances that run now or are being started, ready or not."""

    def begin(self) -> None:
        """Forget what was observed until now, when another process may have scaled the deployments."""

    def take_restored(self) -> list[Deployment]:
        """Return the deployments of instances that run but were unknown since the last call, one for each instance.

        Their environment is empty, as it is not stored. A deployer that always knows its instances returns none.
        """
