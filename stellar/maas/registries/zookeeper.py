"""The registry in ZooKeeper, laid out as Metron's own programs read and write it.

    /maas/service/<model>/<id>     a registration
    /maas/ext/...                  our own nodes; see stellar.maas.registries.extensions

A registration that ends with its owner is an ephemeral node: when the owner dies, ZooKeeper removes it as soon as the
owner's session times out.

How the view follows ZooKeeper: there are three watched trees (registrations, traffic plans, desired state) and one
thread, the follower.

1. A watch fires in kazoo's event thread. The tree marks the path and wakes the follower. It must not read there: a
   callback that waits holds up all later events.
2. The follower reads all marked registrations, and publishes one new view for all changes it finds.
3. In between it reads the plans and the desired state of every model with an instance that came, changed or left, even
   if no watch has fired for them. Within a session reads never go back in time, but events may be late; by reading
   these nodes after the registrations, a caller that sees an instance also sees the plan written before it, and a
   caller that no longer sees an instance also sees that its version was removed.
4. If a request fails, all trees are marked, and the follower tries again after a second. Until then the last view stays
   in use. A new connection also marks all trees, because kazoo drops the watches with the old one.
5. When the session was lost, the follower first registers the ephemeral nodes of this process again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from kazoo import exceptions as refusals
from kazoo.protocol.states import KazooState

from stellar.maas.registries.extensions import WANTED, parse_desired, parse_settings
from stellar.maas.registries.zookeeper_registrar import OwnNodes
from stellar.maas.registries.zookeeper_reports import ZooKeeperReports
from stellar.maas.registries.zookeeper_tree import WatchedTree
from stellar.maas.registry import BaseRegistry, Listener
from stellar.maas.reports import REPORTS
from stellar.maas.routing import TRAFFIC, TrafficPlan, parse_plan
from stellar.maas.schema import CONFIG_PATH, Model, ServiceInstance
from stellar.maas.snapshots import NO_SETTINGS, Key, Registration, Settings, validate_key
from stellar.maas.zookeeper import (
    SHORT_REQUEST_SECONDS,
    ZooKeeper,
    ZooKeeperSettings,
    read_config,
)
from stellar.net.breaker import CircuitBreakers
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)


class ZooKeeperRegistry(BaseRegistry):
    """A registry in ZooKeeper, which follows changes by watches, within milliseconds.

    where: hosts such as `node1:2181,node2:2181`, settings, or a connection that is shared with others
    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    config_path: path of the configuration node
    clock: monotonic seconds, for the grace period of `is_desired`

    While ZooKeeper can't be reached, the last known instances stay. An ephemeral registration is made again when the
    session was lost and a new one begins. In the child of a fork the first use opens a session of its own and reads
    everything again; if ZooKeeper can't be reached, it retries in the background.

    Raises ConnectionError if no server responds, ValueError if hosts, settings or configuration are invalid.
    """

    def __init__(
        self,
        where: ZooKeeper | ZooKeeperSettings | str,
        version_order: str = "natural",
        *,
        config_path: str = CONFIG_PATH,
        breakers: CircuitBreakers | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(version_order, breakers, clock)
        self._zookeeper = where if isinstance(where, ZooKeeper) else ZooKeeper(where)
        self._connection_is_ours = self._zookeeper is not where
        self._known: dict[Key, Registration] = {}  # with settings, as last read
        self._published: object = None  # values of the registration tree in the published view
        self._are_settings_denied = False
        self._reading = threading.RLock()  # for ZooKeeper, not for reading the view
        self._awake = threading.Event()
        self._closed = False
        self._is_inherited = False  # from the parent of a fork, and not yet read again
        self._last_error = ""
        self._follower: threading.Thread | None = None
        try:
            config = read_config(self._zookeeper, config_path)
            ext = config.ext_root
            self._own = OwnNodes(self._zookeeper, config)
            self._reports = ZooKeeperReports(self._zookeeper, f"{ext}/{REPORTS}")
            self._registrations = self._tree(config.service_root, 2, _parse_registration)
            self._plan_nodes = self._tree(f"{ext}/{TRAFFIC}", 1, parse_plan, optional=True)
            self._desired_nodes = self._tree(f"{ext}/{WANTED}", 2, parse_desired, optional=True)
            self._zookeeper.listen(self._connection_changed)
            self._read_changes()
        except BaseException:
            self._leave()
            raise
        self._start_follower()
        reset_after_fork(self)

    @property
    def connection(self) -> ZooKeeper:
        """The connection, which may be shared."""
        return self._zookeeper

    @property
    def reports(self) -> ZooKeeperReports:
        return self._reports

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        self._update_view()
        with self._reading:
            self._read_own_change(self._own.register(instance, settings))
        self._notify_listeners()

    def unregister(self, name: str, id: str) -> None:
        key = validate_key(name, id)
        self._update_view()
        with self._reading:
            self._own.unregister(key)
            self._read_own_change(key)
        self._notify_listeners()

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._update_view()
        return super().listen(listener)

    def close(self) -> None:
        super().close()
        self._closed = True
        self._awake.set()
        if self._follower is not None and self._follower is not threading.current_thread():
            self._follower.join()
        self._reports.close()
        with self._reading:
            self._own.remove_all()
        self._leave()

    def after_fork(self) -> None:
        super().after_fork()
        self._reading, self._awake = threading.RLock(), threading.Event()
        self._follower = None
        self._own.owned = {}  # the registrations are the parent's
        self._is_inherited = True
        self._published = None
        for tree in self._trees:
            tree.after_fork()

    def _leave(self) -> None:
        self._zookeeper.stop_listening(self._connection_changed)
        if self._connection_is_ours:
            self._zookeeper.close()

    # --- reading

    @property
    def _trees(self) -> tuple[WatchedTree[Any], ...]:
        return self._registrations, self._plan_nodes, self._desired_nodes

    def _tree(
        self, root: str, depth: int, parse: Callable[[str, bytes], Any], *, optional: bool = False
    ) -> WatchedTree[Any]:
        return WatchedTree(self._zookeeper, root, depth, parse, self._wake, optional=optional)

    def _wake(self) -> None:
        self._awake.set()

    def _connection_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:  # all watches are gone
            for tree in self._trees:
                tree.mark_all()
            self._awake.set()

    def _update_view(self) -> None:
        """Read everything again before the first use in the child of a fork."""
        if not self._is_inherited or self._closed:
            return
        with self._reading:
            if self._is_inherited:
                try:
                    self._read_changes()
                except OSError as error:  # the last view stays in use
                    self._report(error)
                    self._awake.set()  # the follower retries
                self._start_follower()
                self._is_inherited = False
        self._notify_listeners()

    def _start_follower(self) -> None:
        self._follower = threading.Thread(target=self._follow, name="model registry", daemon=True)
        self._follower.start()

    def _follow(self) -> None:
        while not self._closed:
            self._awake.wait()
            self._awake.clear()
            try:
                if not self._closed and self._zookeeper.is_connected:
                    with self._reading:
                        self._own.renew()
                    self._read_changes()
                    self._last_error = ""
            except OSError as error:  # the last view stays in use
                self._report(error)
                time.sleep(SHORT_REQUEST_SECONDS)
                self._awake.set()
            except Exception:  # the follower must survive, to follow later changes
                log.exception("can't read a change of the model registry")
            self._notify_listeners()

    def _report(self, error: OSError) -> None:
        if str(error) != self._last_error:
            log.warning("can't read the model registry: %s", error)
        self._last_error = str(error)

    def _read_own_change(self, key: Key) -> None:
        """Read a change that this object made; without a connection, leave it to the follower."""
        self._registrations.mark(key)
        try:
            self._read_changes()
        except ConnectionError:
            self._awake.set()

    def _read_changes(self) -> None:
        """Read and publish all changes; see the module's docstring for the order."""
        with self._reading:
            try:
                found = self._registrations.read()
                changes = {} if found is self._published else self._snapshot.changes_to(self._with_settings(found))
                self._mark_extensions(changes)
                plans, desired = self._read_plans(), self._read_desired()
                self._own.forget_unregistered(found.__contains__)
            except BaseException:
                for tree in self._trees:
                    tree.mark_all()
                raise
            self._publish(changes, plans, desired)
            self._published = found

    def _mark_extensions(self, changes: Mapping[Key, Registration | None]) -> None:
        before = (self._snapshot.registrations.get(key) for key in changes)
        for name in {each.instance.model.name for each in (*changes.values(), *before) if each is not None}:
            self._plan_nodes.mark_below(name)
            self._desired_nodes.mark_below(name)

    def _read_plans(self) -> dict[str, TrafficPlan]:
        return {name: plan for (name,), plan in self._plan_nodes.read().items() if plan is not None}

    def _read_desired(self) -> dict[Model, int | None] | None:
        """Return the desired state by version, None for an unreadable version; None if the tree is unreadable."""
        read = self._desired_nodes.read()
        denied = dict.fromkeys(self._desired_nodes.denied)  # unreadable does not mean removed
        if any(len(path) < 2 for path in denied):
            return None
        return {Model(name, version): instances for (name, version), instances in (read | denied).items()}

    def _with_settings(self, found: Mapping[tuple[str, ...], ServiceInstance | None]) -> dict[Key, Registration]:
        """Add the settings to valid registrations; they are read last, because their owners write them first."""
        valid = {(name, id): instance for (name, id), instance in found.items() if instance is not None}
        known = {key: each for key, each in self._known.items() if valid.get(key) is each.instance}
        new = [key for key in valid if key not in known]
        requests = [(key, self._zookeeper.begin("get", self._own.settings_path(key))) for key in new]
        read = {key: Registration(valid[key], self._settings_in(key, request)) for key, request in requests}
        self._known = known | read
        return self._known

    def _settings_in(self, key: Key, request: Any) -> Settings:
        try:
            return parse_settings(self._own.settings_path(key), self._zookeeper.end(request)[0])
        except refusals.NoNodeError:
            return NO_SETTINGS
        except PermissionError as error:
            if not self._are_settings_denied:
                log.warning("can't read %s; instances have no settings: %s", self._own.settings_root, error)
            self._are_settings_denied = True
            return NO_SETTINGS


def _parse_registration(path: str, data: bytes) -> ServiceInstance | None:
    try:
        return ServiceInstance.from_json(data)
    except ValueError as error:
        log.warning("invalid registration %s is ignored: %s", path, error)
        return None
