"""Rollouts: replace the running instances of a model by those of a new version, or with new files.

    replace/<id>         a replace request, written by `maas deploy --replace`; the queue has Metron's format
    rollouts/<model>     the last rollout of a model: its request, the previous state, its progress

`Rollouts.step` is a state machine that runs once per turn of the service. It does not follow a list of steps: each
turn derives the next change from the stored rollout, the desired state and the registrations, and stores the result
before the next turn. So a new service continues where the previous one stopped, and a repeated turn changes nothing.

    settling     Instances of the new version that run but are not ready are ended, because the instances to replace
                 are known by their registration. Then the totals are fixed: → rolling.
    rolling      Start one more new instance (more if the number grows). Each time one gets ready, its calls are judged;
                 then reduce the previous versions, oldest first, so that never fewer instances are ready than before.
                 Calls without a version are balanced by a temporary traffic plan, which has the new version on trial:
                 it gets a small share until the first step has passed, and is balanced over all instances then (see
                 maas_runtime.service.judging). All new ready, none old left: → done. FAILURES failed instances, none
                 ready within the request's seconds, or too many failed calls: → going back.
    going back   Calls go to the previous versions at once; those are scaled to their previous numbers; when they are
                 ready, the new version is removed and the previous traffic plan is restored: → failed. If the version
                 was replaced by itself with other files, as many instances as it had are started with its previous
                 files, before those with other files are ended.

A request for another version while a rollout is active starts a new rollout from the current state, which keeps the
original traffic plan. ADD and REMOVE are rejected meanwhile: a rollout alone changes the numbers of its model.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from maas_runtime.deployers import Deployer, Deployment
from maas_runtime.errors import DeployError
from maas_runtime.runner.samples import parse_warm_up
from maas_runtime.service.desired_state import MAX_GPUS, DeploymentSpec, DesiredState
from maas_runtime.service.judging import Evidence, Judge, NewInstances
from maas_runtime.state.store import JsonObject, StateStore, failures_path
from maas_runtime.store.base import ModelStore, require_uploaded
from stellar.maas.registry import Registry, natural_order
from stellar.maas.routing import TRAFFIC, TrafficPlan, Trial
from stellar.maas.schema import Model, validate_name
from stellar.util.json_objects import read_object

log = logging.getLogger(__name__)

REPLACE_REQUESTS, ROLLOUTS = "replace", "rollouts"
READY_SECONDS = 600.0
MAX_ERROR_INCREASE = 1.0
FAILURES = 3  # failed instances of the new version that start the rollback

State = Literal["settling", "rolling", "going back", "done", "failed"]
ENDED = ("done", "failed")

# Names of fields in the state store, where they differ: its format is older than the names here
_STORED_KEYS = {"request": "wish", "serving": "carried", "reason": "why"}
_FIELDS = {stored: name for name, stored in _STORED_KEYS.items()}


@dataclass(frozen=True)
class ReplaceRequest:
    """A request to replace all instances of a model by `instances` instances of a version.

    seconds: time-out for the next instance to become ready, before the rollout is rolled back
    fresh: the files were uploaded just now, so running instances of the same version are replaced too
    content: immutable copy of the files in the model store; empty to make one from `path`
    store: name of the model store to which it was uploaded, for messages
    max_error_increase: limit of the increase of the share of failed calls, in percent
    warm_up, gpus: as in Deployment
    """

    name: str
    version: str
    instances: int
    path: str
    memory: int = 0
    seconds: float = READY_SECONDS
    fresh: bool = False
    content: str = ""
    store: str = ""
    max_error_increase: float = MAX_ERROR_INCREASE
    warm_up: list[str] = field(default_factory=list)
    gpus: int = 0

    @property
    def model(self) -> Model:
        return Model(self.name, self.version)


@dataclass(frozen=True)
class Rollout:
    """The progress of replacing the instances of a model.

    before: stored specifications of all versions at the start
    plan: traffic plan at the start
    serving: versions that received calls without a version
    old: ids of running instances of the new version that are replaced too
    total: number of instances at the start, which stay ready throughout
    ready: number of new instances that are ready
    judged: number of those whose calls were judged
    bad: ids of instances with files that are rolled back, of a version that had others before; None if unknown yet
    failures: failure count of the new version when an instance last became ready
    reason: reason of a failed rollout
    """

    id: str
    request: ReplaceRequest
    before: Mapping[str, JsonObject]
    plan: JsonObject | None
    serving: tuple[str, ...]
    state: State = "settling"
    old: tuple[str, ...] = ()
    total: int = 0
    ready: int = 0
    judged: int = 0
    bad: tuple[str, ...] | None = None
    failures: int = 0
    reason: str = ""

    @classmethod
    def from_object(cls, entry: JsonObject) -> Rollout:
        """Return the rollout that `to_object` stored.

        Raises KeyError, TypeError or ValueError for an invalid object.
        """
        fields = {_FIELDS.get(key, key): value for key, value in entry.items()}
        for key in ("serving", "old", "bad"):
            if fields.get(key) is not None:
                fields[key] = tuple(fields[key])
        return cls(**{**fields, "request": read_object(ReplaceRequest, fields["request"])})

    def to_object(self) -> JsonObject:
        """Return the stored form."""
        return {_STORED_KEYS.get(key, key): value for key, value in asdict(self).items()}

    @property
    def is_judging(self) -> bool:
        return self.state == "rolling" and self.ready > self.judged

    @property
    def others(self) -> list[str]:
        """The versions to replace, oldest first."""
        return sorted(self.before.keys() - {self.request.version}, key=natural_order)

    def __str__(self) -> str:
        request = self.request
        replaced = ", ".join(self.others) or request.version
        done = f"{self.ready} of {request.instances} ready"
        if self.is_judging:
            done += ", judging its calls"
        return f"{request.name}: {request.version} replaces {replaced}: {self.state}, {done}" + (
            f"; {self.reason}" if self.reason else ""
        )


def request_replacement(state_store: StateStore, request: ReplaceRequest) -> str:
    """Store a replace request for the service. Return its id, the name of its result in `requests`."""
    id = f"re-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    state_store.write(f"{REPLACE_REQUESTS}/{id}", asdict(request))
    return id


def read_rollout(state_store: StateStore, name: str) -> Rollout | None:
    """Return the last rollout of a model, or None; an invalid one is ignored with a warning."""
    if (entry := state_store.read(f"{ROLLOUTS}/{name}")) is None:
        return None
    try:
        return Rollout.from_object(entry)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("invalid stored rollout of %s, ignored: %r", name, error)
        return None


@dataclass
class Rollouts:
    """The rollouts of all models; the module docstring describes the state machine.

    record_result: called with the id of a replace request and its result
    max_instances: limit of instances for one model version
    clock: monotonic time in seconds, for the time-out of instances
    store_name: name of the model store, for messages
    """

    state_store: StateStore
    registry: Registry
    deployer: Deployer
    store: ModelStore
    desired: DesiredState
    record_result: Callable[[str, JsonObject], None]
    max_instances: int
    clock: Callable[[], float]
    store_name: str = ""

    def __post_init__(self) -> None:
        self._active: dict[str, Rollout] = {}
        self._progressed: dict[str, float] = {}
        self._judge = Judge(self.registry.reports, self.clock)

    def load(self) -> None:
        """Continue the rollouts that the previous service started."""
        rollouts = (read_rollout(self.state_store, name) for name in self.state_store.names(ROLLOUTS))
        self._active = {rollout.request.name: rollout for rollout in rollouts if rollout and rollout.state not in ENDED}
        self._progressed = dict.fromkeys(self._active, self.clock())

    def remove_ended(self, name: str) -> None:
        """Delete the last rollout of a model that has no deployment left."""
        if name not in self._active and not self.desired.get_versions(name):
            self.state_store.write(f"{ROLLOUTS}/{name}", None)

    def require_no_rollout(self, name: str) -> None:
        """Raise ValueError if a rollout of the model is active: it alone changes the number of instances then."""
        if active := self._active.get(name):
            raise ValueError(
                f"{name} is being replaced by version {active.request.version}; wait until the rollout has ended (see: "
                "maas status), or replace it by another version"
            )

    def step(self) -> None:
        """Accept new requests and advance each rollout."""
        for id in self.state_store.names(REPLACE_REQUESTS):
            self._accept_request(id)
        for name, rollout in list(self._active.items()):
            try:
                self._record(self._advance(rollout))
            except (DeployError, ConnectionError) as error:  # retried in the next turn
                log.warning("%s: %s", name, error)
            except Exception:  # an error in one rollout must not end the service
                log.exception("rollout failed to advance: %s", rollout)

    # --- start

    def _accept_request(self, id: str) -> None:
        try:
            request = self._validate(self.state_store.read(f"{REPLACE_REQUESTS}/{id}") or {})
        except (ValueError, DeployError) as error:
            log.warning("replace request %s rejected: %s", id, error)
            self.record_result(id, {"refused": str(error)})
        else:
            if (
                active := self._active.get(request.name)
            ) is None or active.id != id:  # else the previous service started it
                self._begin(id, request)
            self.record_result(id, {"wanted": request.instances})
        self.state_store.write(f"{REPLACE_REQUESTS}/{id}", None)

    def _validate(self, entry: JsonObject) -> ReplaceRequest:
        """Return the request in a stored object.

        Raises ValueError or DeployError for an invalid request.
        """
        request = read_object(ReplaceRequest, entry)
        validate_name(request.name, "model's name")
        validate_name(request.version, "model's version")
        if not 1 <= request.instances <= self.max_instances:
            raise ValueError(f"invalid number of instances {request.instances}: expected 1 to {self.max_instances}")
        if not 0 <= request.max_error_increase <= 100:
            raise ValueError(f"invalid max_error_increase {request.max_error_increase}: expected 0 to 100 percent")
        if not 0 <= request.gpus <= MAX_GPUS:
            raise ValueError(f"invalid number of GPUs {request.gpus}: expected 0 to {MAX_GPUS}")
        parse_warm_up(request.warm_up)
        if not request.content:
            return replace(request, content=self.store.snapshot(request.path))
        require_uploaded(self.store, request.content, request.store[:200], self.store_name)
        return request

    def _begin(self, id: str, request: ReplaceRequest) -> None:
        last = self._active.get(request.name)
        before = {version: spec.to_object() for version, spec in self.desired.get_versions(request.name).items()}
        plan = last.plan if last else self.state_store.read(_plan_path(request.name))
        serving = last.serving if last else self._find_serving(request.name, plan)
        if last and last.judged and last.request.version not in serving and self._get_ready(last.request.model):
            serving = (*serving, last.request.version)
        self._progressed[request.name] = self.clock()
        self._record(Rollout(id, request, before, plan, serving))

    def _find_serving(self, name: str, plan: JsonObject | None) -> tuple[str, ...]:
        """Return the versions that receive calls without a version."""
        versions = {instance.model.version for instance in self.registry.instances(name)}
        try:
            weights = TrafficPlan.from_note(plan or {}).weights
        except ValueError:  # clients ignore it too
            weights = {}
        if planned := [version for version in versions if weights.get(version)]:
            return tuple(sorted(planned, key=natural_order))
        return (max(versions, key=natural_order),) if versions else ()

    # --- states

    def _record(self, rollout: Rollout) -> None:
        """Store the progress of a rollout."""
        name, last = rollout.request.name, self._active.get(rollout.request.name)
        if rollout == last:
            return
        self.state_store.write(f"{ROLLOUTS}/{name}", rollout.to_object())
        if last is None or (rollout.state, rollout.id) != (last.state, last.id):
            log.info("%s", rollout)
        if rollout.state in ENDED:
            self._active.pop(name, None)
            self._judge.forget(rollout.id)
        else:
            self._active[name] = rollout

    def _advance(self, rollout: Rollout) -> Rollout:
        if rollout.state == "settling":
            return self._settle(rollout)
        if rollout.state == "rolling":
            return self._roll(rollout)
        return self._roll_back(rollout)

    def _settle(self, rollout: Rollout) -> Rollout:
        """End unready instances of the new version, then fix the totals."""
        request = rollout.request
        old = self._get_ready(request.model) if self._replaces_its_own(rollout) else frozenset()
        if old and self.deployer.running(request.model) > len(old):
            self.desired.set(self._get_previous(rollout, request.version, len(old)))
            return rollout
        others = sum(rollout.before[version]["instances"] for version in rollout.others)
        remaining = (
            0 if self._replaces_its_own(rollout) else rollout.before.get(request.version, {}).get("instances", 0)
        )
        return replace(
            rollout,
            state="rolling",
            old=tuple(sorted(old)),
            total=others + remaining + len(old),
            failures=self._count_failures(request.model),
        )

    def _replaces_its_own(self, rollout: Rollout) -> bool:
        """Return whether running instances of the new version are replaced too; otherwise they count as new."""
        request, own = rollout.request, rollout.before.get(rollout.request.version)
        if own is None:
            return False
        same = (own.get("content", ""), own["memory"]) == (request.content, request.memory)
        return request.fresh or not same or not rollout.others

    def _roll(self, rollout: Rollout) -> Rollout:
        """Judge the new instances; then add one or remove a previous one, whichever is next."""
        request = rollout.request
        own = self._get_ready(request.model)
        old, ready = own & set(rollout.old), len(own - set(rollout.old))
        if ready > rollout.ready:
            rollout = replace(rollout, ready=ready, failures=self._count_failures(request.model))
            self._progressed[request.name] = self.clock()
        elif ready < request.instances and (reason := self._find_failure(rollout)):
            return self._begin_rollback(rollout, reason)
        rollout, failure = self._judge_step(rollout, ready)
        if failure:
            return self._begin_rollback(rollout, failure)
        if ready > rollout.judged:
            self._progressed[request.name] = self.clock()  # the time for further instances begins afterwards
            return rollout
        self._move_on(rollout, ready, len(old))
        if ready >= request.instances and not old and not any(self._get_others(rollout)):
            self._write_plan(request.name, None)
            return replace(rollout, state="done")
        return rollout

    def _judge_step(self, rollout: Rollout, ready: int) -> tuple[Rollout, str]:
        """Adapt the traffic plan to the calls reported so far. Return the rollout, and the reason of a failure."""
        if not rollout.serving:  # there is nothing to compare with, or to go back to
            return replace(rollout, judged=max(ready, rollout.judged)), ""
        request = rollout.request
        try:
            evidence = self._judge.observe(rollout.id, self._describe_new(rollout))
        except PermissionError as error:
            return rollout, f"{request.version} cannot be judged: the reports of clients cannot be read: {error}"
        verdict = self._judge.judge(rollout.id, evidence, ready, rollout.judged, request.max_error_increase / 100)
        if verdict.failure:
            return rollout, f"{request.version} {verdict.failure}"
        if verdict.passed:
            rollout = replace(rollout, judged=max(ready, rollout.judged))
        self._write_plan(request.name, self._plan_trial(rollout, evidence, ready))
        return rollout, ""

    def _describe_new(self, rollout: Rollout) -> NewInstances:
        request = rollout.request
        if not rollout.old:
            return NewInstances(request.name, request.version)
        own = self.registry.instances(*request.model)
        urls = frozenset(instance.url for instance in own if instance.id not in rollout.old)
        return NewInstances(request.name, request.version, urls)

    def _plan_trial(self, rollout: Rollout, evidence: Evidence, ready: int) -> JsonObject:
        """Return the plan that gives the new version a small share until its first step has passed."""
        request = rollout.request
        weights = dict.fromkeys((*rollout.serving, request.version), 1.0)
        if not rollout.judged and not rollout.old:
            others = [Model(request.name, version) for version in weights if version != request.version]
            count = sum(len(self._get_ready(model)) for model in others)
            weights[request.version] = evidence.compute_weight(ready, count)
        return TrafficPlan(weights, per_instance=True, trial=Trial(rollout.id, request.version)).to_note()

    def _move_on(self, rollout: Rollout, ready: int, old: int) -> None:
        """Set the desired state after all ready instances were judged."""
        request = rollout.request
        surplus = self._reduce_others(rollout, ready, old)
        at_once = 1 if rollout.old else max(1, request.instances - rollout.total)
        new = ready - surplus if surplus > 0 else min(request.instances, ready + at_once)
        self.desired.set(DeploymentSpec(self._make_deployment(request), new + old))

    def _reduce_others(self, rollout: Rollout, ready: int, old: int) -> int:
        """Reduce the previous versions as far as new instances replace them. Return the surplus that is left."""
        others = [spec for _, spec in self._get_others(rollout) if spec.instances]
        allowed = max(0, rollout.total - ready) if ready < rollout.request.instances else 0
        surplus = sum(spec.instances for spec in others) + old - allowed
        for spec in others:
            if (less := min(surplus, spec.instances)) > 0:
                self.desired.set(replace(spec, instances=spec.instances - less))
                surplus -= less
        return surplus

    def _find_failure(self, rollout: Rollout) -> str | None:
        """Return the reason to roll back, or None."""
        request = rollout.request
        if self._count_failures(request.model) - rollout.failures >= FAILURES:
            last = (self.state_store.read(failures_path(request.model)) or {}).get("last", "")
            return f"{FAILURES} instances of {request.version} failed; last failure: {last}"
        if self.clock() - self._progressed[request.name] > request.seconds:
            return f"no further instance of {request.version} was ready within {request.seconds:g} seconds"
        return None

    def _begin_rollback(self, rollout: Rollout, reason: str) -> Rollout:
        log.warning("%s: rolling back %s: %s", rollout.request.name, rollout.request.version, reason)
        return replace(rollout, state="going back", reason=reason)

    def _roll_back(self, rollout: Rollout) -> Rollout:
        """Restore traffic, then the previous instances; then remove the new ones."""
        request = rollout.request
        self._write_plan(
            request.name,
            rollout.plan or _split_evenly(*(version for version in rollout.serving if version != request.version)),
        )
        for version in rollout.others:
            self.desired.set(self._get_previous(rollout, version))
        if not all(
            len(self._get_ready(Model(request.name, version))) >= rollout.before[version]["instances"]
            for version in rollout.others
        ):
            return rollout
        if request.version in rollout.before:
            rollout, is_restored = self._restore_own(rollout)
            if not is_restored:
                return rollout
        elif new := self.desired.get(request.model):
            self.desired.set(replace(new, instances=0))
            return rollout  # until its last instance has ended
        self._write_plan(request.name, rollout.plan)
        return replace(rollout, state="failed")

    def _restore_own(self, rollout: Rollout) -> tuple[Rollout, bool]:
        """Restore the previous instances of the version itself. Return True when none with other files is left."""
        request = rollout.request
        previous, ready = self._get_previous(rollout, request.version), self._get_ready(request.model)
        if previous.deployment.content == request.content:
            self.desired.set(previous)
            return rollout, True
        if rollout.bad is None:  # end those that are not ready first, because only registered ones can be identified
            if self.deployer.running(request.model) > len(ready):
                self.desired.set(replace(previous, instances=len(ready)))
                return rollout, False
            rollout = replace(rollout, bad=tuple(sorted(ready - set(rollout.old))))
        bad = ready & set(rollout.bad or ())
        missing = previous.instances - len(ready - bad)
        more = len(bad) if missing > 0 else 0  # they go on until the others are ready; the deployer ends them first
        self.desired.set(replace(previous, instances=previous.instances + more))
        return rollout, not bad

    # --- current and desired state

    def _get_ready(self, model: Model) -> frozenset[str]:
        return frozenset(instance.id for instance in self.registry.instances(*model))

    def _count_failures(self, model: Model) -> int:
        return int((self.state_store.read(failures_path(model)) or {}).get("count", 0))

    def _get_others(self, rollout: Rollout) -> Iterator[tuple[str, DeploymentSpec]]:
        specs = self.desired.get_versions(rollout.request.name)
        others = (version for version in specs if version != rollout.request.version)
        return ((version, specs[version]) for version in sorted(others, key=natural_order))

    def _make_deployment(self, request: ReplaceRequest) -> Deployment:
        environment, warm_up = self.desired.environment, tuple(request.warm_up)
        return Deployment(
            request.model,
            request.path,
            request.memory,
            environment,
            request.content,
            warm_up=warm_up,
            gpus=request.gpus,
        )

    def _get_previous(self, rollout: Rollout, version: str, instances: int | None = None) -> DeploymentSpec:
        model = Model(rollout.request.name, version)
        spec = DeploymentSpec.from_object(model, rollout.before[version], self.desired.environment)
        return spec if instances is None else replace(spec, instances=instances)

    def _write_plan(self, name: str, plan: JsonObject | None) -> None:
        if self.state_store.read(_plan_path(name)) != plan:
            self.state_store.write(_plan_path(name), plan)


def _plan_path(name: str) -> str:
    return f"{TRAFFIC}/{name}"


def _split_evenly(*versions: str) -> dict[str, Any] | None:
    """Return a plan that balances calls over all instances of these versions; None for no versions."""
    return TrafficPlan(dict.fromkeys(versions, 1), per_instance=True).to_note() if versions else None
