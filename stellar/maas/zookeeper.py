"""The connection to ZooKeeper, and the request queue there, laid out as Metron's own programs read and write them.

/metron/maas/config            the paths of the queue and of the registrations; may be absent
/maas/queue/qn-0000000001      a request
/maas/service/<model>/<id>     a registration; see stellar.maas.registries.zookeeper
/maas/ext/...                  our own notes; see stellar.maas.registries.extensions
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from kazoo import exceptions as refusals
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.hosts import collect_hosts
from kazoo.protocol.states import KazooState, KeeperState, WatchedEvent
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

from stellar.maas.requests import ITEM_PREFIX, Item
from stellar.maas.schema import CONFIG_PATH, MaaSConfig, ModelRequest, read_json
from stellar.util.forks import reset_after_fork
from stellar.util.json_objects import read_object

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

    In the child of a fork the parent's session is neither used nor ended: the first request opens a session of the
    child's own.

    Raises ConnectionError if no server answers within 10 seconds, PermissionError if they do not take us for who we
    say, ValueError for invalid hosts.
    """

    def __init__(self, where: ZooKeeperSettings | str) -> None:
        self.settings = where if isinstance(where, ZooKeeperSettings) else ZooKeeperSettings.read(where)
        self._listeners: tuple[Callable[[str], object], ...] = ()
        self._opening = threading.Lock()
        self._client: KazooClient | None = None
        self._live = threading.Event()  # set while there is a connection
        self._was_connected = False
        self._is_closed = False
        reset_after_fork(self)
        try:
            if not (self.client.connected or self._live.wait(CONNECT_SECONDS)):
                raise self._away(f"no server has answered within {CONNECT_SECONDS:g} seconds")
            self.ask("exists", "/")  # tells whether we may
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self) -> str:
        return self.settings.hosts

    @property
    def client(self) -> KazooClient:
        """The client of this process, which connects in the background.

        Raises ConnectionError if the connection was closed before there was one.
        """
        if self._client is None:
            with self._opening:
                if self._client is None:
                    self._open()
        return self._client

    @property
    def session(self) -> int | None:
        """The number of the session; None while there is no connection."""
        known = None if self._client is None else self._client.client_id
        return known[0] if known else None

    @property
    def is_connected(self) -> bool:
        return self._client is not None and bool(self._client.connected)

    def listen(self, listener: Callable[[str], object]) -> None:
        """Call `listener(state)` with each new KazooState of the connection. It must not wait for ZooKeeper."""
        self._listeners = (*self._listeners, listener)

    def stop_listening(self, listener: Callable[[str], object]) -> None:
        self._listeners = tuple(each for each in self._listeners if each != listener)

    def begin(self, request: str, *arguments: Any, seconds: float = REQUEST_SECONDS, **options: Any) -> Any:
        """Send a request, such as "get" or "create", as soon as there is a connection; pass the result to `end`.

        Raises ConnectionError if there is none within so many seconds.
        """
        client = self.client
        deadline = time.monotonic() + seconds
        while not client.connected:
            if self._has_ended(client):
                raise self._ended()
            if time.monotonic() > deadline:
                raise self._away("there is no connection")
            self._live.wait(0.02)
        return getattr(client, f"{request}_async")(*arguments, **options)

    def end(self, result: Any, seconds: float = REQUEST_SECONDS) -> Any:
        """What a request has brought.

        Raises NoNodeError, NodeExistsError, ConnectionError, PermissionError, ValueError for a path that can't be,
        and OSError for whatever else ZooKeeper refuses.
        """
        try:
            return result.get(timeout=seconds)
        except (refusals.NoNodeError, refusals.NodeExistsError):
            raise
        except (KazooTimeoutError, refusals.AuthFailedError, *_AWAY) as error:
            if self._has_ended(self.client):
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
        """End the session, and with it what is registered in it; in the child of a fork, only the child's own."""
        self._is_closed = True
        with self._opening:
            client = self._client
        if client is not None:
            client.remove_listener(self._state_changed)
            client.stop()
            client.close()

    def after_fork(self) -> None:
        self._opening = threading.Lock()
        self._live = threading.Event()
        self._was_connected = False
        if self._client is not None:
            _abandon(self._client)
        self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _open(self) -> None:
        if self._is_closed:
            raise self._ended()
        settings = self.settings
        self._client = client = KazooClient(
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
        client.add_listener(self._state_changed)
        client.start_async()

    def _has_ended(self, client: KazooClient) -> bool:
        """Return whether there will be no connection any more. A new client is in state CLOSED until it connects."""
        return self._is_closed or (self._was_connected and client.client_state in _CLOSED)

    def _away(self, why: str) -> ConnectionError:
        return ConnectionError(f"ZooKeeper at {self.hosts} can't be reached: {why}")

    def _ended(self) -> OSError:
        """Return the reason why there will be no connection any more."""
        if self._is_closed:
            return self._away("the connection is closed")
        return PermissionError(
            f"ZooKeeper at {self.hosts} does not take us for who we say; see user, password and sasl"
        )

    def _state_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._was_connected = True
            self._live.set()
            log.info("connected to ZooKeeper at %s", self.hosts)
        else:
            self._live.clear()
            if state == KazooState.SUSPENDED:
                log.warning("the connection to ZooKeeper at %s is lost; what is known stays known", self.hosts)
            else:
                log.warning("the session with ZooKeeper at %s has ended", self.hosts)
        for listener in self._listeners:
            listener(state)


def _abandon(client: KazooClient) -> None:
    """Close the child's copies of a parent's sockets, without a word to the server, and leave the rest as it is.

    A fork copies kazoo's client, but none of its threads: to stop it would raise or wait forever, and what it would
    send would end the parent's session. Closing a descriptor only frees the child's copy. What kazoo calls its sockets
    is its own affair; if that changes, they stay open until the child ends.
    """
    handler, connection = getattr(client, "handler", None), getattr(client, "_connection", None)
    if (stop := getattr(handler, "stop", None)) is not None:
        atexit.unregister(stop)
    for name in ("_socket", "_read_sock", "_write_sock"):
        if (sock := getattr(connection, name, None)) is not None:
            with suppress(AttributeError, OSError):
                sock.close()


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
        reset_after_fork(self)
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

    def after_fork(self) -> None:
        self._awake = threading.Event()

    def close(self) -> None:
        """Close the connection, if it is ours alone."""
        if self._connection_is_ours:
            self._zookeeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
