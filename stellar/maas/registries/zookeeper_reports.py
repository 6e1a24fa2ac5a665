"""Reports of clients in ZooKeeper: ephemeral nodes, which end with the sessions of their clients."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from kazoo import exceptions as refusals

from stellar.maas.reports import ClientReport, ReportParser
from stellar.maas.schema import validate_name
from stellar.maas.zookeeper import SHORT_REQUEST_SECONDS, ZooKeeper
from stellar.util.forks import reset_after_fork

log = logging.getLogger(__name__)


class ZooKeeperReports:
    """The reports below a node, which need not exist."""

    def __init__(self, zookeeper: ZooKeeper, root: str) -> None:
        self._zookeeper, self._root = zookeeper, root
        self._own: dict[str, tuple[ClientReport, int | None]] = {}  # with the session in which it was published
        self._parser = ReportParser()
        self._denied: set[str] = set()
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._own = {}

    def publish(self, client: str, report: ClientReport) -> None:
        path = f"{self._root}/{validate_name(client, 'client')}"
        with self._lock:
            session = self._zookeeper.session
            published, published_in = self._own.get(client, (None, None))
            if published == report and published_in == session:
                return
            # A node of another session would end with that one, so it is not changed
            if published is None or published_in != session or not self._set(path, report.to_json()):
                self._create(path, report.to_json())
            self._own[client] = report, session

    def withdraw(self, client: str) -> None:
        with self._lock:
            if self._own.pop(client, None) is not None:
                self._zookeeper.delete(f"{self._root}/{client}", SHORT_REQUEST_SECONDS)

    def read(self) -> Mapping[str, ClientReport]:
        clients = self._zookeeper.children(self._root)
        requests = [(client, self._zookeeper.begin("get", f"{self._root}/{client}")) for client in clients]
        found = {client: (f"{self._root}/{client}", self._end(client, request)) for client, request in requests}
        return self._parser.parse(
            {client: (where, data) for client, (where, data) in found.items() if data is not None}
        )

    def close(self) -> None:
        """Remove the reports of this process; those that can't be removed end with the session."""
        try:
            for client in list(self._own):
                self.withdraw(client)
        except OSError as error:
            log.info("reports are removed with the session only: %s", error)

    def _end(self, client: str, request: Any) -> bytes | None:
        try:
            data: bytes = self._zookeeper.end(request)[0]
        except refusals.NoNodeError:  # its client has ended
            return None
        except PermissionError as error:
            if client not in self._denied:
                self._denied.add(client)
                log.warning("can't read %s/%s, which is ignored: %s", self._root, client, error)
            return None
        return data

    def _set(self, path: str, data: bytes) -> bool:
        """Set the data of a node; return False if it does not exist."""
        try:
            self._zookeeper.request("set", path, data, seconds=SHORT_REQUEST_SECONDS)
        except refusals.NoNodeError:
            return False
        return True

    def _create(self, path: str, data: bytes) -> None:
        self._zookeeper.delete(path, SHORT_REQUEST_SECONDS)
        self._zookeeper.request("create", path, data, ephemeral=True, makepath=True, seconds=SHORT_REQUEST_SECONDS)
