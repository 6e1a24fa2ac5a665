"""The registrations of one process in ZooKeeper.

A process that only registers, such as a runner, needs nothing else. It watches its own nodes, not the others: so a
change costs one event, rather than one in every runner.

An ephemeral node ends with its session. If the session was lost, because the process was paused or disconnected, the
node is written again in the new one. If the node is gone although its session lives, another client removed it on
purpose, and it is not written again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from kazoo import exceptions as refusals
from kazoo.protocol.states import KazooState

from stellar.maas.registries.extensions import INSTANCES, encode_settings
from stellar.maas.schema import CONFIG_PATH, MaaSConfig, ServiceInstance
from stellar.maas.snapshots import Key, validate_key
from stellar.maas.zookeeper import (
    SHORT_REQUEST_SECONDS,
    ZooKeeper,
    ZooKeeperSettings,
    read_config,
    retry_while_disconnected,
)
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)


class _Owned(NamedTuple):
    """An ephemeral registration of this process, its settings, and the session in which it was created."""

    data: bytes
    settings: bytes | None
    session: int | None


class OwnNodes:
    """The nodes of this process's registrations. Not thread-safe."""

    def __init__(self, zookeeper: ZooKeeper, config: MaaSConfig) -> None:
        self._zookeeper = zookeeper
        self.root, self.settings_root = config.service_root, f"{config.ext_root}/{INSTANCES}"
        self.owned: dict[Key, _Owned] = {}

    def path(self, key: Key) -> str:
        """Return the path of a registration."""
        return "/".join((self.root, *key))

    def settings_path(self, key: Key) -> str:
        """Return the path of an instance's settings."""
        return "/".join((self.settings_root, *key))

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None) -> Key:
        """Write a registration and its settings; an ephemeral one is owned by this process. Return its key.

        Raises ValueError or OSError.
        """
        key = validate_key(instance.name, instance.id)
        owned = _Owned(instance.to_json(), encode_settings(settings), None)
        session = retry_while_disconnected(lambda: self._write(key, owned, lasting=instance.lasting))
        self.owned.pop(key, None)
        if not instance.lasting:
            self.owned[key] = owned._replace(session=session)
        return key

    def unregister(self, key: Key) -> None:
        """Remove a registration, of any process, and its settings. Raises OSError."""
        self.owned.pop(key, None)
        self._delete(key)

    def renew(self) -> None:
        """Write the registrations again whose session was lost. Raises OSError."""
        for key, owned in list(self.owned.items()):
            if owned.session != self._zookeeper.session:
                self.owned[key] = owned._replace(session=self._write(key, owned, lasting=False))
                log.info("registered %s again", self.path(key))

    def forget_unregistered(self, is_registered: Callable[[Key], bool]) -> None:
        """Forget registrations that are gone although their session lives: another client removed them."""
        for key, owned in list(self.owned.items()):
            if not is_registered(key) and owned.session == self._zookeeper.session:
                del self.owned[key]
                if owned.settings is not None:
                    self._delete_settings(key)

    def remove_all(self) -> None:
        """Remove the registrations of this process; those that remain end with the session."""
        try:
            for key in self.owned:
                self._delete(key)
        except OSError as error:
            log.info("registrations are removed with the session only: %s", error)
        self.owned.clear()

    def _write(self, key: Key, owned: _Owned, *, lasting: bool) -> int | None:
        """Write the settings, then the registration; return the session in which they were written."""
        session = self._zookeeper.session
        if owned.settings is None:
            self._delete_settings(key)
        else:
            self._create(self.settings_path(key), owned.settings, lasting=lasting)
        self._create(self.path(key), owned.data, lasting=lasting)
        return session

    def _create(self, path: str, data: bytes, *, lasting: bool) -> None:
        """Create a node with its data in one step; replace an existing one."""
        for _ in range(10):
            try:
                self._zookeeper.request("create", path, data, ephemeral=not lasting, makepath=True)
            except refusals.NodeExistsError:
                self._zookeeper.delete(path)  # created, not changed: so Metron's readers notice
            else:
                return
        raise OSError(f"can't create {path}: another client keeps creating it")

    def _delete(self, key: Key) -> None:
        self._zookeeper.delete(self.path(key), SHORT_REQUEST_SECONDS)
        self._delete_settings(key)

    def _delete_settings(self, key: Key) -> None:
        """Remove the settings, if they exist; a missing permission is logged, as it must not prevent registering."""
        path = self.settings_path(key)
        try:
            if self._zookeeper.request("exists", path, seconds=SHORT_REQUEST_SECONDS):
                self._zookeeper.delete(path, SHORT_REQUEST_SECONDS)
        except PermissionError as error:
            log.warning("can't remove the settings %s: %s", path, error)


