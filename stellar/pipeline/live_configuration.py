"""The configuration of sensors in ZooKeeper, which a running pipeline follows.

How a change takes effect:

1. A watch marks the changed node and wakes one thread, the follower (see `stellar.maas.registries.zookeeper_tree`).
2. The follower waits until no more changes arrive for a moment, because tools write one node after the other, and a
   configuration between two of them may be invalid. Then it reads the nodes until two passes agree.
3. It loads, compiles and connects the new pipelines, while the old ones process records.
4. If all of this succeeds, it replaces the pipelines by one assignment, which is between two raw messages. Otherwise it
   reports the errors, and the old ones stay.

Only nodes that the pipelines were made of matter: the snapshot records which configurations are read and listed.

A configuration that is valid but lacks a service, such as a store that is not available, is tried again later. While
ZooKeeper cannot be reached, the pipelines stay as they are; kazoo reconnects, and then all nodes are read again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, NamedTuple, Self

from kazoo.protocol.states import KazooState

from stellar.language.errors import ConfigError
from stellar.maas.registries.zookeeper_tree import WatchedTree
from stellar.maas.zookeeper import ZooKeeper
from stellar.pipeline.config.cluster import PUSH_FIRST
from stellar.pipeline.config.loading import SensorConfig
from stellar.pipeline.live import G, LivePipeline
from stellar.stores.configurations import ROOT, ConfigurationSnapshot, RecordingSnapshot, is_configuration
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.1  # without a change, before changes are read
RETRY_SECONDS = 1.0  # after ZooKeeper rejected a request
RETRY_SERVICES_SECONDS = 10.0  # after a service was missing

MOST_PASSES = 20  # to read what changes all the time


class ConfigurationInForce(NamedTuple, Generic[G]):
    """Pipelines, and the configuration that they were built from."""

    group: G
    configs: tuple[SensorConfig, ...]
    snapshot: RecordingSnapshot


def _connect_nothing(group: object, configs: Sequence[SensorConfig]) -> None:
    """Leave the pipelines without models."""


def _warn(message: str) -> None:
    log.warning("%s", message)


def _inform(message: str) -> None:
    log.info("%s", message)


class LiveConfiguration(Generic[G]):
    """The pipelines of sensors, which follow their configuration in ZooKeeper.

        load = partial(load_stored_pipelines, names="squid")
        with ZooKeeper("node1:2181") as zookeeper, LiveConfiguration(zookeeper, load) as live:
            run_batches(live.pipeline, ...)

    load: loads and builds the pipelines of a snapshot; raises ConfigError to reject it
    root: the node that has the configurations
    connect: connects new pipelines to models and checks what else they need, before they are used; raises ConfigError,
        ValueError or OSError to reject them
    report: receives a message for each change that is rejected, and when ZooKeeper cannot be reached
    inform: receives a message for each change that has taken effect, and when ZooKeeper can be reached again

    `connect` is called in the thread of the follower, except for the first configuration; `report` and `inform` also in
    that of the connection. In the child of a fork the pipelines stay as they are until `follow` is called.

    Raises ConfigError for an invalid configuration, and OSError if ZooKeeper cannot be read.
    """

    def __init__(
        self,
        zookeeper: ZooKeeper,
        load: Callable[[ConfigurationSnapshot], tuple[Sequence[SensorConfig], G]],
        *,
        root: str = ROOT,
        connect: Callable[[G, Sequence[SensorConfig]], None] = _connect_nothing,
        report: Callable[[str], object] = _warn,
        inform: Callable[[str], object] = _inform,
    ) -> None:
        self._zookeeper = zookeeper
        self._load = load
        self._connect, self._report, self._inform = connect, report, inform
        self._origin = f"zookeeper:{zookeeper.hosts}{root}"
        self.changes = 0  # that took effect
        self.rejections = 0
        self.problem: str | None = None  # why the newest configuration is not in force
        self._rejected: ConfigurationSnapshot | None = None
        self._is_away = False
        self._awake, self._closing = threading.Event(), threading.Event()
        self._follower: threading.Thread | None = None
        self._trees = (
            WatchedTree(zookeeper, root, 1, _keep, self._awake.set),
            WatchedTree(zookeeper, root, 2, _keep, self._awake.set),
        )
        self._zookeeper.listen(self._connection_changed)
        try:
            self.in_force = self._load_first()
        except BaseException:
            self._zookeeper.stop_listening(self._connection_changed)
            raise
        self.pipeline = LivePipeline(self.in_force.group)
        reset_after_fork(self)
        self.follow()

    @property
    def configs(self) -> tuple[SensorConfig, ...]:
        """The configurations in force, in the order of the sensors."""
        return self.in_force.configs

    @property
    def is_connected(self) -> bool:
        """False while changes cannot be seen, because ZooKeeper cannot be reached."""
        return self._zookeeper.is_connected

    def follow(self) -> None:
        """Follow changes from now on. Raises ConnectionError if the connection was closed."""
        if self._follower is None:
            self._zookeeper.begin_connecting()
            self._follower = threading.Thread(target=self._follow, name="configuration", daemon=True)
            self._follower.start()

    def close(self) -> None:
        """Stop following changes; the pipelines can be used further. The connection stays open."""
        self._zookeeper.stop_listening(self._connection_changed)
        self._closing.set()
        self._awake.set()
        if self._follower is not None and self._follower is not threading.current_thread():
            self._follower.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def after_fork(self) -> None:
        self._awake, self._closing = threading.Event(), threading.Event()
        self._follower = None
        for tree in self._trees:
            tree.after_fork()

    # --- following

    def _connection_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:  # all watches are gone
            self._mark_all()
            if self._is_away:
                self._is_away = False
                self._inform(f"connected to ZooKeeper at {self._zookeeper.hosts} again")
            self._awake.set()
        elif not self._is_away:
            self._is_away = True
            self._report(
                f"ZooKeeper at {self._zookeeper.hosts} can't be reached; the configuration in force stays until it is "
                "connected again"
            )

    def _follow(self) -> None:
        wait: float | None = None
        while not self._closing.is_set():
            self._awake.wait(wait)
            self._await_silence()
            if self._closing.is_set():
                return
            try:
                wait = self._follow_once()
            except Exception as error:  # the follower must survive, to follow later changes
                log.exception("can't follow the configuration")
                self._reject([f"{type(error).__name__}: {error}"])
                wait = None

    def _await_silence(self) -> None:
        """Wait until no change arrives for a moment, but not longer than a second."""
        for _ in range(10):
            if not self._awake.is_set() or self._closing.is_set():
                return
            self._awake.clear()
            self._closing.wait(SETTLE_SECONDS)

    def _follow_once(self) -> float | None:
        """Read and apply changes; return the seconds after which to try again, None for the next change."""
        if not self._zookeeper.is_connected:
            return None
        try:
            snapshot = self._read_nodes()
            if self._list_changes(snapshot):
                snapshot = self._read_again(snapshot, self._mark_relevant)
        except OSError as error:
            if self._zookeeper.is_connected:  # otherwise that was reported
                self._reject([f"can't read the configuration: {error}"])
            return RETRY_SECONDS
        changed = self._list_changes(snapshot)
        if not changed:
            self._accept_unchanged()
        elif snapshot != self._rejected:
            return self._apply(snapshot, changed)
        return None

    def _apply(self, snapshot: RecordingSnapshot, changed: list[str]) -> float | None:
        """Replace the pipelines, or report why not; return the seconds after which to try again."""
        try:
            configs, group = self._load(snapshot)
        except ConfigError as error:
            self._rejected = snapshot
            self._reject(_list_messages(error))
            return None
        try:
            self._connect(group, configs)
        except (OSError, ValueError, ConfigError) as error:
            self._reject(_list_messages(error))
            return RETRY_SERVICES_SECONDS
        self.in_force = ConfigurationInForce(group, tuple(configs), snapshot)
        self.pipeline.current = group
        self.changes += 1
        self._rejected = self.problem = None
        self._inform(f"the changed configuration is in force: {', '.join(changed)}")
        return None

    def _accept_unchanged(self) -> None:
        """Note that a rejected change was reverted."""
        if self.problem is not None:
            self._rejected = self.problem = None
            self._inform("the stored configuration is the one in force again")

    def _reject(self, messages: list[str]) -> None:
        """Report the reasons, unless they are those of the last rejection."""
        problem = "\n".join(messages)
        if problem == self.problem:
            return
        self.problem = problem
        self.rejections += 1
        for message in messages:
            self._report(message)
        self._report("the configuration that was valid last stays in force")

    # --- reading

    def _load_first(self) -> ConfigurationInForce[G]:
        snapshot = self._read_again(self._read_nodes(), self._mark_all)
        if not snapshot.contents:
            raise ConfigError(self._origin, "", f"no configuration in this node; {PUSH_FIRST}")
        configs, group = self._load(snapshot)
        self._connect(group, configs)
        return ConfigurationInForce(group, tuple(configs), snapshot)

    def _read_again(self, snapshot: RecordingSnapshot, mark: Callable[[], None]) -> RecordingSnapshot:
        """Return the configurations as they were at one time.

        Nodes are read one after the other, so a transaction may change two of them between the two reads. If a second
        pass reads the same, all nodes had these contents between the passes.

        mark: marks the nodes that are read again
        """
        for _ in range(MOST_PASSES):
            mark()
            before, snapshot = snapshot, self._read_nodes()
            if snapshot == before:
                break
        return snapshot

    def _mark_all(self) -> None:
        for tree in self._trees:
            tree.mark_all()

    def _mark_relevant(self) -> None:
        """Mark the nodes of which the pipelines are made; in a large cluster these are few."""
        read = self.in_force.snapshot
        for path in read.paths.union(filter(read.has_read, read.contents)):
            steps = tuple(path.split("/"))
            self._trees[len(steps) - 1].mark(steps)

    def _read_nodes(self) -> RecordingSnapshot:
        contents = {}
        for tree in self._trees:
            for path, data in tree.read().items():
                if data is not None and is_configuration("/".join(path)):
                    contents["/".join(path)] = data
        return RecordingSnapshot(self._origin, contents)

    def _list_changes(self, snapshot: ConfigurationSnapshot) -> list[str]:
        """Return the paths that differ from the configuration in force, of those that it was made of."""
        before, after = self.in_force.snapshot, snapshot.contents
        differing = (path for path in {*before.contents, *after} if before.contents.get(path) != after.get(path))
        return sorted(filter(before.has_read, differing))


@contextmanager
def report_changes(
    zookeeper: ZooKeeper,
    load: Callable[[ConfigurationSnapshot], tuple[Sequence[SensorConfig], G]],
    started: ConfigurationSnapshot,
    root: str,
    report: Callable[[str], object],
) -> Iterator[None]:
    """Report changes of a configuration that running processes do not follow.

    load: see LiveConfiguration
    started: the configuration that they have
    """

    def load_and_report(snapshot: ConfigurationSnapshot) -> tuple[Sequence[SensorConfig], G]:
        loaded = load(snapshot)
        paths = sorted(path for path in {*started.contents, *snapshot.contents} if _has_changed(path, snapshot))
        if paths:
            report(f"{', '.join(paths)} changed: restart the run, as its --workers have the earlier configuration")
        return loaded

    def _has_changed(path: str, snapshot: ConfigurationSnapshot) -> bool:
        is_read = isinstance(snapshot, RecordingSnapshot) and snapshot.has_read(path)
        return is_read and started.contents.get(path) != snapshot.contents.get(path)

    with LiveConfiguration(zookeeper, load_and_report, root=root, report=report, inform=log.debug):
        yield


def _keep(path: str, data: bytes) -> bytes:
    return data


def _list_messages(error: Exception) -> list[str]:
    return [str(each) for each in error.errors] if isinstance(error, ConfigError) else [str(error)]
