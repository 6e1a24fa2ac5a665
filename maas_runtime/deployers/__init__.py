"""Deployers: one interface to run instances of models on this machine or on YARN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stellar.maas.schema import Model


@dataclass(frozen=True)
class Deployment:
    """A model version with its files and limits.

    path: directory of the model's files in the model store
    memory: memory limit of an instance in MB; 0 for no limit
    environment: variables for the model's script
    """

    model: Model
    path: str
    memory: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


class Deployer(Protocol):
    """Keep the desired number of instances of each deployment running. Thread-safe.

    Instances go on when the deployer's process ends; a new deployer with the same configuration finds them.
    """

    def scale(self, deployment: Deployment, instances: int) -> None:
        """Set the number of instances. 0 removes the deployment. Idempotent.

        Missing instances are started with the deployment's files. Surplus instances are stopped, first those not known
        to be ready, then the oldest: each is unregistered, drained and ended. Returns when stopped instances have ended
        and started ones run, ready or not. Raises DeployError if an instance cannot be started.
        """

    def running(self, model: Model) -> int:
        """Return the number of instances that run now, ready or not."""
