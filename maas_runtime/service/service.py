"""The service: turns requests into the desired state and reconciles the running instances with it.

One service leads; others on the same ZooKeeper wait for its end. A turn of the leader does three jobs:

1. Handle the requests in the queue. ADD and REMOVE change the desired number of instances of a model version. The new
   desired state is stored, the result is recorded for `maas deploy` to read, and the request is removed from the queue,
   all in one step. So a request is handled exactly once, even if the service is killed at any moment. (A directory
   cannot change several files at once. There the desired state is stored first, with the id of the request, by which
   a repeated attempt is recognized.) Instances start from an immutable copy of the model's files. If the request does
   not name one, the files are copied first; meanwhile later requests for the same model wait, and others go on.
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
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic, sleep

from maas_runtime.deployers import Deployer, Deployment
from maas_runtime.errors import DeployError
from maas_runtime.runner.samples import parse_warm_up
from maas_runtime.service.desired_state import MAX_GPUS, DeploymentSpec, DesiredState
from maas_runtime.service.rollouts import Rollouts
from maas_runtime.state.store import JsonObject, Notify, StateStore, ignore_status, try_record_failure
from maas_runtime.store.base import ModelStore, require_uploaded
from stellar.maas.registry import Registry
from stellar.maas.requests import Item, RequestQueue
from stellar.maas.schema import Model, ModelRequest, read_json, validate_name

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
STABLE_SECONDS = 60.0  # an instance that ran this long restarts without back-off
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 60.0
MAX_RESULTS = 200
COPY_SECONDS = 0.1  # between checks whether a copy of a model's files is complete
SETTLE_SECONDS = 2.0  # for the agents of other hosts, after the store lost its data
MAX_REQUEST_BYTES, MAX_NOTE_BYTES, MAX_PATH, MAX_MEMORY = 65_536, 65_536, 4096, 1 << 24  # well above any real request
OLD_NOTE_SECONDS = 86_400.0  # after which a note goes whose request another service took
NOTES_SECONDS = 3600.0  # between checks for old notes
MARKER = "stored"  # exists unless the store lost its data


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
    store_name: name of the model store, for messages
    stored, rejected: numbers of requests that were handled
    is_leading: True while this service leads
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
    store_name: str = ""
    _backoffs: dict[Model, RestartBackoff] = field(default_factory=dict, init=False)
    _reconciling: dict[Model, Future[None]] = field(default_factory=dict, init=False)
    _copies: dict[str, Future[str]] = field(default_factory=dict, init=False)
    stored: int = field(default=0, init=False)
    rejected: int = field(default=0, init=False)
    is_leading: bool = field(default=False, init=False)
    _last_turn: float | None = field(default=None, init=False)
    _notes_checked: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self._copying = ThreadPoolExecutor(2, "copy of a model")
        self._view = self.state_store.follow("wanted", 2, lambda: None)
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
            self.store_name,
        )

    def run(self, stopping: Callable[[], bool], *, leave_running: bool = False, notify: Notify = ignore_status) -> None:
        """Serve until `stopping()` returns True; then end all instances, unless `leave_running`.

        notify: called with "leading" when this service leads, and with "waiting" when it waits for another one to end

        The desired state stays stored in either case.
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
            self._last_turn = self.clock()
            self.is_leading = True
            notify("leading")
            try:
                while leading() and not stopping():
                    self._take_turn(pool)
            finally:
                self.is_leading = False
                wait(self._reconciling.values())  # else a task could start an instance that is ended below
            if not leading():
                log.warning("leadership lost; the instances go on")
            elif not leave_running:
                wait([pool.submit(self._reconcile_model, replace(spec, instances=0)) for spec in self._desired])

    def _take_turn(self, pool: ThreadPoolExecutor) -> None:
        """Handle the requests that wait, then reconcile."""
        try:
            is_waiting = self.handle_requests()
            self.restore()
            self._remove_old_notes()
        except ConnectionError as error:
            log.warning("%s", error)
            sleep(TICK_SECONDS)
        except OSError:  # such as a full disk; the requests stay in the queue
            log.exception("cannot read the queue or store a request; retrying")
            sleep(TICK_SECONDS)
        else:
            sleep(COPY_SECONDS) if is_waiting else self.queue.wait(TICK_SECONDS)
        self.reconcile(pool)
        self.advance_rollouts()
        self._last_turn = self.clock()

    @property
    def seconds_since_turn(self) -> float:
        """The time since the last turn; 0 before the first one."""
        return 0.0 if self._last_turn is None else self.clock() - self._last_turn

    def _remove_old_notes(self) -> None:
        if self.clock() - self._notes_checked >= NOTES_SECONDS:
            self._notes_checked = self.clock()
            self.queue.remove_old_notes(OLD_NOTE_SECONDS)

    def handle_requests(self) -> bool:
        """Handle the requests in the queue, in order; return True if some wait for a copy of their files."""
        waiting: set[str] = set()
        for item in self.queue.items():
            name = _peek_name(item.data)
            if name not in waiting and not self.handle(item):
                waiting.add(name)
        return bool(waiting)

    def advance_rollouts(self) -> None:
        """Advance all rollouts by one step."""
        try:
            self._rollouts.step()
        except ConnectionError as error:
            log.warning("%s", error)
        except OSError:
            log.exception("cannot read or store the rollouts")

    def handle(self, item: Item) -> bool:
        """Store the desired state after a request, or reject the request with the reason.

        Returns False if the request waits for a copy of its files. Raises OSError if it cannot be stored.
        """
        if item.data.strip() == b"null":  # Metron's client sends this for LIST
            log.debug("%s is null", item.name)
            item.discard()
            return True
        if self.state_store.read(f"requests/{item.id}") is not None:  # stored by an earlier attempt
            item.discard()
            return True
        result: JsonObject = {}
        try:
            note = _read_note(item)
            result = {"token": note["token"]} if note.get("token") else {}
            spec = self._apply_request(_read_request(item), note, item.id)
        except (ValueError, DeployError) as error:
            log.warning("request %s rejected: %s", item.name, error)
            self._copies.pop(item.id, None)
            self.state_store.commit({f"requests/{item.id}": {"refused": str(error), **result}}, item)
            self._remove_old_results("qn-")
            self.rejected += 1
            return True
        if spec is None:
            return False
        self._copies.pop(item.id, None)
        self._desired.commit(spec, {f"requests/{item.id}": {"wanted": spec.instances, **result}}, item)
        self._remove_old_results("qn-")
        self.stored += 1
        return True

    def _apply_request(self, request: ModelRequest, note: JsonObject, id: str) -> DeploymentSpec | None:
        """Return the specification after a request; None if its files are being copied.

        Raises ValueError or DeployError for an invalid request.
        """
        model = Model(
            validate_name(request.name or "", "model's name"), validate_name(request.version or "", "model's version")
        )
        if request.num_instances < 1:
            raise ValueError(f"invalid number of instances {request.num_instances}: expected at least 1")
        self._rollouts.require_no_rollout(model.name)
        before = self._desired.get(model)
        if before is not None and before.request == id:  # stored by an earlier attempt, which did not finish
            return before
        if request.action == "REMOVE":
            return replace(self._scale_down(model, before, request.num_instances), request=id)
        if request.action != "ADD":
            raise ValueError("missing action: expected ADD or REMOVE")
        path = self._validate_files(request)
        instances = request.num_instances + (before.instances if before else 0)
        if instances > self.max_instances:
            raise ValueError(
                f"too many instances: {instances}, expected at most {self.max_instances} (--max-instances)"
            )
        if (content := self._find_content(path, note, before, id)) is None:
            return None
        if before and before.instances and before.deployment.content not in ("", content):
            raise ValueError(
                f"{model} runs with other files; deploy them as another version, or replace it with --replace"
            )
        warm_up = _read_warm_up(note, before)
        gpus = _read_gpus(note, before)
        deployment = Deployment(model, path, request.memory, self.environment, content, warm_up=warm_up, gpus=gpus)
        return DeploymentSpec(deployment, instances, id)

    def _find_content(self, path: str, note: JsonObject, before: DeploymentSpec | None, id: str) -> str | None:
        """Return the immutable copy of a request's files; None while it is being made.

        More instances of a version that runs use its files, whatever was uploaded to the path since.
        """
        if uploaded := note.get("content"):
            return self._require_uploaded(uploaded, note)
        if before and before.instances and before.deployment.path == path and before.deployment.content:
            return before.deployment.content
        if id not in self._copies:
            self._copies[id] = self._copying.submit(self.store.snapshot, path)
        with suppress(TimeoutError):
            return self._copies[id].result(COPY_SECONDS)
        return None

    def _require_uploaded(self, content: object, note: JsonObject) -> str:
        if not isinstance(content, str):
            raise ValueError(f"content in the request's note: expected a string, got {str(content)[:80]!r}")
        require_uploaded(self.store, content, str(note.get("store"))[:200], self.store_name)
        return content

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
        return request.path

    def _scale_down(self, model: Model, before: DeploymentSpec | None, by: int) -> DeploymentSpec:
        if before is None:
            raise ValueError(f"{model} is not deployed")
        if by > before.instances:
            log.warning("request to remove %d instances of %s, which has %d", by, model, before.instances)
        return replace(before, instances=max(0, before.instances - by))

    def load(self) -> None:
        """Read the desired state and the rollouts that the previous service stored.

        If the store lost its data, this service's memory is used, and the instances that run.
        """
        self.deployer.begin()
        was_lost = self.state_store.read(MARKER) is None
        self._desired.load(keep=was_lost)
        self._rollouts.load()
        if was_lost:
            if self.state_store.is_shared:
                sleep(SETTLE_SECONDS)  # for the agents of other hosts to store their assignments again
            self.restore()
            self.state_store.write(MARKER, {})

    def restore(self) -> None:
        """Store deleted specifications again, and those of instances whose assignment was stored again."""
        self._desired.restore(self._view)
        for deployment in self.deployer.take_restored():
            running, spec = self.deployer.running(deployment.model), self._desired.get(deployment.model)
            if spec is not None and spec.instances >= running:
                continue
            log.warning("%s: the desired state is restored from %d instances that run", deployment.model, running)
            restored = spec.deployment if spec else replace(deployment, environment=self.environment)
            self._desired.set(DeploymentSpec(restored, running))

    def _record_result(self, request: str, result: JsonObject) -> None:
        self.state_store.write(f"requests/{request}", result)
        self._remove_old_results("re-")

    def _remove_old_results(self, kind: str) -> None:
        """Remove all but the last results of requests in the queue (`qn-`) or of replace requests (`re-`)."""
        names = [name for name in self.state_store.names("requests") if kind in name]
        for old in sorted(names, key=_time_of_result)[:-MAX_RESULTS]:
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


