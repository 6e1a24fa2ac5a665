"""Where models run: one module a place, all with the same two verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stellar.maas.schema import Model


@dataclass(frozen=True)
class Deployment:
    """What to run.

    path: where the model's files are in the model store
    memory: MB that an instance may use; 0 for no limit
    environment: variables for the model's script
    """

    model: Model
    path: str
    memory: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


class Deployer(Protocol):
    """Makes instances of models run, or stop. Safe to use from many threads.

    What it started goes on when its process ends; a new deployer at the same place knows of it.
    """

    def scale(self, deployment: Deployment, instances: int) -> None:
        """Make it `instances` instances; 0 removes it. Asking twice changes nothing.

        Those that are missing are started with the deployment's files. Those too many are stopped, first what is not
        ready as far as that is known, then the oldest: each is unregistered, left some time for calls under way, and
        then ended. Returns when the stopped ones are gone and the started ones run, whether or not they are ready.
        Raises DeployError if they can't be started.
        """

    def running(self, model: Model) -> int:
        """How many instances of the model run now, ready or not."""
