"""When an instance in a container of YARN ends, apart from its own failures.

An instance that is to be replaced serves until others serve in its stead. There are three ways to its end:

- The service unregisters it, because it is not desired or because it is replaced. YARN ends its container soon, or
  can't, as its node manager is dead; then it ends itself.
- YARN sends SIGTERM while it is registered. So the service has not asked for that, and YARN will start another
  container. A restarted master of a service ends all containers that it does not recover *before* it starts others. The
  instance goes on until it is replaced, or until it needs what is left of the time before SIGKILL to end in good order.
- Its node manager is away, YARN has replaced it, and no service is there to unregister it. Then it ends itself, later.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable

from maas_runtime.runner.runner import Instance, ModelFailed
from stellar.maas.registry import Registry
from stellar.net.hadoop.site import configured

log = logging.getLogger(__name__)

LEAVE_SECONDS = 30.0  # in which YARN ends a container that was unregistered
REPLACED_SECONDS = 60.0  # for the service to unregister what is replaced, and for further replacements to get ready
LOOK_SECONDS = 5.0  # between looks at the node manager
KILL_SETTING, KILL_SECONDS = "yarn.nodemanager.sleep-delay-before-sigkill.ms", 0.25  # with YARN's default
SPARE_SECONDS = 0.5  # of those before SIGKILL, to notice and to unregister


def start_order(id: str) -> tuple[int, ...]:
    """Return a key that sorts container ids by their start.

    `container_e02_1600_0042_01_000003` is of the resource manager's epoch 2, which YARN leaves out while it is 0. Then
    come the start of the cluster, the application, its attempt and the container.
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", id))
    return numbers if id.startswith("container_e") else (0, *numbers)


def read_hold_seconds(drain: float) -> float:
    """Return how long a container may go on after SIGTERM, so that it can drain its calls before SIGKILL."""
    try:
        milliseconds = configured("yarn").get(KILL_SETTING)
        kill = KILL_SECONDS if milliseconds is None else int(milliseconds) / 1000
    except (OSError, ValueError) as error:
        log.warning("%s is taken for %g: %s", KILL_SETTING, KILL_SECONDS * 1000, error)
        kill = KILL_SECONDS
    return max(0.0, kill - drain - SPARE_SECONDS)


def node_manager_listens() -> bool:
    host, port = os.environ.get("NM_HOST"), os.environ.get("NM_PORT")
    if not host or not port:
        return True
    try:
        socket.create_connection((host, int(port)), timeout=2.0).close()
    except OSError:
        return False
    return True


class Handover:
    """The replacement of the instances that are registered at a moment by others, the oldest first."""

    def __init__(self, instance: Instance, registry: Registry, now: float) -> None:
        self.began = now
        self._model, self._registry = instance.model, registry
        self._before = self._registered()
        self._rank = 1 + sum(start_order(id) < start_order(instance.id) for id in self._before)

    def has_replacement(self) -> bool:
        """Return whether any other instance was registered since."""
        return self._replacements() > 0

    def is_replaced(self) -> bool:
        """Return whether it is this instance's turn: others replace it and all that are older."""
        return self._replacements() >= self._rank

    def _replacements(self) -> int:
        return len(self._registered() - self._before)

    def _registered(self) -> set[str]:
        return {known.id for known in self._registry.instances(*self._model) if known.id.startswith("container_")}


class ContainerLifecycle:
    """Decides when an instance in a container of YARN ends.

    node_seconds: how long its node manager may be away before it ends, once it is replaced
    hold_seconds: how long it may go on after SIGTERM until it is replaced
    """

    def __init__(
        self,
        instance: Instance,
        registry: Registry,
        node_seconds: float,
        hold_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance, self._registry, self._clock = instance, registry, clock
        self._node_seconds, self._hold_seconds = node_seconds, hold_seconds
        self._node_seen = self._looked = clock()
        self._unregistered: float | None = None
        self._node_lost: Handover | None = None
        self._replaced: float | None = None
        self._asked: Handover | None = None

    def is_desired(self) -> bool:
        """Return whether the instance is registered, or was until a short time ago.

        Raises ModelFailed when its node manager has been away for too long and others have replaced it.
        """
        now = self._clock()
        if now - self._looked >= min(LOOK_SECONDS, self._node_seconds / 2):
            self._looked = now
            self._check_node(now)
        if self._is_registered():
            self._unregistered = None
        elif self._unregistered is None:
            self._unregistered = now
            log.info("%s is unregistered by somebody else", self._instance.model)
        return self._unregistered is None or now - self._unregistered < LEAVE_SECONDS

    def may_stop(self) -> bool:
        """Return whether the instance is replaced, is not to be replaced, or has no time left."""
        now = self._clock()
        if self._asked is None:
            self._asked = Handover(self._instance, self._registry, now)
        late = now - self._asked.began >= self._hold_seconds
        return late or not self._is_registered() or self._asked.is_replaced()

    def _is_registered(self) -> bool:
        return any(known.id == self._instance.id for known in self._registry.instances(*self._instance.model))

    def _check_node(self, now: float) -> None:
        if node_manager_listens():
            self._node_seen, self._node_lost, self._replaced = now, None, None
            return
        if self._node_lost is None:
            self._node_lost = Handover(self._instance, self._registry, now)
        if self._replaced is None and self._node_lost.has_replacement():
            self._replaced = now
        if self._replaced is None or now - self._replaced < REPLACED_SECONDS:
            return
        if (away := now - self._node_seen) >= self._node_seconds:
            raise ModelFailed(f"its node manager has been away for {away:.0f} seconds, and others replace it")
