"""Kafka (KRaft) on free ports of this machine: one broker, which is its own controller.

`python -m engines.kafka.server` starts it, until interrupted.
"""

from __future__ import annotations

import base64
import signal
import socket
import struct
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engines.daemon import JVM, Daemon, Engine, free_ports, jars, run, run_until_interrupted

START_SECONDS = 120.0
# The request ApiVersions, version 0, without the name of a client, after its length
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class Kafka(Engine):
    """A broker, as a context manager.

    more: further settings of server.properties
    listeners: the security protocols of further ports, such as `SASL_SSL`; `ports` has them
    java: further options of the virtual machine
    """

    def __init__(
        self, more: Mapping[str, object] | None = None, listeners: tuple[str, ...] = (), java: tuple[str, ...] = ()
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        (self.folder / "tmp").mkdir()
        names = ("PLAINTEXT", *listeners)
        controller, *ports = free_ports(1 + len(names))
        self.ports = dict(zip(names, ports, strict=True))
        self._settings = self.folder / "server.properties"
        settings = self._make_settings(controller) | dict(more or {})
        self._settings.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._options = (*JVM, f"-Djava.io.tmpdir={self.folder / 'tmp'}", *java)
        self.daemon = Daemon(self._command("kafka.Kafka", str(self._settings)), self.folder, self.is_serving)

    def _make_settings(self, controller: int) -> dict[str, object]:
        clients = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": ",".join(
                ["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in self.ports)]
            ),
            "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": clients,
            "log.dirs": self.folder / "data",
            "num.partitions": 1,
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
        }

    def _command(self, main: str, *arguments: str) -> list[str]:
        libraries = f"{jars(Path(__file__).parent)}/*"
        return ["java", *self._options, "-cp", libraries, main, *arguments]

    @property
    def hosts(self) -> str:
        """The hosts for clients without security: `127.0.0.1:9092`."""
        return f"127.0.0.1:{self.ports['PLAINTEXT']}"

    def is_serving(self) -> bool:
        """Return True if it responds to requests."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.ports["PLAINTEXT"]), 2) as connection:
            connection.sendall(_API_VERSIONS)
            return len(connection.recv(4)) == 4
        return False

    def start(self) -> None:
        """Start it; the first time, create its directory of data."""
        if not (self.folder / "data").exists():
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
            # It may start with a dash
            run(
                self._command(
                    "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self._settings)
                ),
                60,
            )
        self.daemon.start()
        self.daemon.await_ready(START_SECONDS)

    def stop(self) -> None:
        self.daemon.stop()


def main() -> None:
    """Start it, and print its hosts."""
    with run_until_interrupted(), Kafka() as kafka:
        print(kafka.hosts, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