def _read_request(item: Item) -> ModelRequest:
    if len(item.data) > MAX_REQUEST_BYTES:
        raise ValueError(f"request too large: expected at most {MAX_REQUEST_BYTES:,} bytes")
    return ModelRequest.from_json(item.data)


def _read_note(item: Item) -> JsonObject:
    """Return the note of an item, or an empty object.

    Raises ValueError for an invalid note.
    """
    if item.note is None:
        return {}
    if len(item.note) > MAX_NOTE_BYTES:
        raise ValueError(f"the request's note is too large: expected at most {MAX_NOTE_BYTES:,} bytes")
    try:
        note = read_json(item.note)
    except ValueError as error:
        raise ValueError(f"the request's note is invalid: {error}") from None
    if not isinstance(note, dict) or not isinstance(note.get("token", ""), str):
        raise ValueError("the request's note is invalid: expected a JSON object with a token")
    return note


def _peek_name(data: bytes) -> str:
    """Return the name of the model in a request, or an empty string if it is invalid."""
    try:
        return ModelRequest.from_json(data[:MAX_REQUEST_BYTES]).name or ""
    except ValueError:
        return ""


def _time_of_result(name: str) -> tuple[int, str]:
    number = name.removeprefix("re-").partition("-")[0]
    return (int(number) if number.isdecimal() else 0, name)


def _read_gpus(note: JsonObject, before: DeploymentSpec | None) -> int:
    """Return the number of GPUs for an instance in a request's note; by default, that of the version so far.

    Raises ValueError for an invalid number.
    """
    if (gpus := note.get("gpus")) is None:
        return before.deployment.gpus if before else 0
    if type(gpus) is not int or not 0 <= gpus <= MAX_GPUS:
        raise ValueError(f"gpus in the request's note: expected 0 to {MAX_GPUS}, got {str(gpus)[:80]}")
    return gpus


def _read_warm_up(note: JsonObject, before: DeploymentSpec | None) -> tuple[str, ...]:
    """Return the warm-up requests of a note, or those of the deployment that it extends.

    Raises ValueError for invalid ones.
    """
    if (warm_up := note.get("warm_up")) is None:
        return before.deployment.warm_up if before else ()
    if not isinstance(warm_up, list) or not all(isinstance(query, str) for query in warm_up):
        raise ValueError("warm_up in the request's note: expected an array of strings")
    parse_warm_up(warm_up)
    return tuple(warm_up)
