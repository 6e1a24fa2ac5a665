"""What a client knows of the instances it asks: how busy they are, how they fail, and when they were all replaced."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from stellar.fibers import Waker, waker
from stellar.maas.errors import ModelTimeOut
from stellar.maas.registry import Instances, Registry, normal_url
from stellar.maas.schema import Model

# Names that records make up must not fill the memory
MOST_ABSENT = 10_000


@dataclass(slots=True)
class _Lane:
    """The way to one address: how many requests are on it, and those that wait until one of them is over."""

    address: str
    under_way: int = 0
    waiting: deque[Waker] = field(default_factory=deque)


class Traffic:
    """Lets no more than so many requests at a time go to one address, and knows how many there are.

    most: how many; 0 for no limit
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()

    def load(self, url: str) -> int:
        """How many requests to an address are under way, or wait to be."""
        lane = self._lanes.get(normal_url(url))
        return 0 if lane is None else lane.under_way + len(lane.waiting)

    def less_busy(self, urls: Sequence[str]) -> str:
        """The less busy of any two of the addresses: nearly as even as asking all, and new ones are not flooded."""
        return min(random.sample(urls, min(2, len(urls))), key=self.load)

    def enter(self, url: str, seconds: float) -> _Lane:
        """Take part, after waiting for a place if need be; what this gives is to be given to `leave`.

        Raises ModelTimeOut if there was no place in so many seconds.
        """
        address = normal_url(url)
        with self._lock:
            lane = self._lanes.get(address)
            if lane is None:
                lane = self._lanes[address] = _Lane(address)
            if not self._most or lane.under_way < self._most:
                lane.under_way += 1
                return lane
            place = waker()
            lane.waiting.append(place)
        try:
            in_time = place.wait(seconds)
        except BaseException:  # an interrupt: whoever waits no longer must not keep a place
            if not self._withdrawn(lane, place):
                self.leave(lane)
            raise
        if not in_time and self._withdrawn(lane, place):
            raise ModelTimeOut(f"{url} was busy with {self._most} requests all the time")
        return lane

    def leave(self, lane: _Lane) -> None:
        """End one's part."""
        with self._lock:
            if lane.waiting:
                lane.waiting.popleft().wake()  # who gets our place
                return
            lane.under_way -= 1
            if not lane.under_way:
                self._lanes.pop(lane.address, None)

    def _withdrawn(self, lane: _Lane, place: Waker) -> bool:
        """Whether a waiter could be taken back; if not, it got a place at the last moment."""
        with self._lock:
            if place not in lane.waiting:
                return False
            lane.waiting.remove(place)
            return True


class Strikes:
    """Puts an address in quarantine when it fails so many times in a row."""

    def __init__(self, registry: Registry, wanted: int) -> None:
        self._registry = registry
        self._wanted = wanted
        self._in_a_row: Counter[str] = Counter()
        self._lock = threading.Lock()

    def failed(self, url: str) -> bool:
        """Whether that was once too often, and no other thread was quicker to say so."""
        address = normal_url(url)
        with self._lock:
            self._in_a_row[address] += 1
            if self._in_a_row[address] < self._wanted:
                return False
            del self._in_a_row[address]
            known = address in self._registry.quarantine
            self._registry.quarantine.add(address)  # again, if it is there: the time counts from the last failure
        return not known

    def succeeded(self, url: str) -> None:
        """Begin to count anew."""
        if self._in_a_row:
            with self._lock:
                self._in_a_row.pop(normal_url(url), None)


@dataclass(slots=True)
class _Generation:
    """Instances of a model between two moments at which all were others; `number` tells generations apart."""

    number: int
    first: frozenset[tuple[object, ...]]
    urls: frozenset[str] = field(default_factory=frozenset)


class Generations:
    """Notices when all instances of a model have been replaced by others, so that what the old ones said is void.

    An instance that comes back with the same id, address and time of registration is the same one.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen = 0
        self._known: dict[Model, _Generation] = {}
        self._absent: set[Model] = set()  # looked for in vain since the last change
        self._lock = threading.Lock()

    def of(self, model: Model) -> int:
        """The number of the model's present generation; 0 for a model of which no instance was ever registered."""
        with self._lock:
            return known.number if (known := self._present(model)) is not None else 0

    def is_present(self, model: Model, number: int, url: str) -> bool:
        """Whether an answer that this address gave to a generation still counts."""
        with self._lock:
            known = self._present(model)
            return number == 0 if known is None else known.number == number and normal_url(url) in known.urls

    def _present(self, model: Model) -> _Generation | None:
        if self._registry.changes != self._seen:
            self._seen = self._registry.changes
            self._absent.clear()
            for each, before in self._known.items():
                self._looked(before, self._registry.instances(*each))
        known = self._known.get(model)
        if known is None and model not in self._absent:
            if instances := self._registry.instances(*model):
                known = self._known[model] = _Generation(self._next(), _identities(instances), _urls(instances))
            elif len(self._absent) < MOST_ABSENT:
                self._absent.add(model)
        return known

    def _looked(self, known: _Generation, instances: Instances) -> None:
        known.urls = _urls(instances)
        now = _identities(instances)
        if now and not now & known.first:
            known.number, known.first = self._next(), now

    def _next(self) -> int:
        return 1 + max((known.number for known in self._known.values()), default=0)


def _identities(instances: Instances) -> frozenset[tuple[object, ...]]:
    return frozenset((each.id, each.url, each.registration_time_utc) for each in instances)


def _urls(instances: Instances) -> frozenset[str]:
    return frozenset(normal_url(each.url) for each in instances)
