"""Rollouts: instances of a new version, or with new files, take the place of those that run, one after the other.

    replace/<id>         a wish, as `maas deploy --replace` writes it; it can't travel on the queue, which is Metron's
    rollouts/<model>     the model's last rollout: what is to come, what was before, and how far it has got

A rollout is a rule and not a list of steps: what is to be done next follows from what is written down, wanted and
registered at this moment. So it goes on wherever the last service was when it ended.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from maas_runtime.deployers import Deployer, Deployment
from maas_runtime.errors import DeployError
from maas_runtime.service.desired_state import DeploymentSpec, DesiredState
from maas_runtime.state.store import Note, StateStore, failures_of
from maas_runtime.store.base import ModelStore
from stellar.maas.registry import Registry, natural_order
from stellar.maas.routing import TRAFFIC, TrafficPlan
from stellar.maas.schema import Model, validate_name
from stellar.util.json_objects import read_object

log = logging.getLogger(__name__)

WISHES, ROLLOUTS = "replace", "rollouts"
READY_SECONDS = 600.0
FAILURES = 3  # of instances that never served, until the new version is given up

State = Literal["settling", "rolling", "going back", "done", "failed"]
ENDED = ("done", "failed")


@dataclass(frozen=True)
class ReplaceRequest:
    """So many instances of a version shall take the place of all instances of the model.

    seconds: for the next instance to get ready, before the version is given up
    fresh: whether its files were just uploaded, so that those of the same version are replaced too
    """

    name: str
    version: str
    instances: int
    path: str
    memory: int = 0
    seconds: float = READY_SECONDS
    fresh: bool = False

    @property
    def model(self) -> Model:
        return Model(self.name, self.version)


@dataclass(frozen=True)
class Rollout:
    """How far the replacement of a model's instances has got.

    before: what was wanted of each version when it began
    plan: the traffic plan that there was
    carried: the versions to which calls went that named none
    old: the instances of the new version that are to be replaced too
    total: how many instances there were; as many there are to be all the time
    ready: how many of the new ones have got ready so far
    failures: how often instances of the new version had failed when the last one got ready
    why: the reason if it failed
    """

    id: str
    wish: ReplaceRequest
    before: Mapping[str, Note]
    plan: Note | None
    carried: tuple[str, ...]
    state: State = "settling"
    old: tuple[str, ...] = ()
    total: int = 0
    ready: int = 0
    failures: int = 0
    why: str = ""

    @classmethod
    def from_note(cls, note: Note) -> Rollout:
        """Raises KeyError, TypeError or ValueError for what is no such note."""
        lists = {key: tuple(note[key]) for key in ("carried", "old")}
        return cls(**{**note, **lists, "wish": read_object(ReplaceRequest, note["wish"])})

    def to_note(self) -> Note:
        return asdict(self)

    @property
    def others(self) -> list[str]:
        """The versions that are replaced, oldest first."""
        return sorted(self.before.keys() - {self.wish.version}, key=natural_order)

    def __str__(self) -> str:
        wish = self.wish
        replaced = ", ".join(self.others) or wish.version
        done = f"{self.ready} of {wish.instances} ready"
        return f"{wish.name}: {wish.version} replaces {replaced}: {self.state}, {done}" + (
            f"; {self.why}" if self.why else ""
        )


def wished(notes: StateStore, wish: ReplaceRequest) -> str:
    """Write down a wish for the service; returns its id, by which the service answers in `requests`."""
    id = f"re-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    notes.write(f"{WISHES}/{id}", asdict(wish))
    return id


def rollout_of(notes: StateStore, name: str) -> Rollout | None:
    """The last rollout of a model. What can't be read counts as none, with a warning."""
    if (note := notes.read(f"{ROLLOUTS}/{name}")) is None:
        return None
    try:
        return Rollout.from_note(note)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("the rollout of %s can't be read, and counts as none: %r", name, error)
        return None


