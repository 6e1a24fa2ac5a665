"""Elasticsearch 5.6, Metron's version: one node on a free port of this machine, without security.

`python -m engines.elasticsearch.server` starts it, until interrupted.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from engines.daemon import JVM, Daemon, jars, run_until_interrupted
from engines.search import SearchServer

# It refuses to run as root
_USER = 65534
_ACCESS = [
    "-Djava.security.manager=allow",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.io", "java.nio")),
]


class Elasticsearch(SearchServer):
    """A node, as a context manager.

    more: further settings of elasticsearch.yml
    """

    def __init__(self, more: Mapping[str, object] | None = None) -> None:
        super().__init__("elasticsearch")
        own = {
            "transport.tcp.port": self._transport,
            "bootstrap.system_call_filter": "false",
            "path.data": self.folder / "data",
            "path.logs": self.folder / "logs",
        }
        self._settings = self.make_settings() | own | dict(more or {})
        home = self.folder / "home"
        options = [*JVM, *_ACCESS, f"-Djava.io.tmpdir={self.folder / 'tmp'}", f"-Des.path.home={home}"]
        main = ["-cp", f"{home / 'lib'}/*", "org.elasticsearch.bootstrap.Elasticsearch"]
        self.daemon = Daemon([*_change_user(), "java", *options, *main], self.folder, self.is_serving)

    def install(self) -> None:
        """Copy its files to where its user may read them, and write its settings."""
        (distribution,) = jars(Path(__file__).parent).glob("elasticsearch-*")
        shutil.copytree(distribution, self.folder / "home")
        lines = "".join(f"{name}: {value}\n" for name, value in self._settings.items())
        (self.folder / "home" / "config" / "elasticsearch.yml").write_text(lines)
        if _change_user():
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, _USER, _USER)


def _change_user() -> list[str]:
    """Return the command that runs another one as a user other than root."""
    if os.geteuid():
        return []
    ids = [f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
    return ["setpriv", *ids, "--pdeathsig=KILL"]  # the change of the user clears what Daemon has set


def main() -> None:
    """Start it, and print its URL."""
    with run_until_interrupted(), Elasticsearch() as elasticsearch:
        print(elasticsearch.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
