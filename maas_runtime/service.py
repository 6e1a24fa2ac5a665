"""Takes requests from the queue and keeps as many instances running as are wanted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from time import monotonic, sleep

from maas_runtime.deployers import Deployer, Deployment
from maas_runtime.errors import DeployError
from maas_runtime.notes import Notes, Tell, failures_of, note_failure, nothing
from maas_runtime.store import ModelStore
from stellar.maas.requests import Item, RequestQueue
from stellar.maas.schema import Model, ModelRequest, checked_name

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
STABLE_SECONDS = 60.0  # what ran so long is started again at once
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
REQUESTS_KEPT = 200


@dataclass(frozen=True)
class Wanted:
    """How many instances of a deployment there shall be."""

    deployment: Deployment
    instances: int


@dataclass
class Pace:
    """When a model that keeps failing may be started again: after 1, 2, 4 … 60 seconds.

    met: what was wanted when it was last brought to what was wanted; something new is done at once
    """

    starts: int = 0
    last: float = 0.0
    met: Wanted | None = None

    def may_start(self, wanted: Wanted, now: float) -> bool:
        if self.met is not wanted:
            self.starts = 0
        return not self.starts or now - self.last >= min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.starts - 1, 10))

    def started(self, wanted: Wanted, now: float) -> None:
        self.starts, self.last, self.met = self.starts + 1, now, wanted

    def all_run(self, wanted: Wanted, now: float) -> None:
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
    deployer: Deployer
    store: ModelStore
    notes: Notes
    environment: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    most_instances: int = 100
    clock: Callable[[], float] = monotonic
    _wanted: dict[Model, Wanted] = field(default_factory=dict, init=False)
    _pace: dict[Model, Pace] = field(default_factory=dict, init=False)
    _changing: threading.Lock = field(default_factory=threading.Lock, init=False)
    _under_way: dict[Model, Future[None]] = field(default_factory=dict, init=False)

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
            self._remember()
            tell("leading")
            try:
                while leading() and not stopping():
                    self._turn()
                    self.reconcile(pool)
            finally:
                wait(self._under_way.values())  # so that none starts what is now ended
            if not leading():
                log.warning("this service leads no longer; what it runs goes on")
            elif not leave_running:
                wait([pool.submit(self._keep, replace(wanted, instances=0)) for wanted in self._wanted.values()])

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

    def handle(self, item: Item) -> None:
        """Take note of a request; one that can't be met is refused, with the reason."""
        if item.data.strip() == b"null":  # Metron's client sends this for LIST
            log.debug("%s is null", item.name)
            return
        try:
            wanted = self._accepted(ModelRequest.from_json(item.data))
        except (ValueError, DeployError) as error:
            log.warning("request %s is refused: %s", item.name, error)
            self._answer(item, {"refused": str(error)})
            return
        self._want(wanted)
        self._answer(item, {"wanted": wanted.instances})

    def _accepted(self, request: ModelRequest) -> Wanted:
        """What is wanted after a request.

        Raises ValueError or DeployError.
        """
        model = Model(
            checked_name(request.name or "", "model's name"), checked_name(request.version or "", "model's version")
        )
        if request.num_instances < 1:
            raise ValueError(f"{request.num_instances} instances are asked for")
        before = self._wanted.get(model)
        if request.action == "REMOVE":
            return self._less(model, before, request.num_instances)
        if request.action != "ADD":
            raise ValueError("the request has no action")
        if request.memory < 0:
            raise ValueError(f"memory {request.memory} is less than 0")
        if not request.path:
            raise ValueError("the request does not say where the model's files are")
        self.store.script(request.path)
        instances = request.num_instances + (before.instances if before else 0)
        if instances > self.most_instances:
            raise ValueError(f"{instances} instances would be more than the {self.most_instances} that are allowed")
        return Wanted(Deployment(model, request.path, request.memory, self.environment), instances)

    def _less(self, model: Model, before: Wanted | None, by: int) -> Wanted:
        if before is None:
            raise ValueError(f"there is no {model}")
        if by > before.instances:
            log.warning("%d instances less of %s are asked for; there are %d", by, model, before.instances)
        return replace(before, instances=max(0, before.instances - by))

    def _want(self, wanted: Wanted) -> None:
        """From now on there shall be so many."""
        deployment = wanted.deployment
        note = {"instances": wanted.instances, "path": deployment.path, "memory": deployment.memory}
        with self._changing:
            self.notes.write(_note_path(deployment.model), note)
            self._wanted[deployment.model] = wanted
        log.info("%s: %d instances are wanted", deployment.model, wanted.instances)

    def _forget(self, wanted: Wanted) -> None:
        """The last instance of a removed model is gone."""
        model = wanted.deployment.model
        with self._changing:
            if self._wanted.get(model) is wanted:  # or it was asked for again meanwhile
                self.notes.write(_note_path(model), None)
                self.notes.write(failures_of(model), None)
                del self._wanted[model]

    def _remember(self) -> None:
        """Know again what was wanted when the last service ended."""
        self._wanted.clear()
        for name in self.notes.names("wanted"):
            for version in self.notes.names(f"wanted/{name}"):
                model = Model(name, version)
                try:
                    note = self.notes.read(_note_path(model)) or {}
                    deployment = Deployment(model, note["path"], note["memory"], self.environment)
                    self._wanted[model] = Wanted(deployment, note["instances"])
                except (KeyError, ValueError):
                    log.exception("what was wanted of %s can't be read, so it is left alone", model)

    def _answer(self, item: Item, answer: dict[str, object]) -> None:
        self.notes.write(f"requests/{item.name}", answer)
        for old in self.notes.names("requests")[:-REQUESTS_KEPT]:
            self.notes.write(f"requests/{old}", None)

    def reconcile(self, pool: ThreadPoolExecutor) -> None:
        """Begin what is needed so that as many run as are wanted; each model by itself, so none waits for another."""
        for model, wanted in list(self._wanted.items()):
            if (under_way := self._under_way.get(model)) and not under_way.done():
                continue
            self._under_way[model] = pool.submit(self._keep, wanted)

    def _keep(self, wanted: Wanted) -> None:
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

    def _bring(self, wanted: Wanted, pace: Pace) -> None:
        running = self.deployer.running(wanted.deployment.model)
        if running == wanted.instances:
            pace.all_run(wanted, self.clock())
        elif running < wanted.instances and pace.met is wanted and not self.restart:
            self._want(replace(wanted, instances=running))
            return
        elif running > wanted.instances or pace.may_start(wanted, self.clock()):
            pace.started(wanted, self.clock())
            self.deployer.scale(wanted.deployment, wanted.instances)
        if not wanted.instances:
            self._forget(wanted)


def _note_path(model: Model) -> str:
    return f"wanted/{model.name}/{model.version}"
