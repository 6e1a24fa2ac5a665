"""The life cycle of an instance in a YARN container: when it ends, apart from its own failures.

An instance that will be replaced serves until its replacement does. It ends in one of three ways:

- The service unregisters it, because it is not desired or was replaced. YARN ends its container soon. If YARN cannot,
  because the node manager is dead, the instance ends itself.
- YARN sends SIGTERM while it is registered. So the service did not request that, and YARN will start another
  container. A restarted master of a service ends all containers that it does not recover *before* it starts others. The
  instance goes on until it is replaced, or until it needs the remaining time before SIGKILL for a graceful shutdown.
- Its node manager is lost, YARN has replaced it, and no service runs that would unregister it. Then it ends itself,
  later.
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
from stellar.net.hadoop.site import read_configuration

log = logging.getLogger(__name__)

LEAVE_SECONDS = 30.0  # until YARN ends the container of an unregistered instance
REPLACED_SECONDS = 60.0  # for the service to unregister replaced instances and for further replacements
CHECK_SECONDS = 5.0  # between checks of the node manager
KILL_SETTING, KILL_SECONDS = "yarn.nodemanager.sleep-delay-before-sigkill.ms", 0.25  # with YARN's default
SPARE_SECONDS = 0.5  # of the time before SIGKILL, to detect the signal and unregister


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
        milliseconds = read_configuration("yarn").get(KILL_SETTING)
        kill = KILL_SECONDS if milliseconds is None else int(milliseconds) / 1000
    except (OSError, ValueError) as error:
        log.warning("cannot read %s, using %g: %s", KILL_SETTING, KILL_SECONDS * 1000, error)
        kill = KILL_SECONDS
    return max(0.0, kill - drain - SPARE_SECONDS)


def is_node_manager_listening() -> bool:
    """Return whether the node manager of this container accepts connections; True outside YARN."""
    host, port = os.environ.get("NM_HOST"), os.environ.get("NM_PORT")
    if not host or not port:
        return True
    try:
        socket.create_connection((host, int(port)), timeout=2.0).close()
    except OSError:
        return False
    return True


class Handover:
    """The replacement of the instances that are registered at the start, oldest first, by others."""

    def __init__(self, instance: Instance, registry: Registry, now: float) -> None:
        self.began = now
        self._model, self._registry = instance.model, registry
        self._before = self._find_registered()
        self._rank = 1 + sum(start_order(id) < start_order(instance.id) for id in self._before)

    def has_replacement(self) -> bool:
        """Return whether any other instance was registered since."""
        return self._count_replacements() > 0

    def is_replaced(self) -> bool:
        """Return whether this instance and all older ones have replacements."""
        return self._count_replacements() >= self._rank

    def _count_replacements(self) -> int:
        return len(self._find_registered() - self._before)

    def _find_registered(self) -> set[str]:
        return {known.id for known in self._registry.instances(*self._model) if known.id.startswith("container_")}


class ContainerLifecycle:
    """The life cycle of an instance in a YARN container.

    node_seconds: how long the node manager may be lost before a replaced instance ends
    hold_seconds: how long the instance waits for its replacement after SIGTERM
    """

    interval = 1.0

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
        self._node_seen = self._last_check = clock()
        self._unregistered_at: float | None = None
        self._node_handover: Handover | None = None
        self._replaced_at: float | None = None
        self._stop_handover: Handover | None = None

    def is_desired(self) -> bool:
        """Return whether the instance is registered, or was until recently.

        Raises ModelFailed if its node manager is lost for too long and it was replaced.
        """
        now = self._clock()
        if now - self._last_check >= min(CHECK_SECONDS, self._node_seconds / 2):
            self._last_check = now
            self._check_node(now)
        if self._is_registered():
            self._unregistered_at = None
        elif self._unregistered_at is None:
            self._unregistered_at = now
            log.info("%s was unregistered by another process", self._instance.model)
        return self._unregistered_at is None or now - self._unregistered_at < LEAVE_SECONDS

    def may_stop(self) -> bool:
        """Return whether the instance was replaced, is not to be replaced, or has no time left."""
        now = self._clock()
        if self._stop_handover is None:
            self._stop_handover = Handover(self._instance, self._registry, now)
        late = now - self._stop_handover.began >= self._hold_seconds
        return late or not self._is_registered() or self._stop_handover.is_replaced()

    def _is_registered(self) -> bool:
        return any(known.id == self._instance.id for known in self._registry.instances(*self._instance.model))

    def _check_node(self, now: float) -> None:
        if is_node_manager_listening():
            self._node_seen, self._node_handover, self._replaced_at = now, None, None
            return
        if self._node_handover is None:
            self._node_handover = Handover(self._instance, self._registry, now)
        if self._replaced_at is None and self._node_handover.has_replacement():
            self._replaced_at = now
        if self._replaced_at is None or now - self._replaced_at < REPLACED_SECONDS:
            return
        if (away := now - self._node_seen) >= self._node_seconds:
            raise ModelFailed(f"its node manager has been lost for {away:.0f} seconds, and it was replaced")
