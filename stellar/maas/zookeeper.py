"""The connection to ZooKeeper.

/metron/maas/config            the paths of the queue and of the registrations; may be absent
/maas/queue/qn-0000000001      a request; see stellar.maas.registries.zookeeper_queue
/maas/service/<model>/<id>     a registration; see stellar.maas.registries.zookeeper
/maas/ext/...                  our own nodes; see stellar.maas.registries.extensions
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from kazoo import exceptions as refusals
from kazoo.client import KazooClient, TransactionRequest
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.hosts import collect_hosts
from kazoo.protocol.states import KazooState, KeeperState
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

from stellar.maas.schema import CONFIG_PATH, MaaSConfig, read_json
from stellar.util.abbreviate import quote
from stellar.util.forks import reset_after_fork
from stellar.util.settings import (
    boolean,
    check_fields,
    declared,
    number,
    one_of,
    readable_file,
    reject,
    setting,
    string,
)
from stellar.util.suggestions import suggest_name

log = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 5.0
SHORT_REQUEST_SECONDS = 1.0  # for deletions, which the end of the session makes up for
SETTINGS_VARIABLE = "MAAS_ZK_CLIENT"

_ACLS = {
    "all": OPEN_ACL_UNSAFE,
    "read": [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE],
    "none": CREATOR_ALL_ACL,
}
# The results of the other changes in a failed transaction
_NOT_THE_CAUSE = (refusals.RolledBackError, refusals.RuntimeInconsistency)
# Reconnect at least every second: a session does not last much longer
_RECONNECT = {"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 1.0, "max_jitter": 0.2}

_CLOSED = (KeeperState.CLOSED, KeeperState.AUTH_FAILED)
_AWAY = (
    refusals.ConnectionLoss,
    refusals.SessionExpiredError,
    refusals.ConnectionClosedError,
    refusals.OperationTimeoutError,
)


_LARGEST_REQUEST = 0xFFFFF  # bytes, by default


def _split_by_size(contents: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield contents for one transaction each."""
    batch: dict[str, bytes] = {}
    size = 0
    for path, data in contents.items():
        if batch and size + len(data) > _LARGEST_REQUEST // 2:
            yield batch
            batch, size = {}, 0
        batch[path] = data
        size += len(data)
    if batch:
        yield batch


