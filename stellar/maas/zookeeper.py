"""The registry and the request queue in ZooKeeper, laid out as Metron's own programs read and write them.

    /metron/maas/config            where the other two are; may be absent
    /maas/queue/qn-0000000001      a request
    /maas/service/<model>/<id>     a registration
    /maas/ext/traffic/<model>      a traffic plan; see stellar.maas.traffic

A registration that ends with its owner is an ephemeral node: when the owner dies, ZooKeeper takes it away as soon as
the owner's session has timed out.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar

from kazoo import exceptions as refusals
from kazoo.client import KazooClient
from kazoo.hosts import collect_hosts
from kazoo.protocol.states import KazooState, KeeperState, WatchedEvent
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

from stellar.maas.reading import read_object
from stellar.maas.registry import KnownInstances, Quarantine
from stellar.maas.requests import ITEM_PREFIX, Item
from stellar.maas.schema import (
    CONFIG_PATH,
    MaaSConfig,
    ModelRequest,
    ServiceInstance,
    checked_name,
    read_json,
)
from stellar.maas.traffic import TRAFFIC, TrafficPlan, checked_plan

log = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 5.0
BRIEF_SECONDS = 1.0  # for what ZooKeeper does by itself in the end
SETTINGS_VARIABLE = "MAAS_ZK_CLIENT"

_ACLS = {
    "all": OPEN_ACL_UNSAFE,
    "read": [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE],
    "none": CREATOR_ALL_ACL,
}
# A connection that was lost is tried again at least every second: a session does not last much longer
_RECONNECT = {"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 1.0, "max_jitter": 0.2}

_CLOSED = (KeeperState.CLOSED, KeeperState.AUTH_FAILED)
_AWAY = (
    refusals.ConnectionLoss,
    refusals.SessionExpiredError,
    refusals.ConnectionClosedError,
    refusals.OperationTimeoutError,
)


@dataclass(frozen=True, kw_only=True)
class ZooKeeperSettings:
    """Where ZooKeeper is, and how to speak with it.

    hosts: `node1:2181,node2:2181`; a path at the end, `node1:2181/metron`, stands before all others
    session_seconds: what we registered is taken away after so long without a sign of life from us; the servers keep
        it within limits of their own, by default 4 to 40 seconds
    user, password: who we are, by ZooKeeper's scheme `digest`
    sasl: options for SASL as kazoo takes them, such as `mechanism`, `username` and `password`; needs `pure-sasl`
    others: what everybody else may do with what we write: "all", as Metron leaves it, "read", or "none"
    tls: whether to connect by TLS
    ca, certificate, key: files for TLS; without `ca`, the authorities that the system trusts
    """

    hosts: str
    session_seconds: float = 10.0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    sasl: dict[str, Any] | None = field(default=None, repr=False)
    others: Literal["all", "read", "none"] = "all"
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        _check_hosts(self.hosts)
        if not 0 < self.session_seconds < inf:
            raise ValueError("session_seconds: Input should be greater than 0, and finite")
        if (self.user is None) != (self.password is None) or ":" in (self.user or ""):
            raise ValueError("user and password go together, and the user's name has no colon")
        if self.others != "all" and self.user is None and self.sasl is None:
            raise ValueError(f"others: {self.others!r} needs somebody who is not others: user and password, or sasl")
        if not self.tls and (self.ca or self.certificate or self.key):
            raise ValueError("ca, certificate and key are for TLS; set tls to true")
        if self.sasl is not None and find_spec("puresasl") is None:
            raise ValueError("sasl needs another package: pip install 'stellar-maas[sasl]'")
        for file in filter(None, (self.ca, self.certificate, self.key)):
            if not os.access(file, os.R_OK):
                raise ValueError(f"the file {file} can't be read")

    @classmethod
    def read(cls, hosts: str, file: str | os.PathLike[str] | None = None) -> Self:
        """Settings for these hosts, the others from a JSON file: the one given, else that of $MAAS_ZK_CLIENT, if any.

        Raises ValueError for hosts or settings that can't be used, OSError for a file that can't be read.
        """
        source = file or os.environ.get(SETTINGS_VARIABLE)
        try:
            more = read_json(Path(source).read_bytes()) if source else {}
            if not isinstance(more, dict) or "hosts" in more:
                raise ValueError("a JSON object without hosts is needed here")
            return read_object(cls, {**more, "hosts": hosts})
        except ValueError as error:
            raise ValueError(f"{source}: {error}" if source else str(error)) from None


def _check_hosts(hosts: str) -> None:
    try:
        collect_hosts(hosts)
    except ValueError:
        raise ValueError(f"{hosts!r} is not of the form HOST:PORT,HOST:PORT") from None
    if hosts != "".join(hosts.split()):
        raise ValueError(f"{hosts!r} has blanks in it")


class ZooKeeper:
    """A connection to ZooKeeper, which comes back by itself when it is lost. Safe to use from many threads.

    Raises ConnectionError if no server answers within 10 seconds, PermissionError if they do not take us for who we
    say, ValueError for hosts that can't be meant.
    """

    def __init__(self, where: ZooKeeperSettings | str) -> None:
        self.settings = settings = where if isinstance(where, ZooKeeperSettings) else ZooKeeperSettings.read(where)
        self.client = KazooClient(
            hosts=settings.hosts,
            timeout=settings.session_seconds,
            default_acl=_ACLS[settings.others],
            auth_data=[("digest", f"{settings.user}:{settings.password}")] if settings.user else None,
            sasl_options=settings.sasl,
            connection_retry=_RECONNECT,
            use_ssl=settings.tls,
            ca=settings.ca,
            certfile=settings.certificate,
            keyfile=settings.key,
            check_hostname=settings.tls,
            logger=_quiet,
        )
        self._timeout: type[Exception] = self.client.handler.timeout_exception
        self.client.add_listener(self._tell)
        self._ours_to_end = False
        try:
            self.client.start_async().wait(CONNECT_SECONDS)
            if not self.client.connected:
                raise self._away(f"no server has answered within {CONNECT_SECONDS:g} seconds")
            self.ask("exists", "/")  # tells whether we may
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self) -> str:
        return self.settings.hosts

    @property
    def session(self) -> int | None:
        """The number of the session; None while there is no connection."""
        known = self.client.client_id
        return known[0] if known else None

    def begin(self, request: str, *arguments: Any, seconds: float = REQUEST_SECONDS, **options: Any) -> Any:
        """Send a request, such as "get" or "create", if need be as soon as there is a connection; to be given to `end`.

        Raises ConnectionError if there is none within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while not self.client.connected:
            if self.client.client_state in _CLOSED:
                raise self._ended()
            if time.monotonic() > deadline:
                raise self._away("there is no connection")
            time.sleep(0.02)
        return getattr(self.client, f"{request}_async")(*arguments, **options)

    def end(self, result: Any, seconds: float = REQUEST_SECONDS) -> Any:
        """What a request has brought.

        Raises NoNodeError, NodeExistsError, ConnectionError, PermissionError, ValueError for a path that can't be,
        and OSError for whatever else ZooKeeper refuses.
        """
        try:
            return result.get(timeout=seconds)
        except (refusals.NoNodeError, refusals.NodeExistsError):
            raise
        except (self._timeout, refusals.AuthFailedError, *_AWAY) as error:
            if self.client.client_state in _CLOSED:
                raise self._ended() from error
            raise self._away(type(error).__name__) from error
        except refusals.NoAuthError as error:
            raise PermissionError(f"ZooKeeper at {self.hosts} does not allow this: {error}") from error
        except refusals.BadArgumentsError as error:
            raise ValueError(f"ZooKeeper does not take this path: {error}") from error
        except refusals.KazooException as error:
            raise OSError(f"ZooKeeper at {self.hosts} refuses: {type(error).__name__} {error}".rstrip()) from error

    def ask(self, request: str, *arguments: Any, seconds: float = REQUEST_SECONDS, **options: Any) -> Any:
        """Send a request and wait for what it brings; raises what `begin` and `end` raise."""
        return self.end(self.begin(request, *arguments, seconds=seconds, **options), seconds)

    def read(self, path: str) -> bytes | None:
        """The data at a path; None if nothing is there."""
        try:
            data: bytes = self.ask("get", path)[0]
        except refusals.NoNodeError:
            return None
        return data

    def names(self, path: str) -> list[str]:
        """What stands below a path, sorted; nothing if the path is not there."""
        try:
            return sorted(self.ask("get_children", path))
        except refusals.NoNodeError:
            return []

    def write(self, path: str, data: bytes) -> None:
        """Put data at a path, with what is missing above it."""
        while True:
            try:
                self.ask("set", path, data)
            except refusals.NoNodeError:
                try:
                    self.ask("create", path, data, makepath=True)
                except refusals.NodeExistsError:
                    continue  # somebody was quicker
            return

    def delete(self, path: str, seconds: float = REQUEST_SECONDS) -> bool:
        """Take a node away; whether it was there."""
        try:
            self.ask("delete", path, seconds=seconds)
        except refusals.NoNodeError:
            return False
        return True

    def close(self) -> None:
        """End the session, and with it what is registered in it."""
        self._ours_to_end = True
        self.client.remove_listener(self._tell)
        self.client.stop()
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _away(self, why: str) -> ConnectionError:
        return ConnectionError(f"ZooKeeper at {self.hosts} can't be reached: {why}")

    def _ended(self) -> OSError:
        """Why there will be no connection any more."""
        if self._ours_to_end:
            return self._away("the connection is closed")
        return PermissionError(
            f"ZooKeeper at {self.hosts} does not take us for who we say; see user, password and sasl"
        )

    def _tell(self, state: str) -> None:
        if state == KazooState.SUSPENDED:
            log.warning("the connection to ZooKeeper at %s is lost; what is known stays known", self.hosts)
        elif state == KazooState.LOST:
            log.warning("the session with ZooKeeper at %s has ended", self.hosts)
        else:
            log.info("connected to ZooKeeper at %s", self.hosts)


