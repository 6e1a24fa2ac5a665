"""Which instances of which models run, and which of them to call."""

from __future__ import annotations

import logging
import math
import random
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

from stellar.maas.errors import ModelNotFound
from stellar.maas.schema import ModelEndpoint, ServiceInstance, checked_name
from stellar.maas.traffic import TrafficPlan

log = logging.getLogger(__name__)

Instances = tuple[ServiceInstance, ...]
Listener = Callable[[Instances, Instances], None]
VersionOrder = Callable[[str], Any]

QUARANTINE_SECONDS = 600.0
MOST_QUARANTINED = 10_000


class Registry(Protocol):
    """The instances that run, as whoever runs them registered them. Safe to use from many threads.

    A registration lives as long as the registry object that made it: closing that, or the death of its process, ends
    it. Only one whose `service_type` is STATIC stays until it is unregistered.
    """

    @property
    def quarantine(self) -> Quarantine:
        """The instances to avoid, because they failed lately."""

    @property
    def changes(self) -> int:
        """A number that grows with each change of what is known here; 0 as long as nothing was."""

    def endpoint(self, name: str, version: str | None = None, key: str | None = None) -> ModelEndpoint:
        """Any one instance of the model, preferably outside quarantine.

        If no version is asked for, it is of the one that the traffic plan chooses, by the key if there is one; without
        a plan, or if that has no instance, of the newest.

        What it knows is at most a second old; when the source can't be reached, it is what was last known.
        Raises ModelNotFound.
        """

    def traffic(self, name: str) -> TrafficPlan | None:
        """Where calls of the model go that name no version, if there is a plan; as old as what `endpoint` knows.

        One that can't be read counts as none, with a warning.
        """

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        """All instances, or those with exactly this name, this version or both; by name, version and id."""

    def register(self, instance: ServiceInstance) -> None:
        """Make an instance known; one with the same name and id is replaced.

        Raises ValueError if the name or id can't be used, OSError if the registration can't be written.
        """

    def unregister(self, name: str, id: str) -> None:
        """Forget an instance. One that is not there is no error."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(added, removed)` after each change, within a second or so; returns what ends that."""

    def close(self) -> None:
        """End the registrations made here, and the listening."""