def _options(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else reject("a JSON object")


@dataclass(frozen=True, kw_only=True)
class ZooKeeperSettings:
    """Settings of a connection to ZooKeeper: hosts, session, authentication, access control and TLS.

    hosts: `node1:2181,node2:2181`; a path at the end, as in `node1:2181/metron`, is the root of all other paths

    Raises ValueError, naming the setting, for an invalid value.
    """

    hosts: str
    session_seconds: float = setting(
        "session_seconds",
        10.0,
        number(0.001, 31_536_000),
        "How long a registration outlives a killed runner; servers allow 4 to 40 by default.",
    )
    user: str | None = setting("user", None, string, "User for the scheme `digest`.")
    password: str | None = setting("password", None, string, "The user's password.", is_secret=True)
    sasl: dict[str, Any] | None = setting(
        "sasl",
        None,
        _options,
        'Credentials for SASL: `{"mechanism": "DIGEST-MD5", "username": …, "password": …}`; requires '
        "`pip install 'stellar-maas[sasl]'`.",
        is_secret=True,
    )
    others: Literal["all", "read", "none"] = setting(
        "others",
        "all",
        one_of(*_ACLS),
        "Permissions of all other users on our nodes: `all`, as Metron sets it; `read`; `none`.",
    )
    tls: bool = setting("tls", False, boolean, "Connect by TLS; the server's name is verified.")
    ca: str | None = setting(
        "ca", None, readable_file, "File with certificate authorities, instead of the system's trusted ones."
    )
    certificate: str | None = setting("certificate", None, readable_file, "File with the client certificate.")
    key: str | None = setting("key", None, readable_file, "File with the key of the client certificate.")

    def __post_init__(self) -> None:
        _check_hosts(self.hosts)
        if not self.tls and (self.ca or self.certificate or self.key):
            raise ValueError("ca, certificate and key need TLS; set tls to true")
        check_fields(self)
        if (self.user is None) != (self.password is None) or ":" in (self.user or ""):
            raise ValueError("user and password must be set together, and the user must not contain a colon")
        if self.others != "all" and self.user is None and self.sasl is None:
            raise ValueError(f"others: {quote(self.others)} needs credentials: set user and password, or sasl")
        if self.sasl is not None and find_spec("puresasl") is None:
            raise ValueError("sasl needs an optional package: pip install 'stellar-maas[sasl]'")

    @classmethod
    def read(cls, hosts: str, file: str | os.PathLike[str] | None = None) -> Self:
        """Return settings for these hosts; the others come from a JSON file, if any; by default $MAAS_ZK_CLIENT.

        Raises ValueError for invalid hosts or settings, OSError for an unreadable file.
        """
        source = file or os.environ.get(SETTINGS_VARIABLE)
        try:
            more = read_json(Path(source).read_bytes()) if source else {}
            if not isinstance(more, dict) or "hosts" in more:
                raise ValueError("expected a JSON object without hosts")
            _check_names(more, declared(cls))
            return cls(hosts=hosts, **more)
        except ValueError as error:
            raise ValueError(f"{source}: {error}" if source else str(error)) from None


def _check_names(given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"unknown setting {quote(name)}; {suggest_name(name, known)}")


def _check_hosts(hosts: str) -> None:
    try:
        collect_hosts(hosts)
    except ValueError:
        raise ValueError(f"invalid hosts {quote(hosts)}: expected HOST:PORT,HOST:PORT") from None
    if hosts != "".join(hosts.split()):
        raise ValueError(f"invalid hosts {quote(hosts)}: must not contain whitespace")


class ZooKeeper:
    """A connection to ZooKeeper, which reconnects when it is lost. Thread-safe.

    In the child of a fork the parent's session is neither used nor ended: the first request opens a new session.

    Raises ConnectionError if no server responds within 10 seconds, PermissionError if the credentials are rejected,
    ValueError for invalid hosts.
    """

    def __init__(self, where: ZooKeeperSettings | str) -> None:
        self.settings = where if isinstance(where, ZooKeeperSettings) else ZooKeeperSettings.read(where)
        self._listeners: tuple[Callable[[str], object], ...] = ()
        self._opening = threading.Lock()
        self._client: KazooClient | None = None
        self._live = threading.Event()  # set while connected
        self._was_connected = False
        self._is_closed = False
        reset_after_fork(self)
        try:
            if not (self.client.connected or self._live.wait(CONNECT_SECONDS)):
                raise self._unreachable_error(f"no server responded within {CONNECT_SECONDS:g} seconds")
            self.request("exists", "/")  # fails if the credentials are rejected
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self) -> str:
        return self.settings.hosts

    @property
    def client(self) -> KazooClient:
        """The kazoo client of this process, which connects in the background.

        Raises ConnectionError if this object was closed before it was opened.
        """
        if self._client is None:
            with self._opening:
                if self._client is None:
                    self._open()
        return self._client

    def begin_connecting(self) -> None:
        """Connect in the background, if this is the child of a fork. Raises ConnectionError if this was closed."""
        _ = self.client

    @property
    def session(self) -> int | None:
        """The session id; None while there is no connection."""
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

    def begin(self, operation: str, *arguments: Any, seconds: float = REQUEST_SECONDS, **options: Any) -> Any:
        """Send a request as soon as there is a connection; return a pending result for `end`.

        operation: a method of kazoo's client, such as "get" or "create"
        seconds: how long to wait for a connection

        Raises ConnectionError if there is no connection in that time.
        """
        return getattr(self._await_connection(seconds), f"{operation}_async")(*arguments, **options)

    def _await_connection(self, seconds: float) -> KazooClient:
        client = self.client
        deadline = time.monotonic() + seconds
        while not client.connected:
            if self._has_ended(client):
                raise self._final_error()
            if time.monotonic() > deadline:
                raise self._unreachable_error("there is no connection")
            self._live.wait(0.02)
        return client

    def end(self, result: Any, seconds: float = REQUEST_SECONDS) -> Any:
        """Wait for a pending result, and return it.

        Raises NoNodeError, NodeExistsError, ConnectionError, PermissionError, ValueError for an invalid path, and
        OSError for any other error of ZooKeeper.
        """
        try:
            return result.get(timeout=seconds)
        except (refusals.NoNodeError, refusals.NodeExistsError):
            raise
        except (KazooTimeoutError, refusals.AuthFailedError, *_AWAY) as error:
            if self._has_ended(self.client):
                raise self._final_error() from error
            raise self._unreachable_error(type(error).__name__) from error
        except refusals.NoAuthError as error:
            raise PermissionError(f"ZooKeeper at {self.hosts} does not allow this: {error}") from error
        except refusals.BadArgumentsError as error:
            raise ValueError(f"invalid path: {error}") from error
        except refusals.KazooException as error:
            raise OSError(
                f"ZooKeeper at {self.hosts} rejected the request: {type(error).__name__} {error}".rstrip()
            ) from error

    def request(self, operation: str, *arguments: Any, seconds: float = REQUEST_SECONDS, **options: Any) -> Any:
        """Send a request and return its result; raises the errors of `begin` and `end`."""
        try:
            return self.end(self.begin(operation, *arguments, seconds=seconds, **options), seconds)
        except refusals.NoNodeError:
            if not options.get("makepath"):
                raise
            # The only parents that are not created are those of the root that the hosts name
            raise OSError(f"the root node in {self.hosts} does not exist; create it, or check the path") from None

    def transact(self, build: Callable[[TransactionRequest], object], seconds: float = REQUEST_SECONDS) -> list[Any]:
        """Apply several changes, all or none; return the result of each.

        build: adds the changes to a transaction, by its methods `check`, `create`, `set_data` and `delete`

        Raises the error of the first change that is not possible, such as NoNodeError, and otherwise as `begin` and
        `end`. After a ConnectionError the changes may have been applied.
        """
        transaction = TransactionRequest(self._await_connection(seconds))
        build(transaction)
        results: list[Any] = self.end(transaction.commit_async(), seconds)
        for operation, result in zip(transaction.operations, results, strict=True):
            if isinstance(result, refusals.NoAuthError):
                raise PermissionError(f"ZooKeeper at {self.hosts} does not allow this: {operation.path}")
            if isinstance(result, refusals.KazooException) and not isinstance(result, _NOT_THE_CAUSE):
                raise result
        return results

    def ensure_path(self, path: str) -> None:
        """Create a node without data and its missing parents, unless they exist."""
        with suppress(refusals.NodeExistsError):
            self.request("create", path, b"", makepath=True)

    def read(self, path: str) -> bytes | None:
        """Return the data of a node; None if it does not exist."""
        found = self.read_version(path)
        return None if found is None else found[0]

    def read_version(self, path: str) -> tuple[bytes, int] | None:
        """Return the data of a node with its version; None if it does not exist."""
        try:
            data, state = self.request("get", path)
        except refusals.NoNodeError:
            return None
        return data, state.version

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children, sorted; empty if the node does not exist."""
        try:
            return sorted(self.request("get_children", path))
        except refusals.NoNodeError:
            return []

    def write(self, path: str, data: bytes) -> None:
        """Set the data of a node; create it and its missing parents."""
        while True:
            try:
                self.request("set", path, data)
            except refusals.NoNodeError:
                try:
                    self.request("create", path, data, makepath=True)
                except refusals.NodeExistsError:
                    continue  # another client created it first
            return

    def write_all(self, contents: Mapping[str, bytes]) -> None:
        """Set the data of nodes in one transaction, all or none; create those that do not exist, and their parents.

        More than half of ZooKeeper's default limit for a request, 1 MiB, is written in several transactions.

        Raises as `transact`; the message names a node that is too large for the default limit.
        """
        for batch in _split_by_size(contents):
            try:
                self._write_batch(batch)
            except ConnectionError as error:  # how a server rejects a request that is too large
                path = max(batch, key=lambda path: len(batch[path]))
                if len(batch[path]) < _LARGEST_REQUEST:
                    raise
                raise ConnectionError(
                    f"{error}; {path} has {len(batch[path]):,} bytes, and servers accept {_LARGEST_REQUEST:,} unless "
                    "jute.maxbuffer is greater"
                ) from error

    def _write_batch(self, contents: Mapping[str, bytes]) -> None:
        while True:
            for parent in {path.rpartition("/")[0] for path in contents}:
                self.ensure_path(parent)
            existing = {path for path in contents if self.request("exists", path) is not None}

            def build(transaction: TransactionRequest, existing: Collection[str] = existing) -> None:
                for path, data in contents.items():
                    (transaction.set_data if path in existing else transaction.create)(path, data)

            try:
                self.transact(build)
            except (refusals.NoNodeError, refusals.NodeExistsError):
                continue  # another client deleted or created a node or a parent
            return

    def delete(self, path: str, seconds: float = REQUEST_SECONDS) -> bool:
        """Delete a node; return True if it existed."""
        try:
            self.request("delete", path, seconds=seconds)
        except refusals.NoNodeError:
            return False
        return True

    def close(self) -> None:
        """End the session and with it its ephemeral nodes; in the child of a fork, only the child's session."""
        self._is_closed = True
        with self._opening:
            client = self._client
        if client is not None:
            client.remove_listener(self._on_state_change)
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
            raise self._final_error()
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
        client.add_listener(self._on_state_change)
        client.start_async()

    def _has_ended(self, client: KazooClient) -> bool:
        """Return True if the client will not reconnect. A new client is in state CLOSED until it connects."""
        return self._is_closed or (self._was_connected and client.client_state in _CLOSED)

    def _unreachable_error(self, why: str) -> ConnectionError:
        return ConnectionError(f"ZooKeeper at {self.hosts} can't be reached: {why}")

    def _final_error(self) -> OSError:
        """Return the error for a connection that will not come back."""
        if self._is_closed:
            return self._unreachable_error("the connection is closed")
        return PermissionError(f"ZooKeeper at {self.hosts} rejected the credentials; check user, password and sasl")

    def _on_state_change(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._was_connected = True
            self._live.set()
            log.info("connected to ZooKeeper at %s", self.hosts)
        else:
            self._live.clear()
            self._accept_older_servers_later()
            if state == KazooState.SUSPENDED:
                log.warning("lost the connection to ZooKeeper at %s; the last known state stays in use", self.hosts)
            else:
                log.warning("the session with ZooKeeper at %s has expired", self.hosts)
        for listener in self._listeners:
            listener(state)

    def _accept_older_servers_later(self) -> None:
        """Connect to servers that lost their data, once the session has expired.

        A server refuses a client that has seen a later transaction than itself, which within a session prevents that
        reads go back in time. After the session everything is read again, so this only prevents the connection.
        """
        known = self._client

        def accept() -> None:
            if self._client is known and not self._live.is_set() and known is not None:
                known.last_zxid = 0

        timer = threading.Timer(self.settings.session_seconds, accept)
        timer.daemon = True
        timer.start()


def _abandon(client: KazooClient) -> None:
    """Close the child's copies of a parent's sockets, without sending anything to the server.

    A fork copies kazoo's client, but none of its threads: stopping it would raise or wait forever, and would end the
    parent's session. Closing a descriptor only frees the child's copy. The attributes are internals of kazoo; if they
    are renamed, the sockets stay open until the child exits.
    """
    handler, connection = getattr(client, "handler", None), getattr(client, "_connection", None)
    if (stop := getattr(handler, "stop", None)) is not None:
        atexit.unregister(stop)
    for name in ("_socket", "_read_sock", "_write_sock"):
        if (sock := getattr(connection, name, None)) is not None:
            with suppress(AttributeError, OSError):
                sock.close()


_quiet = logging.getLogger(f"{__name__}.kazoo")
_quiet.setLevel(logging.CRITICAL)  # kazoo warns at every attempt; ZooKeeper logs a lost connection once


def retry_while_disconnected(do: Callable[[], T], seconds: float = REQUEST_SECONDS) -> T:
    """Return the result of an idempotent function, which is called again while the connection is lost.

    Raises ConnectionError if the connection does not come back within so many seconds.
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
    """Return the configuration in ZooKeeper; the defaults if the node does not exist.

    Raises ValueError, naming the path, for an invalid configuration.
    """
    if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
        raise ValueError(f"invalid path {quote(path)}: expected an absolute path such as {CONFIG_PATH}")
    data = retry_while_disconnected(lambda: zookeeper.read(path))
    try:
        return MaaSConfig() if data is None else MaaSConfig.from_json(data)
    except ValueError as error:
        raise ValueError(f"{path} in ZooKeeper at {zookeeper.hosts}: {error}") from None
