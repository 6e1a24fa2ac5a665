"""Takes requests from the queue and keeps as many instances running as are wanted."""

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
from maas_runtime.state.store import Note, StateStore, Tell, note_failure, nothing
from maas_runtime.store.base import ModelStore
from stellar.maas.registry import Registry
from stellar.maas.requests import Item, RequestQueue
from stellar.maas.schema import Model, ModelRequest, validate_name

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
STABLE_SECONDS = 60.0  # what ran so long is started again at once
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
REQUESTS_KEPT = 200
MOST_REQUEST_BYTES, MOST_PATH, MOST_MEMORY = 65_536, 4096, 1 << 24  # far more than anybody means


@dataclass
class Pace:
    """When a model that keeps failing may be started again: after 1, 2, 4 … 60 seconds.

    met: what was wanted when it was last brought to what was wanted; something new is done at once
    """

    starts: int = 0
    last: float = 0.0
    met: DeploymentSpec | None = None

    def may_start(self, wanted: DeploymentSpec, now: float) -> bool:
        if self.met is not wanted:
            self.starts = 0
        return not self.starts or now - self.last >= min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.starts - 1, 10))

    def started(self, wanted: DeploymentSpec, now: float) -> None:
        self.starts, self.last, self.met = self.starts + 1, now, wanted

    def all_run(self, wanted: DeploymentSpec, now: float) -> None:
        self.met = wanted
        if now - self.last >= STABLE_SECONDS:
            self.starts = 0


