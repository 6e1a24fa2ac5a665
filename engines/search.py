"""The common part of the search servers: one node on a free port of this machine, without security."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path

from engines.daemon import Daemon, Engine, free_ports

START_SECONDS = 180.0


class SearchServer(Engine):
    """A node, as a context manager."""

    daemon: Daemon

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        (self.folder / "tmp").mkdir()
        self._port, self._transport = free_ports(2)

    @property
    def url(self) -> str:
        """The URL for clients: `http://127.0.0.1:9200`."""
        return f"http://127.0.0.1:{self._port}"

    def make_settings(self) -> dict[str, object]:
        """Return the settings that all versions have in common."""
        return {
            "cluster.name": "tests",
            "node.name": "node",
            "network.host": "127.0.0.1",
            "http.port": self._port,
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }

    @abstractmethod
    def install(self) -> None:
        """Create its files, before it starts for the first time."""

    def is_serving(self) -> bool:
        """Return True if it responds, and stores documents."""
        with (
            suppress(OSError, ValueError),
            urllib.request.urlopen(f"{self.url}/_cluster/health", timeout=5) as response,
        ):
            return json.load(response)["status"] in ("green", "yellow")
        return False

    def start(self) -> None:
        """Start it, with the documents that it has stored before."""
        if not (self.folder / "data").exists():
            self.install()
        self.daemon.start()
        self.daemon.await_ready(START_SECONDS)

    def stop(self) -> None:
        self.daemon.stop()