@dataclass
class Rollouts:
    """Drives the rollouts of all models, a step at a time.

    answer: called with the id of a wish, and what becomes of it
    most_instances: how many of one model may be asked for
    clock: seconds, for the patience with instances that do not get ready
    """

    notes: StateStore
    registry: Registry
    deployer: Deployer
    store: ModelStore
    wants: DesiredState
    answer: Callable[[str, Note], None]
    most_instances: int
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._active: dict[str, Rollout] = {}
        self._since: dict[str, float] = {}

    def remember(self) -> None:
        """Go on with what the last service had begun."""
        found = (rollout_of(self.notes, name) for name in self.notes.names(ROLLOUTS))
        self._active = {each.wish.name: each for each in found if each and each.state not in ENDED}
        self._since = dict.fromkeys(self._active, self.clock())

    def forget(self, name: str) -> None:
        """Nothing is left to tell of the last rollout of a model if nothing is wanted of it any more."""
        if name not in self._active and not self.wants.of(name):
            self.notes.write(f"{ROLLOUTS}/{name}", None)

    def refuse_if_under_way(self, name: str) -> None:
        """Raise ValueError if instances of the model are being replaced: who else changes their number then?"""
        if active := self._active.get(name):
            raise ValueError(
                f"{name} is being replaced by version {active.wish.version}; wait until that has ended (see: maas "
                "status), or replace it by another version"
            )

    def step(self) -> None:
        """Take up new wishes, and do what can be done now for each rollout."""
        for id in self.notes.names(WISHES):
            self._take_up(id)
        for name, rollout in list(self._active.items()):
            try:
                self._now(self._advanced(rollout))
            except (DeployError, ConnectionError) as error:  # perhaps it can be done next time
                log.warning("%s: %s", name, error)
            except Exception:  # a fault in one rollout must not end the service, nor go unseen
                log.exception("%s can't be brought further", rollout)

    # --- the beginning

    def _take_up(self, id: str) -> None:
        try:
            wish = self._accepted(self.notes.read(f"{WISHES}/{id}") or {})
        except (ValueError, DeployError) as error:
            log.warning("the wish %s is refused: %s", id, error)
            self.answer(id, {"refused": str(error)})
        else:
            if (active := self._active.get(wish.name)) is None or active.id != id:  # or the last service began it
                self._begin(id, wish)
            self.answer(id, {"wanted": wish.instances})
        self.notes.write(f"{WISHES}/{id}", None)

    def _accepted(self, note: Note) -> ReplaceRequest:
        """Raises ValueError or DeployError."""
        wish = read_object(ReplaceRequest, note)
        validate_name(wish.name, "model's name")
        validate_name(wish.version, "model's version")
        if not 1 <= wish.instances <= self.most_instances:
            raise ValueError(f"{wish.instances} instances are asked for; 1 to {self.most_instances} are allowed")
        self.store.script(wish.path)
        return wish

    def _begin(self, id: str, wish: ReplaceRequest) -> None:
        last = self._active.get(wish.name)
        before = {version: wanted.to_note() for version, wanted in self.wants.of(wish.name).items()}
        plan = last.plan if last else self.notes.read(_plan_path(wish.name))
        carried = self._carried(wish.name, plan)
        if last and last.wish.version not in carried and self._ready(last.wish.model):
            carried = (*carried, last.wish.version)
        self._since[wish.name] = self.clock()
        self._now(Rollout(id, wish, before, plan, carried))

    def _carried(self, name: str, plan: Note | None) -> tuple[str, ...]:
        """To which versions calls go that name none."""
        versions = {instance.model.version for instance in self.registry.instances(name)}
        try:
            weights = TrafficPlan.from_note(plan or {}).weights
        except ValueError:  # it counts as none for clients too
            weights = {}
        if planned := [version for version in versions if weights.get(version)]:
            return tuple(sorted(planned, key=natural_order))
        return (max(versions, key=natural_order),) if versions else ()

    # --- the way

    def _now(self, rollout: Rollout) -> None:
        """Note how far a rollout has got."""
        name, last = rollout.wish.name, self._active.get(rollout.wish.name)
        if rollout == last:
            return
        self.notes.write(f"{ROLLOUTS}/{name}", rollout.to_note())
        if last is None or (rollout.state, rollout.id) != (last.state, last.id):
            log.info("%s", rollout)
        if rollout.state in ENDED:
            self._active.pop(name, None)
        else:
            self._active[name] = rollout

    def _advanced(self, rollout: Rollout) -> Rollout:
        if rollout.state == "settling":
            return self._settled(rollout)
        if rollout.state == "rolling":
            return self._rolled(rollout)
        return self._gone_back(rollout)

    def _settled(self, rollout: Rollout) -> Rollout:
        """What is to be replaced is known by its registration, so what is not ready and would be replaced is ended."""
        wish = rollout.wish
        old = self._ready(wish.model) if self._replaces_its_own(rollout) else frozenset()
        if old and self.deployer.running(wish.model) > len(old):
            self.wants.want(self._before(rollout, wish.version, len(old)))
            return rollout
        others = sum(rollout.before[version]["instances"] for version in rollout.others)
        kept = 0 if self._replaces_its_own(rollout) else rollout.before.get(wish.version, {}).get("instances", 0)
        return replace(
            rollout,
            state="rolling",
            old=tuple(sorted(old)),
            total=others + kept + len(old),
            failures=self._failures(wish.model),
        )

    def _replaces_its_own(self, rollout: Rollout) -> bool:
        """Whether instances of the new version that run already are replaced too: else they count as new."""
        wish, own = rollout.wish, rollout.before.get(rollout.wish.version)
        if own is None:
            return False
        same = (own["path"], own["memory"]) == (wish.path, wish.memory)
        return wish.fresh or not same or not rollout.others

    def _rolled(self, rollout: Rollout) -> Rollout:
        """One more new instance, or one less of the others, whichever is next."""
        wish = rollout.wish
        own = self._ready(wish.model)
        old, ready = own & set(rollout.old), len(own - set(rollout.old))
        if ready > rollout.ready:
            rollout = replace(rollout, ready=ready, failures=self._failures(wish.model))
            self._since[wish.name] = self.clock()
        elif ready < wish.instances and (why := self._trouble(rollout)):
            return self._turned_back(rollout, why)
        if {*rollout.carried} - {wish.version}:
            self._plan(wish.name, _evenly(*rollout.carried, wish.version))
        others = [(version, wanted) for version, wanted in self._others(rollout) if wanted.instances]
        allowed = max(0, rollout.total - ready) if ready < wish.instances else 0
        surplus = sum(wanted.instances for _, wanted in others) + len(old) - allowed
        for _, wanted in others:
            if (less := min(surplus, wanted.instances)) > 0:
                self.wants.want(replace(wanted, instances=wanted.instances - less))
                surplus -= less
        at_once = 1 if rollout.old else max(1, wish.instances - rollout.total)
        new = ready - surplus if surplus > 0 else min(wish.instances, ready + at_once)
        self.wants.want(DeploymentSpec(self._deployment(wish), new + len(old)))
        if ready >= wish.instances and not old and not any(self._others(rollout)):
            self._plan(wish.name, None)
            return replace(rollout, state="done")
        return rollout

    def _trouble(self, rollout: Rollout) -> str | None:
        """Why the new version is to be given up, if it is."""
        wish = rollout.wish
        if self._failures(wish.model) - rollout.failures >= FAILURES:
            last = (self.notes.read(failures_of(wish.model)) or {}).get("last", "")
            return f"{FAILURES} instances of {wish.version} failed, the last one so: {last}"
        if self.clock() - self._since[wish.name] > wish.seconds:
            return f"no further instance of {wish.version} got ready in {wish.seconds:g} seconds"
        return None

    def _turned_back(self, rollout: Rollout, why: str) -> Rollout:
        log.warning("%s: %s is given up: %s", rollout.wish.name, rollout.wish.version, why)
        return replace(rollout, state="going back", why=why)

    def _gone_back(self, rollout: Rollout) -> Rollout:
        """Calls go where they went; then what ran before runs again; then what is new ends."""
        wish = rollout.wish
        if rollout.others:
            self._plan(wish.name, rollout.plan or _evenly(*(each for each in rollout.carried if each != wish.version)))
        for version in rollout.others:
            self.wants.want(self._before(rollout, version))
        if not all(
            len(self._ready(Model(wish.name, version))) >= rollout.before[version]["instances"]
            for version in rollout.others
        ):
            return rollout
        if wish.version in rollout.before:
            self.wants.want(self._before(rollout, wish.version))
        elif new := self.wants.get(wish.model):
            self.wants.want(replace(new, instances=0))
            return rollout  # until it is gone
        self._plan(wish.name, rollout.plan)
        return replace(rollout, state="failed")

    # --- what is there, and what shall be

    def _ready(self, model: Model) -> frozenset[str]:
        return frozenset(instance.id for instance in self.registry.instances(*model))

    def _failures(self, model: Model) -> int:
        return int((self.notes.read(failures_of(model)) or {}).get("count", 0))

    def _others(self, rollout: Rollout) -> Iterator[tuple[str, DeploymentSpec]]:
        wanted = self.wants.of(rollout.wish.name)
        return ((each, wanted[each]) for each in sorted(wanted, key=natural_order) if each != rollout.wish.version)

    def _deployment(self, wish: ReplaceRequest) -> Deployment:
        return Deployment(wish.model, wish.path, wish.memory, self.wants.environment)

    def _before(self, rollout: Rollout, version: str, instances: int | None = None) -> DeploymentSpec:
        model = Model(rollout.wish.name, version)
        wanted = DeploymentSpec.from_note(model, rollout.before[version], self.wants.environment)
        return wanted if instances is None else replace(wanted, instances=instances)

    def _plan(self, name: str, plan: Note | None) -> None:
        if self.notes.read(_plan_path(name)) != plan:
            self.notes.write(_plan_path(name), plan)


def _plan_path(name: str) -> str:
    return f"{TRAFFIC}/{name}"


def _evenly(*versions: str) -> dict[str, Any]:
    """A plan by which each instance of these versions gets as much as any other."""
    return TrafficPlan(dict.fromkeys(versions, 1), per_instance=True).to_note()