@dataclass
class Service:
    """The one service of a registry.

    environment: variables for all models' scripts
    restart: whether an instance that ends unasked is started again
    most_instances: how many of one model may be asked for
    clock: seconds, for the pauses between restarts

    What is wanted is written down before it is done, so a service that is started anew goes on where the last one was.
    """

    queue: RequestQueue
    registry: Registry
    deployer: Deployer
    store: ModelStore
    notes: StateStore
    environment: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    most_instances: int = 100
    clock: Callable[[], float] = monotonic
    _pace: dict[Model, Pace] = field(default_factory=dict, init=False)
    _under_way: dict[Model, Future[None]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._wants = DesiredState(self.notes, self.environment)
        self._rollouts = Rollouts(
            self.notes,
            self.registry,
            self.deployer,
            self.store,
            self._wants,
            self._answer,
            self.most_instances,
            self.clock,
        )

    def run(self, stopping: Callable[[], bool], *, leave_running: bool = False, tell: Tell = nothing) -> None:
        """Serve until `stopping()`; then end all instances, unless they are to be left running.

        tell: called with "leading" when this is the one service, and with "waiting" when it waits to become that

        What is wanted stays written down in either case. Where one service can take over from another, this one waits
        until it may; else it raises DeployError if another service runs.
        """
        with ThreadPoolExecutor(8, "deployment") as pool:
            while True:
                try:
                    self._lead(pool, stopping, leave_running, tell)
                except ConnectionError as error:  # what runs goes on
                    log.warning("%s", error)
                if stopping():
                    return
                sleep(TICK_SECONDS)

    def _lead(self, pool: ThreadPoolExecutor, stopping: Callable[[], bool], leave_running: bool, tell: Tell) -> None:
        """Be the one service, until `stopping()` or until another is."""
        with self.notes.lead(stopping, tell) as leading:
            if not leading():
                return
            self.remember()
            tell("leading")
            try:
                while leading() and not stopping():
                    self._turn()
                    self.reconcile(pool)
                    self._roll()
            finally:
                wait(self._under_way.values())  # so that none starts what is now ended
            if not leading():
                log.warning("this service leads no longer; what it runs goes on")
            elif not leave_running:
                wait([pool.submit(self._keep, replace(wanted, instances=0)) for wanted in self._wants])

    def _turn(self) -> None:
        """Take one request, if there is one."""
        try:
            if item := self.queue.take(TICK_SECONDS):
                self.handle(item)
        except ConnectionError as error:
            log.warning("%s", error)
            sleep(TICK_SECONDS)
        except OSError:  # what runs goes on; perhaps the disk has room again next time
            log.exception("the queue can't be read, or a request can't be written down, which is lost then")
            sleep(TICK_SECONDS)

    def _roll(self) -> None:
        """Bring the rollouts a step further."""
        try:
            self._rollouts.step()
        except ConnectionError as error:
            log.warning("%s", error)
        except OSError:
            log.exception("the rollouts can't be read, or written down")

    def handle(self, item: Item) -> None:
        """Take note of a request; one that can't be met is refused, with the reason."""
        if item.data.strip() == b"null":  # Metron's client sends this for LIST
            log.debug("%s is null", item.name)
            return
        try:
            if len(item.data) > MOST_REQUEST_BYTES:
                raise ValueError(f"the request is larger than {MOST_REQUEST_BYTES:,} bytes")
            wanted = self._accepted(ModelRequest.from_json(item.data))
        except (ValueError, DeployError) as error:
            log.warning("request %s is refused: %s", item.name, error)
            self._answer(item.name, {"refused": str(error)})
            return
        self._wants.want(wanted)
        self._answer(item.name, {"wanted": wanted.instances})

    def _accepted(self, request: ModelRequest) -> DeploymentSpec:
        """What is wanted after a request.

        Raises ValueError or DeployError.
        """
        model = Model(
            validate_name(request.name or "", "model's name"), validate_name(request.version or "", "model's version")
        )
        if request.num_instances < 1:
            raise ValueError(f"{request.num_instances} instances are asked for")
        self._rollouts.refuse_if_under_way(model.name)
        before = self._wants.get(model)
        if request.action == "REMOVE":
            return self._less(model, before, request.num_instances)
        if request.action != "ADD":
            raise ValueError("the request has no action")
        if not 0 <= request.memory <= MOST_MEMORY:
            raise ValueError(f"memory {request.memory} is {'less than 0' if request.memory < 0 else 'too much'}")
        if not request.path:
            raise ValueError("the request does not say where the model's files are")
        if len(request.path) > MOST_PATH or not request.path.isprintable():
            raise ValueError(f"{request.path[:80]!r} can't be a path: it is too long, or has control characters in it")
        self.store.script(request.path)
        instances = request.num_instances + (before.instances if before else 0)
        if instances > self.most_instances:
            raise ValueError(f"{instances} instances would be more than the {self.most_instances} that are allowed")
        return DeploymentSpec(Deployment(model, request.path, request.memory, self.environment), instances)

    def _less(self, model: Model, before: DeploymentSpec | None, by: int) -> DeploymentSpec:
        if before is None:
            raise ValueError(f"there is no {model}")
        if by > before.instances:
            log.warning("%d instances less of %s are asked for; there are %d", by, model, before.instances)
        return replace(before, instances=max(0, before.instances - by))

    def remember(self) -> None:
        """Know again what was wanted when the last service ended, and what it was about to replace."""
        self._wants.remember()
        self._rollouts.remember()

    def _answer(self, request: str, answer: Note) -> None:
        self.notes.write(f"requests/{request}", answer)
        kind = request[:3]  # qn- or re-
        for old in [name for name in self.notes.names("requests") if name.startswith(kind)][:-REQUESTS_KEPT]:
            self.notes.write(f"requests/{old}", None)

    def reconcile(self, pool: ThreadPoolExecutor) -> None:
        """Begin what is needed so that as many run as are wanted; each model by itself, so none waits for another."""
        for wanted in self._wants:
            model = wanted.deployment.model
            if (under_way := self._under_way.get(model)) and not under_way.done():
                continue
            self._under_way[model] = pool.submit(self._keep, wanted)

    def _keep(self, wanted: DeploymentSpec) -> None:
        """Bring one model to what is wanted of it, if that may be done now."""
        model = wanted.deployment.model
        try:
            self._bring(wanted, self._pace.setdefault(model, Pace()))
        except DeployError as error:
            log.warning("%s", error)
            note_failure(self.notes, model, str(error))
        except ConnectionError as error:  # it is brought there when there is a connection again
            log.warning("%s: %s", model, error)
        except Exception:  # a deployer's fault must not end the service, nor go unseen
            log.exception("%s can't be brought to %d instances", model, wanted.instances)

    def _bring(self, wanted: DeploymentSpec, pace: Pace) -> None:
        running = self.deployer.running(wanted.deployment.model)
        if running == wanted.instances:
            pace.all_run(wanted, self.clock())
        elif running < wanted.instances and pace.met is wanted and not self.restart:
            self._wants.want(replace(wanted, instances=running))
            return
        elif running > wanted.instances or pace.may_start(wanted, self.clock()):
            pace.started(wanted, self.clock())
            self.deployer.scale(wanted.deployment, wanted.instances)
        if not wanted.instances:
            self._wants.forget(wanted)
            self._rollouts.forget(wanted.deployment.model.name)