class ZooKeeperRegistrar:
    """The registrations of this process in ZooKeeper; they end when it is closed, or with the process's session.

    where: hosts such as `node1:2181,node2:2181`, settings, or a connection that is shared with others
    config_path: path of the configuration node

    Thread-safe. In the child of a fork the registrations remain the parent's.

    Raises ConnectionError if no server responds, ValueError if hosts, settings or configuration are invalid.
    """

    def __init__(self, where: ZooKeeper | ZooKeeperSettings | str, *, config_path: str = CONFIG_PATH) -> None:
        self._zookeeper = where if isinstance(where, ZooKeeper) else ZooKeeper(where)
        self._connection_is_ours = self._zookeeper is not where
        self._writing = threading.Lock()
        self._awake = threading.Event()
        self._closed = False
        self._renewer: threading.Thread | None = None
        try:
            self._nodes = OwnNodes(self._zookeeper, read_config(self._zookeeper, config_path))
        except BaseException:
            if self._connection_is_ours:
                self._zookeeper.close()
            raise
        self._zookeeper.listen(self._connection_changed)
        reset_after_fork(self)

    @property
    def connection(self) -> ZooKeeper:
        """The connection, which may be shared."""
        return self._zookeeper

    def register(self, instance: ServiceInstance, settings: Mapping[str, Any] | None = None) -> None:
        """Register an instance, as `Registry.register` does."""
        with self._writing:
            key = self._nodes.register(instance, settings)
            if key in self._nodes.owned and self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="registrations", daemon=True)
                self._renewer.start()
        self._awake.set()  # to watch the node

    def unregister(self, name: str, id: str) -> None:
        """Remove an instance and its settings, if it exists."""
        with self._writing:
            self._nodes.unregister(validate_key(name, id))

    def close(self) -> None:
        """Remove the registrations made by this object."""
        self._closed = True
        self._awake.set()
        if self._renewer is not None:
            self._renewer.join()
        with self._writing:
            self._nodes.remove_all()
        self._zookeeper.stop_listening(self._connection_changed)
        if self._connection_is_ours:
            self._zookeeper.close()

    def after_fork(self) -> None:
        self._writing, self._awake = threading.Lock(), threading.Event()
        self._renewer = None
        self._nodes.owned = {}  # the registrations are the parent's

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _connection_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:  # perhaps in a new session; all watches are gone
            self._awake.set()

    def _renew(self) -> None:
        """Write lost registrations again, and watch all of them, whenever one or the connection has changed."""
        while not self._closed:
            self._awake.wait()
            self._awake.clear()
            try:
                if not self._closed and self._zookeeper.is_connected:
                    with self._writing:
                        self._nodes.renew()
                        self._nodes.forget_unregistered(self._is_registered)
            except OSError as error:
                log.warning("can't renew the registrations, retrying: %s", error)
                self._awake_later()
            except Exception:  # the thread must survive, to renew later
                log.exception("can't renew the registrations")
                self._awake_later()

    def _awake_later(self) -> None:
        timer = threading.Timer(SHORT_REQUEST_SECONDS, self._awake.set)
        timer.daemon = True
        timer.start()

    def _is_registered(self, key: Key) -> bool:
        """Return whether a registration exists, and watch it."""
        return self._zookeeper.request("exists", self._nodes.path(key), watch=self._on_event) is not None

    def _on_event(self, event: object) -> None:
        self._awake.set()