_quiet = logging.getLogger(f"{__name__}.kazoo")
_quiet.setLevel(logging.CRITICAL)  # it warns at every attempt; that the connection is lost is said once, above


def persistently(do: Callable[[], T], seconds: float = REQUEST_SECONDS) -> T:
    """What comes of something that may be done twice: it is done again if the connection is lost under it.

    Raises ConnectionError if there is none within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return do()
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def read_config(zookeeper: ZooKeeper, path: str = CONFIG_PATH) -> MaaSConfig:
    """The configuration in ZooKeeper; the defaults if there is none.

    Raises ValueError, naming the path, if it can't be used.
    """
    if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
        raise ValueError(f"{path!r} is not an absolute path such as {CONFIG_PATH}")
    data = persistently(lambda: zookeeper.read(path))
    try:
        return MaaSConfig() if data is None else MaaSConfig.from_json(data)
    except ValueError as error:
        raise ValueError(f"{path} in ZooKeeper at {zookeeper.hosts}: {error}") from None


class _Owned(NamedTuple):
    """A registration of ours that is to live as long as we do, and the session in which it was made."""

    data: bytes
    session: int | None


_Path = tuple[str, ...]  # below the registry's root: (), (model,) or (model, id)
_Known = dict[str, dict[str, ServiceInstance | None]]  # None stands for what can't be read


class ZooKeeperRegistry(KnownInstances):
    """A registry in ZooKeeper, which learns of changes by watches, in milliseconds.

    where: hosts such as `node1:2181,node2:2181`, settings, or a connection that is shared with others
    version_order: "natural", where 10.0 comes after 9.0, or "lexical", which is how Metron compares
    config_path: where in ZooKeeper the configuration is

    While ZooKeeper is away, the last known instances stay. A registration that ends with its owner is made again when
    the owner's session was lost and a new one begins.

    Raises ConnectionError if no server answers, ValueError if hosts, settings or configuration can't be used.
    """

    def __init__(
        self,
        where: ZooKeeper | ZooKeeperSettings | str,
        version_order: str = "natural",
        *,
        config_path: str = CONFIG_PATH,
        quarantine: Quarantine | None = None,
    ) -> None:
        super().__init__(version_order, quarantine)
        self._zookeeper = where if isinstance(where, ZooKeeper) else ZooKeeper(where)
        self._connection_is_ours = self._zookeeper is not where
        self._owned: dict[_Path, _Owned] = {}
        self._known: _Known = {}
        self._changed: set[_Path] = set()
        self._all_anew = True
        self._plans_changed = False
        self._marking = threading.Lock()
        self._reading = threading.RLock()  # a listener may ask us
        self._awake = threading.Event()
        self._closed = False
        self._trouble = ""
        self._follower = threading.Thread(target=self._follow, name="model registry", daemon=True)
        try:
            config = read_config(self._zookeeper, config_path)
            self._root, self._plans_root = config.service_root, f"{config.ext_root}/{TRAFFIC}"
            self._zookeeper.client.add_listener(self._connection_changed)
            self._read_changes()
        except BaseException:
            self._leave()
            raise
        self._follower.start()

    def register(self, instance: ServiceInstance) -> None:
        place = _place(instance.name, instance.id)
        with self._reading:
            session = persistently(lambda: self._write(place, instance.to_json(), lasting=instance.lasting))
            self._owned.pop(place, None)
            if not instance.lasting:
                self._owned[place] = _Owned(instance.to_json(), session)
            self._now_changed(place)

    def unregister(self, name: str, id: str) -> None:
        place = _place(name, id)
        with self._reading:
            self._owned.pop(place, None)
            self._zookeeper.delete(self._path(place), BRIEF_SECONDS)
            self._now_changed(place)

    def close(self) -> None:
        super().close()
        self._closed = True
        self._awake.set()
        if self._follower.is_alive() and self._follower is not threading.current_thread():
            self._follower.join()
        with self._reading:
            try:
                for place in self._owned:
                    self._zookeeper.delete(self._path(place), BRIEF_SECONDS)
            except OSError as error:
                log.info("what is registered ends with the session only: %s", error)
            self._owned.clear()
        self._leave()

    def _leave(self) -> None:
        self._zookeeper.client.remove_listener(self._connection_changed)
        if self._connection_is_ours:
            self._zookeeper.close()

    # --- what is written

    def _path(self, place: _Path) -> str:
        return "/".join((self._root, *place))

    def _write(self, place: _Path, data: bytes, *, lasting: bool) -> int | None:
        """Make the node, in one step, so that nobody reads half of it; returns the session that made it."""
        path = self._path(place)
        for _ in range(10):
            session = self._zookeeper.session
            try:
                self._zookeeper.ask("create", path, data, ephemeral=not lasting, makepath=True)
            except refusals.NodeExistsError:
                self._zookeeper.delete(path)  # anew, not changed: so Metron's readers notice
                continue
            return session
        raise OSError(f"{path} is written by somebody else, again and again")

    def _renew(self) -> None:
        """Make again what ended with a session that was lost."""
        with self._reading:
            for place, owned in list(self._owned.items()):
                if owned.session != self._zookeeper.session:
                    self._owned[place] = _Owned(owned.data, self._write(place, owned.data, lasting=False))
                    log.info("%s is registered again", self._path(place))

    # --- what is read

    def _follow(self) -> None:
        while not self._closed:
            self._awake.wait()
            self._awake.clear()
            try:
                if not self._closed and self._zookeeper.client.connected:
                    self._renew()
                    self._read_changes()
                    self._trouble = ""
            except OSError as error:  # what was known stays known
                if str(error) != self._trouble:
                    log.warning("the model registry can't be read: %s", error)
                self._trouble = str(error)
                time.sleep(BRIEF_SECONDS)
                self._awake.set()
            except Exception:  # whatever it is, what comes next is still to be followed
                log.exception("a change of the model registry could not be taken in")

    def _connection_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:  # all watches are gone
            with self._marking:
                self._all_anew = True
            self._awake.set()

    def _node_changed(self, event: WatchedEvent) -> None:
        if event.path is not None:
            with self._marking:
                self._changed.add(tuple(filter(None, event.path.removeprefix(self._root).split("/"))))
            self._awake.set()

    def _plan_changed(self, _: WatchedEvent) -> None:
        self._plans_changed = True
        self._awake.set()

    def _now_changed(self, place: _Path) -> None:
        """Take in a change that was made here; if that can't be done now, it is done when it can be."""
        with self._marking:
            self._changed |= {(), place[:1], place}
        try:
            self._read_changes()
        except ConnectionError:
            self._awake.set()

    def _read_changes(self) -> None:
        with self._reading:
            with self._marking:
                anew, changed = self._all_anew, self._changed
                plans_too = anew or self._plans_changed
                self._all_anew, self._changed, self._plans_changed = False, set(), False
            try:
                self._known = self._read({()}, {}) if anew else self._read(changed, self._known)
                # After the instances: who sees an instance sees the plan that was made before it
                plans = self._read_plans() if plans_too else None
            except BaseException:
                with self._marking:
                    self._all_anew = True
                raise
            self._forget_what_others_unregistered()
            self._now_known((i for ids in self._known.values() for i in ids.values() if i is not None), plans)

    def _read(self, changed: Iterable[_Path], known: _Known) -> _Known:
        """What is known after some places were read again, and what is new below them."""
        places = set(changed)
        known = {model: dict(ids) for model, ids in known.items()}
        if () in places:
            models = self._children(())
            places |= {(model,) for model in models - known.keys()}
            known = {model: known.get(model, {}) for model in models}
        for (model,) in [place for place in places if len(place) == 1 and place[0] in known]:
            ids = self._children((model,))
            places |= {(model, id) for id in ids - known[model].keys()}
            known[model] = {id: known[model].get(id) for id in ids}
        asked = [
            (place, self._zookeeper.begin("get", self._path(place), watch=self._node_changed))
            for place in places
            if len(place) == 2 and place[1] in known.get(place[0], {})
        ]
        for (model, id), answer in asked:
            try:
                data, _ = self._zookeeper.end(answer)
            except refusals.NoNodeError:
                known[model].pop(id)
            else:
                known[model][id] = self._parsed((model, id), data)
        return known

    def _children(self, place: _Path) -> set[str]:
        try:
            return set(self._zookeeper.ask("get_children", self._path(place), watch=self._node_changed))
        except refusals.NoNodeError:
            if not place and self._zookeeper.ask("exists", self._root, watch=self._node_changed):
                return self._children(place)  # it was made just now
            return set()

    def _parsed(self, place: _Path, data: bytes) -> ServiceInstance | None:
        try:
            return ServiceInstance.from_json(data)
        except ValueError as error:
            log.warning("%s is no registration and is left out: %s", self._path(place), error)
            return None

    def _read_plans(self) -> dict[str, TrafficPlan]:
        """All plans there are: they are few, and seldom change."""
        try:
            asked = [
                (name, self._zookeeper.begin("get", f"{self._plans_root}/{name}", watch=self._plan_changed))
                for name in self._plan_names()
            ]
            return {name: plan for name, answer in asked if (plan := self._plan(name, answer))}
        except PermissionError as error:  # those who may read models only
            log.warning("the traffic plans can't be read and count as none: %s", error)
            return {}

    def _plan_names(self) -> list[str]:
        try:
            return list(self._zookeeper.ask("get_children", self._plans_root, watch=self._plan_changed))
        except refusals.NoNodeError:
            if self._zookeeper.ask("exists", self._plans_root, watch=self._plan_changed):
                return self._plan_names()  # it was made just now
            return []

    def _plan(self, name: str, answer: Any) -> TrafficPlan | None:
        try:
            data, _ = self._zookeeper.end(answer)
        except refusals.NoNodeError:
            return None
        return checked_plan(f"{self._plans_root}/{name}", data)

    def _forget_what_others_unregistered(self) -> None:
        """What is gone though our session lives was taken away by somebody, and is not made again."""
        session = self._zookeeper.session
        for model, id in [place for place, owned in self._owned.items() if owned.session == session]:
            if id not in self._known.get(model, {}):
                del self._owned[model, id]


