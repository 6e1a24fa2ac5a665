"""OpenSearch: one node on a free port of this machine, without security.

`python -m engines.opensearch.server` starts it, until interrupted.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from engines.daemon import JVM, Daemon, jars, run_until_interrupted
from engines.search import SearchServer

_HEAP = "-Xmx384m"  # after that of JVM, as the last one counts


class OpenSearch(SearchServer):
    """A node, as a context manager.

    more: further settings of opensearch.yml
    """

    def __init__(self, more: Mapping[str, object] | None = None) -> None:
        super().__init__("opensearch")
        own = {"transport.port": self._transport, "discovery.type": "single-node"}
        settings = self.make_settings() | own | dict(more or {})
        folder = Path(__file__).parent
        options = (*JVM, _HEAP, f"-Djava.io.tmpdir={self.folder / 'tmp'}", "-cp", f"{jars(folder)}/*")
        arguments = [f"{name}={value}" for name, value in settings.items()]
        self.daemon = Daemon(
            ["java", *options, str(folder / "SearchNode.java"), str(self.folder), *arguments],
            self.folder,
            self.is_serving,
        )

    def install(self) -> None:
        """Do nothing: the node creates its files."""


def main() -> None:
    """Start it, and print its URL."""
    with run_until_interrupted(), OpenSearch() as opensearch:
        print(opensearch.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
