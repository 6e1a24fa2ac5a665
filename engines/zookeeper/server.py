"""ZooKeeper on free ports of this machine: one server or an ensemble.

`python -m engines.zookeeper.server [SERVERS]` starts it, until interrupted.
"""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engines.daemon import JVM, Daemon, Engine, free_ports, jars, run_until_interrupted

MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
TICK_MS = 500  # sessions may last 2 to 20 ticks


class Server:
    """A ZooKeeper server.

    port: port for clients
    more: further settings of zoo.cfg
    java: further options of the virtual machine
    """

    def __init__(self, folder: Path, port: int, more: Mapping[str, object], java: tuple[str, ...] = ()) -> None:
        self.port = port
        (folder / "data").mkdir(parents=True)
        (folder / "tmp").mkdir()
        settings = {
            "tickTime": TICK_MS,
            "dataDir": folder / "data",
            "clientPort": port,
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr,mntr,cons",
            "maxClientCnxns": 0,
            **more,
        }
        (folder / "zoo.cfg").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        options = (*JVM, f"-Djava.io.tmpdir={folder / 'tmp'}", *java)
        libraries = f"{jars(Path(__file__).parent)}/*"
        self.daemon = Daemon(
            ["java", *options, "-cp", libraries, MAIN, str(folder / "zoo.cfg")], folder, lambda: bool(self.mode)
        )

    @property
    def mode(self) -> str | None:
        """Return `standalone`, `leader` or `follower`; None if it does not serve now."""
        for line in self.send_command("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return None

    def send_command(self, word: str) -> str:
        """Send a four-letter command. Return the response; empty without one."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(word.encode())
            with connection.makefile(encoding="utf-8", errors="replace") as answer:
                return answer.read()
        return ""


class ZooKeeper(Engine):
    """A server or an ensemble, as a context manager.

    servers: number of servers; 3 tolerate the loss of one
    more, java: as for Server, for all servers
    """

    def __init__(self, servers: int = 1, more: Mapping[str, object] | None = None, java: tuple[str, ...] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zookeeper-"))
        ports = free_ports(3 * servers)
        more = dict(more or {})
        if servers > 1:
            more |= {"initLimit": 20, "syncLimit": 4}
            for id in range(1, servers + 1):
                quorum, election = ports[servers + 2 * id - 2 : servers + 2 * id]
                more[f"server.{id}"] = f"127.0.0.1:{quorum}:{election}"
        self.servers = [Server(self.folder / str(id), ports[id - 1], more, java) for id in range(1, servers + 1)]
        for id in range(1, servers + 1):
            (self.folder / str(id) / "data" / "myid").write_text(f"{id}\n")

    @property
    def hosts(self) -> str:
        """The hosts for clients: `127.0.0.1:2181,127.0.0.1:2182`."""
        return ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    @property
    def leader(self) -> Server:
        return next(server for server in self.servers if server.mode in ("leader", "standalone"))

    def start(self) -> None:
        for server in self.servers:
            server.daemon.start()
        for server in self.servers:
            server.daemon.await_ready()

    def stop(self) -> None:
        for server in self.servers:
            server.daemon.stop()


def main() -> None:
    """Start it, and print its hosts. The first argument is the number of servers, by default one."""
    with run_until_interrupted(), ZooKeeper(int(sys.argv[1]) if len(sys.argv) > 1 else 1) as zookeeper:
        print(zookeeper.hosts, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
