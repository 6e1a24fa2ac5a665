"""The service: turns requests into the desired state and reconciles the running instances with it.

One service leads; others on the same ZooKeeper wait for its end. A turn of the leader does three jobs:

1. Take one request from the queue and validate it. ADD and REMOVE change the desired number of instances of a model
   version. The desired state is stored first, then the result is recorded for `maas deploy` to read. So a request that
   was accepted survives the service, and a stored desired state never depends on a request that is lost.
2. Reconcile each deployment in its own task: compare the instances that the deployer runs with the desired number, and
   let it scale. Tasks of different deployments do not wait for each other, and a deployment has one task at a time.
   The comparison uses the current state alone, so a missed event, a crash or a new leader needs no special handling.
3. Advance the rollouts, which change the desired state one step at a time (see maas_runtime.service.rollouts).

An instance that ends by itself is missing at the next comparison and is started again, after a back-off that doubles
while the deployment keeps failing. A new request resets the back-off. With `restart=False` the desired number is
reduced to what still runs. A deployment whose desired number is 0 is drained, ended and then deleted.

A lost connection changes nothing: instances go on, and the turn is repeated. A service that lost its leadership leaves
its instances to the next leader.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from time import monotonic, sleep

from maas_runtime.deployers import Deployer, Deployment
from maas_runtime.errors import DeployError
from maas_runtime.service.desired_state import DeploymentSpec, DesiredState
from maas_runtime.service.rollouts import Rollouts
from maas_runtime.state.store import JsonObject, Notify, StateStore, ignore_status, try_record_failure
from maas_runtime.store.base import ModelStore
from stellar.maas.registry import Registry
from stellar.maas.requests import Item, RequestQueue
from stellar.maas.schema import Model, ModelRequest, validate_name

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
STABLE_SECONDS = 60.0  # an instance that ran this long restarts without back-off
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 60.0
MAX_RESULTS = 200
MAX_REQUEST_BYTES, MAX_PATH, MAX_MEMORY = 65_536, 4096, 1 << 24  # well above any real request


@dataclass
class RestartBackoff:
    """The back-off between starts of a failing deployment: 1, 2, 4 … 60 seconds.

    reconciled: the last specification that was reconciled; a new one is started at once
    """

    starts: int = 0
    last: float = 0.0
    reconciled: DeploymentSpec | None = None

    def can_start(self, spec: DeploymentSpec, now: float) -> bool:
        if self.reconciled is not spec:
            self.starts = 0
        return not self.starts or now - self.last >= min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(self.starts - 1, 10))

    def record_start(self, spec: DeploymentSpec, now: float) -> None:
        self.starts, self.last, self.reconciled = self.starts + 1, now, spec

    def record_running(self, spec: DeploymentSpec, now: float) -> None:
        self.reconciled = spec
        if now - self.last >= STABLE_SECONDS:
            self.starts = 0


@dataclass
class Service:
    """The service of a registry.

    environment: variables for the scripts of all models
    restart: start an instance again when it ends by itself
    max_instances: limit of instances for one model version
    clock: monotonic time in seconds, for the back-off of restarts
    """

    queue: RequestQueue
    registry: Registry
    deployer: Deployer
    store: ModelStore
    state_store: StateStore
    environment: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    max_instances: int = 100
    clock: Callable[[], float] = monotonic
    _backoffs: dict[Model, RestartBackoff] = field(default_factory=dict, init=False)
    _reconciling: dict[Model, Future[None]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._desired = DesiredState(self.state_store, self.environment)
        self._rollouts = Rollouts(
            self.state_store,
            self.registry,
            self.deployer,
            self.store,
            self._desired,
            self._record_result,
            self.max_instances,
            self.clock,
        )

    def run(self, stopping: Callable[[], bool], *, leave_running: bool = False, notify: Notify = ignore_status) -> None:
        """Serve until `stopping()` returns True; then end all instances, unless `leave_running`.

        notify: called with "leading" when this service leads, and with "waiting" when it waits for another one to end

        The desired state stays stored in either case. Raises DeployError if another service leads and the state store
        cannot wait for its end.
        """
        with ThreadPoolExecutor(8, "deployment") as pool:
            while True:
                try:
                    self._lead(pool, stopping, leave_running, notify)
                except ConnectionError as error:  # instances go on
                    log.warning("%s", error)
                if stopping():
                    return
                sleep(TICK_SECONDS)

    def _lead(
        self, pool: ThreadPoolExecutor, stopping: Callable[[], bool], leave_running: bool, notify: Notify
    ) -> None:
        """Lead until `stopping()` returns True or the leadership is lost."""
        with self.state_store.lead(stopping, notify) as leading:
            if not leading():
                return
            self.load()
            notify("leading")
            try:
                while leading() and not stopping():
                    self._take_request()
                    self.reconcile(pool)
                    self.advance_rollouts()
            finally:
                wait(self._reconciling.values())  # else a task could start an instance that is ended below
            if not leading():
                log.warning("leadership lost; the instances go on")
            elif not leave_running:
                wait([pool.submit(self._reconcile_model, replace(spec, instances=0)) for spec in self._desired])

    def _take_request(self) -> None:
        """Handle the next request, if there is one."""
        try:
            if item := self.queue.take(TICK_SECONDS):
                self.handle(item)
        except ConnectionError as error:
            log.warning("%s", error)
            sleep(TICK_SECONDS)
        except OSError:  # such as a full disk; retried in the next turn
            log.exception("cannot read the queue or store a request; that request is lost")
            sleep(TICK_SECONDS)

    def advance_rollouts(self) -> None:
        """Advance all rollouts by one step."""
        try:
            self._rollouts.step()
        except ConnectionError as error:
            log.warning("%s", error)
        except OSError:
            log.exception("cannot read or store the rollouts")

    def handle(self, item: Item) -> None:
        """Store the desired state after a request, or reject the request with the reason."""
        if item.data.strip() == b"null":  # Metron's client sends this for LIST
            log.debug("%s is null", item.name)
            return
        try:
            if len(item.data) > MAX_REQUEST_BYTES:
                raise ValueError(f"request too large: expected at most {MAX_REQUEST_BYTES:,} bytes")
            spec = self._apply_request(ModelRequest.from_json(item.data))
        except (ValueError, DeployError) as error:
            log.warning("request %s rejected: %s", item.name, error)
            self._record_result(item.name, {"refused": str(error)})
            return
        self._desired.set(spec)
        self._record_result(item.name, {"wanted": spec.instances})

    def _apply_request(self, request: ModelRequest) -> DeploymentSpec:
        """Return the specification after a request.

        Raises ValueError or DeployError for an invalid request.
        """
        model = Model(
            validate_name(request.name or "", "model's name"), validate_name(request.version or "", "model's version")
        )
        if request.num_instances < 1:
            raise ValueError(f"invalid number of instances {request.num_instances}: expected at least 1")
        self._rollouts.require_no_rollout(model.name)
        before = self._desired.get(model)
        if request.action == "REMOVE":
            return self._scale_down(model, before, request.num_instances)
        if request.action != "ADD":
            raise ValueError("missing action: expected ADD or REMOVE")
        path = self._validate_files(request)
        instances = request.num_instances + (before.instances if before else 0)
        if instances > self.max_instances:
            raise ValueError(
                f"too many instances: {instances}, expected at most {self.max_instances} (--max-instances)"
            )
        return DeploymentSpec(Deployment(model, path, request.memory, self.environment), instances)

    def _validate_files(self, request: ModelRequest) -> str:
        """Return the path of an ADD request.

        Raises ValueError or DeployError for an invalid memory limit or path.
        """
        if not 0 <= request.memory <= MAX_MEMORY:
            raise ValueError(f"invalid memory {request.memory}: expected 0 to {MAX_MEMORY:,} MB")
        if not request.path:
            raise ValueError("missing path of the model's files")
        if len(request.path) > MAX_PATH or not request.path.isprintable():
            raise ValueError(f"invalid path {request.path[:80]!r}: too long, or contains control characters")
        self.store.script(request.path)
        return request.path

    def _scale_down(self, model: Model, before: DeploymentSpec | None, by: int) -> DeploymentSpec:
        if before is None:
            raise ValueError(f"{model} is not deployed")
        if by > before.instances:
            log.warning("request to remove %d instances of %s, which has %d", by, model, before.instances)
        return replace(before, instances=max(0, before.instances - by))

    def load(self) -> None:
        """Read the desired state and the rollouts that the previous service stored."""
        self._desired.load()
        self._rollouts.load()

    def _record_result(self, request: str, result: JsonObject) -> None:
        self.state_store.write(f"requests/{request}", result)
        kind = request[:3]  # qn- or re-
        for old in [name for name in self.state_store.names("requests") if name.startswith(kind)][:-MAX_RESULTS]:
            self.state_store.write(f"requests/{old}", None)

    def reconcile(self, pool: ThreadPoolExecutor) -> None:
        """Start reconciling each deployment whose previous task has ended."""
        for spec in self._desired:
            model = spec.deployment.model
            if (running := self._reconciling.get(model)) and not running.done():
                continue
            self._reconciling[model] = pool.submit(self._reconcile_model, spec)

    def _reconcile_model(self, spec: DeploymentSpec) -> None:
        """Reconcile one deployment; errors are recorded or logged, and retried in the next turn."""
        model = spec.deployment.model
        try:
            self._scale(spec, self._backoffs.setdefault(model, RestartBackoff()))
        except DeployError as error:
            log.warning("%s", error)
            try_record_failure(self.state_store, model, str(error))
        except ConnectionError as error:  # retried when the connection is back
            log.warning("%s: %s", model, error)
        except Exception:  # an error in a deployer must not end the service
            log.exception("%s: scaling to %d instances failed", model, spec.instances)

    def _scale(self, spec: DeploymentSpec, backoff: RestartBackoff) -> None:
        running = self.deployer.running(spec.deployment.model)
        if running == spec.instances:
            backoff.record_running(spec, self.clock())
        elif running < spec.instances and backoff.reconciled is spec and not self.restart:
            self._desired.set(replace(spec, instances=running))
            return
        elif running > spec.instances or backoff.can_start(spec, self.clock()):
            backoff.record_start(spec, self.clock())
            self.deployer.scale(spec.deployment, spec.instances)
        if not spec.instances:
            self._desired.remove(spec)
            self._rollouts.remove_ended(spec.deployment.model.name)