def _place(name: str, id: str) -> _Path:
    return checked_name(name, "model's name"), checked_name(id, "instance's id")


class ZooKeeperQueue:
    """A request queue in ZooKeeper, as Metron's clients write it and its service reads it.

    where: hosts such as `node1:2181,node2:2181`, settings, or a connection that is shared with others

    Raises ConnectionError if no server answers, ValueError if hosts, settings or configuration can't be used.
    """

    def __init__(self, where: ZooKeeper | ZooKeeperSettings | str, config_path: str = CONFIG_PATH) -> None:
        self._zookeeper = where if isinstance(where, ZooKeeper) else ZooKeeper(where)
        self._connection_is_ours = self._zookeeper is not where
        self._awake = threading.Event()
        self._strangers: set[str] = set()
        try:
            self._queue = read_config(self._zookeeper, config_path).queue_path
        except BaseException:
            self.close()
            raise

    def enqueue(self, request: ModelRequest) -> str:
        return self.put(request.to_json())

    def put(self, data: bytes) -> str:
        """Put any bytes at the end, as a stranger might."""
        path = f"{self._queue}/{ITEM_PREFIX}"
        made: str = self._zookeeper.ask("create", path, data, sequence=True, makepath=True)
        return made.rpartition("/")[2]

    def take(self, seconds: float) -> Item | None:
        deadline = time.monotonic() + seconds
        while True:
            self._awake.clear()
            if (item := self._first()) is not None:
                return item
            if (left := deadline - time.monotonic()) <= 0:
                return None
            self._awake.wait(left)

    def _first(self) -> Item | None:
        for name in sorted(self._items()):
            path = f"{self._queue}/{name}"
            if (data := self._zookeeper.read(path)) is not None and self._claimed(path, data):
                return Item(name, data)
        return None

    def _items(self) -> list[str]:
        watch = self._woken  # the same for all, so that no more than one is left behind
        try:
            children: list[str] = self._zookeeper.ask("get_children", self._queue, watch=watch)
        except refusals.NoNodeError:
            if self._zookeeper.ask("exists", self._queue, watch=watch):
                return self._items()  # it was made just now
            return []
        strangers = {name for name in children if not name.startswith(ITEM_PREFIX)}
        for name in strangers - self._strangers:
            log.warning("%s/%s is no request and is left there", self._queue, name)
        self._strangers = strangers
        return [name for name in children if name not in strangers]

    def _claimed(self, path: str, data: bytes) -> bool:
        """Take the item away; whether that was us."""
        try:
            return self._zookeeper.delete(path)
        except ConnectionError:
            log.warning("whether %s was taken is not known; it may be lost: %r", path, data)
            raise

    def _woken(self, _: WatchedEvent) -> None:
        self._awake.set()

    def close(self) -> None:
        """Let go of the connection, if it is ours alone."""
        if self._connection_is_ours:
            self._zookeeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