class Quarantine:
    """Addresses that failed lately. An address is let out some time after its last failure.

    seconds: how long it stays; by default 10 minutes
    """

    def __init__(self, seconds: float = QUARANTINE_SECONDS, clock: Callable[[], float] = monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._until: dict[str, float] = {}  # what failed last stands last
        self._lock = threading.Lock()

    def add(self, url: str) -> None:
        """Avoid this address from now on."""
        address, now = normal_url(url), self._clock()
        with self._lock:
            self._until.pop(address, None)
            self._until[address] = now + self._seconds
            while (first := next(iter(self._until))) != address and (
                self._until[first] <= now or len(self._until) > MOST_QUARANTINED
            ):
                del self._until[first]

    def __contains__(self, url: str) -> bool:
        if not self._until:  # the usual case
            return False
        return self._clock() < self._until.get(normal_url(url), -math.inf)


@lru_cache(4096)
def normal_url(url: str) -> str:
    """An address in the one spelling by which it is recognised: `HTTP://Node1:80/` is `http://node1`."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    default_port = {"http": ":80", "https": ":443"}.get(scheme.lower(), "\0")
    return f"{scheme.lower()}{separator}{host.lower().removesuffix(default_port)}{slash}{path}".rstrip("/")


class Catalogue:
    """An unchanging set of instances, arranged for finding the one to call."""

    def __init__(self, instances: Iterable[ServiceInstance], order: VersionOrder) -> None:
        self.instances = tuple(sorted(instances, key=lambda i: (i.model.name, natural_order(i.model.version), i.id)))
        self._versions: dict[str, dict[str, list[ModelEndpoint]]] = {}
        for instance in self.instances:
            versions = self._versions.setdefault(instance.model.name, {})
            versions.setdefault(instance.model.version, []).append(instance.payload)
        self._current = {name: max(versions, key=order) for name, versions in self._versions.items()}

    def find(self, name: str, version: str | None) -> list[ModelEndpoint]:
        """The instances of a version, or of the newest one.

        Raises ModelNotFound.
        """
        if name not in self._versions:
            raise ModelNotFound(f"no model {name!r} is registered{self._resembling(name)}")
        versions = self._versions[name]
        if version is None:
            return versions[self._current[name]]
        if version not in versions:
            known = ", ".join(sorted(versions, key=natural_order))
            raise ModelNotFound(f"model {name!r} has no version {version!r}; registered: {known}")
        return versions[version]

    def counts(self, name: str) -> dict[str, int]:
        """How many instances each version of a model has."""
        return {version: len(instances) for version, instances in self._versions.get(name, {}).items()}

    def _resembling(self, name: str) -> str:
        return f"; there is {name.strip()!r}, without the blanks" if name.strip() in self._versions else ""


class KnownInstances:
    """What every registry does with the instances it knows: choose one, list them, tell of changes.

    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    """

    def __init__(self, version_order: str = "natural", quarantine: Quarantine | None = None) -> None:
        if version_order not in VERSION_ORDERS:
            raise ValueError(f"versions are compared {' or '.join(VERSION_ORDERS)}, not {version_order!r}")
        self._order = VERSION_ORDERS[version_order]
        self._catalogue = Catalogue((), self._order)
        self._plans: Mapping[str, TrafficPlan] = {}
        self._listeners: list[Listener] = []
        self._changing = threading.RLock()
        self._quarantine = quarantine or Quarantine()
        self._changes = 0

    @property
    def quarantine(self) -> Quarantine:
        return self._quarantine

    @property
    def changes(self) -> int:
        return self._changes

    def endpoint(self, name: str, version: str | None = None, key: str | None = None) -> ModelEndpoint:
        catalogue = self._catalogue
        if version is None and (plan := self._plans.get(name)):
            version = plan.choose(catalogue.counts(name), name, key)
        found = catalogue.find(name, version)
        fresh = [endpoint for endpoint in found if endpoint.url not in self.quarantine]
        return random.choice(fresh or found)

    def instances(self, name: str | None = None, version: str | None = None) -> Instances:
        return tuple(
            instance
            for instance in self._catalogue.instances
            if name in (None, instance.model.name) and version in (None, instance.model.version)
        )

    def traffic(self, name: str) -> TrafficPlan | None:
        return self._plans.get(name)

    def listen(self, listener: Listener) -> Callable[[], None]:
        with self._changing:
            self._listeners.append(listener)

        def stop() -> None:
            with self._changing:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop

    def close(self) -> None:
        with self._changing:
            self._listeners.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _now_known(self, instances: Iterable[ServiceInstance], plans: Mapping[str, TrafficPlan] | None = None) -> None:
        """Replace the known set, and the plans if they are given; tell the listeners which instances changed."""
        with self._changing:
            self._plans = self._plans if plans is None else plans
            before = {(i.name, i.id): i for i in self._catalogue.instances}
            self._catalogue = Catalogue(instances, self._order)
            after = {(i.name, i.id): i for i in self._catalogue.instances}
            added = tuple(i for key, i in after.items() if before.get(key) != i)
            removed = tuple(i for key, i in before.items() if after.get(key) != i)
            if added or removed:
                self._changes += 1
                for listener in tuple(self._listeners):
                    _tell(listener, added, removed)


def _tell(listener: Listener, added: Instances, removed: Instances) -> None:
    try:
        listener(added, removed)
    except Exception:  # a listener's fault must not stop the others, nor the registry
        log.exception("a listener to changes of the model registry failed")


class MemoryRegistry(KnownInstances):
    """A registry within this process: for tests, and for programs that run their models themselves."""

    def register(self, instance: ServiceInstance) -> None:
        checked_name(instance.name, "model's name")
        checked_name(instance.id, "instance's id")
        with self._changing:
            self._now_known([*self._without(instance.name, instance.id), instance])

    def unregister(self, name: str, id: str) -> None:
        with self._changing:
            self._now_known(self._without(name, id))

    def plan(self, name: str, plan: TrafficPlan | None) -> None:
        """Say where calls go that name no version; None to say nothing of it."""
        with self._changing:
            others = {each: known for each, known in self._plans.items() if each != name}
            self._plans = others if plan is None else {**others, name: plan}

    def close(self) -> None:
        super().close()
        with self._changing:
            self._now_known(i for i in self._catalogue.instances if i.lasting)

    def _without(self, name: str, id: str) -> list[ServiceInstance]:
        return [i for i in self._catalogue.instances if (i.name, i.id) != (name, id)]


# What may follow a version's numbers and still come before the bare numbers, earliest first
_PRE_RELEASES = ("dev", "snapshot", "alpha", "a", "beta", "b", "milestone", "m", "preview", "pre", "cr", "rc")
_PRE_RELEASE, _END, _WORD, _NUMBER = range(4)


def natural_order(version: str) -> tuple[object, ...]:
    """A key that sorts versions as people read them: 1.0-rc1 < 1.0 < 1.0-patch < 1.0.1 < 9.0 < 10.0."""
    words = re.findall(r"[0-9]+|[a-z]+", re.sub(r"^v(?=[0-9])", "", version.lower()))
    return ([*map(_rank, words), (_END, 0, "")], version)


def _rank(word: str) -> tuple[int, int, str]:
    if word.isdecimal():
        digits = word.lstrip("0")
        return _NUMBER, len(digits), digits
    if word in _PRE_RELEASES:
        return _PRE_RELEASE, _PRE_RELEASES.index(word), ""
    return _WORD, 0, word


VERSION_ORDERS: dict[str, VersionOrder] = {"natural": natural_order, "lexical": lambda version: version}
