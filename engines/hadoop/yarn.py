"""YARN on free ports of this machine: a resource manager and some node managers, with the REST interface of services.

`python -m engines.hadoop.yarn [NODES]` starts them, with a ZooKeeper, until interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from engines.daemon import Engine, free_ports, run_until_interrupted
from engines.hadoop.hdfs import Hdfs
from engines.hadoop.site import LOCALHOST, Properties, get_json, libraries, server, write_site
from engines.zookeeper.server import ZooKeeper

RESOURCE_MANAGER = "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager"
NODE_MANAGER = "org.apache.hadoop.yarn.server.nodemanager.NodeManager"
MASTER_OPTIONS = "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"

SCHEDULER: Properties = {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": 100,
    "yarn.scheduler.capacity.root.default.maximum-am-resource-percent": 0.9,  # each service has its own master
    "yarn.scheduler.capacity.maximum-am-resource-percent": 0.9,
    "yarn.scheduler.capacity.node-locality-delay": 0,
}


class Node:
    """A node manager and its containers."""

    def __init__(self, yarn: Yarn, number: int, java: tuple[str, ...]) -> None:
        self.folder = yarn.folder / f"node-{number}"
        self.port, localizer, collector, self.http = free_ports(4)  # the same after a restart
        self._resource_manager, self._ask = yarn.url, yarn.ask
        site = {
            **yarn.site,
            "yarn.nodemanager.address": f"{LOCALHOST}:{self.port}",
            "yarn.nodemanager.localizer.address": f"{LOCALHOST}:{localizer}",
            "yarn.nodemanager.collector-service.address": f"{LOCALHOST}:{collector}",
            "yarn.nodemanager.webapp.address": f"{LOCALHOST}:{self.http}",
            "yarn.nodemanager.local-dirs": self.folder / "local",
            "yarn.nodemanager.log-dirs": self.folder / "logs",
            "yarn.nodemanager.recovery.dir": self.folder / "recovery",
        }
        conf = write_site(self.folder / "conf", core=yarn.core, yarn=site, **yarn.hdfs_site)
        self.daemon = server(NODE_MANAGER, self.folder, conf, self._serves, java)

    @property
    def state(self) -> str | None:
        """Return its state in the resource manager, such as `RUNNING`; None if it is not listed any more."""
        answer = self._ask(f"{self._resource_manager}/ws/v1/cluster/nodes") or {}
        for node in (answer.get("nodes") or {}).get("node", []):
            if node["id"].endswith(f":{self.port}"):
                return str(node["state"])
        return None

    def _serves(self) -> bool:
        return self.state == "RUNNING"

    def processes(self) -> list[int]:
        """Return the processes of its containers, even if the node manager does not run."""
        return [pid for pid, words in _environments() if f"{self.folder}/".encode() in words and pid != self.daemon.pid]

    def end_processes(self) -> None:
        """Kill the processes that a killed node manager left running."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Yarn(Engine):
    """YARN, as a context manager.

    quorum: ZooKeeper for the masters of services
    nodes: number of node managers
    hdfs: default file system; by default, the local one
    site, core, scheduler: further properties of yarn-site.xml, core-site.xml and capacity-scheduler.xml
    java: further options of the virtual machines
    ask: returns the JSON at a URL, or None; for servers that require authentication
    """

    def __init__(
        self,
        quorum: str,
        nodes: int = 1,
        hdfs: Hdfs | None = None,
        *,
        site: Properties | None = None,
        core: Properties | None = None,
        scheduler: Properties | None = None,
        java: tuple[str, ...] = (),
        ask: Callable[[str], Any] = get_json,
    ) -> None:
        self.hdfs, self.ask = hdfs, ask
        self.folder = Path(tempfile.mkdtemp(prefix="yarn-"))
        self.folder.chmod(0o755)
        self.hdfs_site: dict[str, Properties] = {"hdfs": hdfs.site} if hdfs else {}
        rpc, schedules, tracks, admin, self.http = free_ports(5)
        default = hdfs.uri if hdfs else "file:///"
        home = f"{default.rstrip('/')}{'' if hdfs else self.folder}/services"
        self.core: Properties = {
            **(hdfs.core if hdfs else {}),
            "fs.defaultFS": default,
            "hadoop.tmp.dir": self.folder / "tmp",
            "hadoop.registry.zk.quorum": quorum,  # without one, a service becomes stable later
            "hadoop.registry.zk.root": "/registry",
            **(core or {}),
        }
        self.conf = self.folder / "conf"
        self.site: Properties = {
            "yarn.resourcemanager.hostname": LOCALHOST,
            "yarn.resourcemanager.address": f"{LOCALHOST}:{rpc}",
            "yarn.resourcemanager.scheduler.address": f"{LOCALHOST}:{schedules}",
            "yarn.resourcemanager.resource-tracker.address": f"{LOCALHOST}:{tracks}",
            "yarn.resourcemanager.admin.address": f"{LOCALHOST}:{admin}",
            "yarn.resourcemanager.webapp.address": f"{LOCALHOST}:{self.http}",
            "yarn.resourcemanager.recovery.enabled": True,
            "yarn.resourcemanager.store.class": "org.apache.hadoop.yarn.server.resourcemanager.recovery."
            "FileSystemRMStateStore",
            "yarn.resourcemanager.fs.state-store.uri": f"file://{self.folder}/state",
            "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": 1000,
            "yarn.resourcemanager.am.max-attempts": 10,
            "yarn.resourcemanager.connect.retry-interval.ms": 500,
            "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 200,
            "yarn.nm.liveness-monitor.expiry-interval-ms": 5000,
            # A master blocks while it connects to a dead node manager, by default for three minutes
            "yarn.client.nodemanager-connect.max-wait-ms": 5000,
            "yarn.client.nodemanager-connect.retry-interval-ms": 500,
            "yarn.am.liveness-monitor.expiry-interval-ms": 10000,
            "yarn.resourcemanager.scheduler.class": "org.apache.hadoop.yarn.server.resourcemanager.scheduler."
            "capacity.CapacityScheduler",
            "yarn.scheduler.minimum-allocation-mb": 32,
            "yarn.scheduler.maximum-allocation-mb": 8192,
            "yarn.nodemanager.hostname": LOCALHOST,
            "yarn.nodemanager.resource.memory-mb": 8192,
            "yarn.nodemanager.resource.cpu-vcores": 32,
            "yarn.nodemanager.vmem-check-enabled": False,
            "yarn.nodemanager.pmem-check-enabled": True,
            "yarn.nodemanager.resource.memory.enforced": False,  # otherwise containers above their limit are not killed
            "yarn.nodemanager.container-monitor.interval-ms": 500,
            "yarn.nodemanager.sleep-delay-before-sigkill.ms": 20000,  # time for replacing a model that YARN ends
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
            "yarn.nodemanager.env-whitelist": "JAVA_HOME,HADOOP_CONF_DIR,PATH",
            "yarn.nodemanager.delete.debug-delay-sec": 0,
            "yarn.application.classpath": f"{self.conf},{libraries()}/*",
            "yarn.webapp.api-service.enable": True,
            "yarn.service.base.path": home,
            "yarn.service.framework.path": self._framework(hdfs),
            "yarn.service.am-resource.memory": 256,
            "yarn.service.am.java.opts": MASTER_OPTIONS,
            "yarn.service.container-failure.retry-interval-ms": 500,
            "yarn.service.container-failure.retry.max": 0,  # otherwise the node restarts it unreported
            "yarn.service.readiness-check-interval.seconds": 1,
            **(site or {}),
        }
        write_site(
            self.conf, core=self.core, yarn=self.site, scheduler={**SCHEDULER, **(scheduler or {})}, **self.hdfs_site
        )
        self.resource_manager = server(
            RESOURCE_MANAGER, self.folder / "resource-manager", self.conf, self._serves, java
        )
        self.nodes = [Node(self, number, java) for number in range(1, nodes + 1)]

    @property
    def url(self) -> str:
        """The URL of its REST interface, without `/app/v1/services` and `/ws/v1/cluster`."""
        return f"http://{LOCALHOST}:{self.http}"

    def _framework(self, hdfs: Hdfs | None) -> str:
        """Return the archive of the masters' jars: links, because the nodes have the jars.

        Without it, every service copies all of Hadoop's jars.
        """
        archive = self.folder / "framework.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for jar in libraries().glob("*.jar"):
                link = tarfile.TarInfo(jar.name)
                link.type, link.linkname = tarfile.SYMTYPE, str(jar)
                tar.addfile(link)
        return hdfs.put("/framework.tar.gz", archive.read_bytes()) if hdfs else f"file://{archive}"

    def _serves(self) -> bool:
        answer = self.ask(f"{self.url}/ws/v1/cluster/info")
        return bool(answer and answer["clusterInfo"]["state"] == "STARTED")

    def services(self) -> list[str]:
        """Return the names of all services that run or are starting."""
        return [app["name"] for app in self._applications()]

    def running_containers(self) -> int:
        """Return the number of running containers, including masters, in the resource manager.

        After a restart it counts them once their nodes have registered again.
        """
        return sum(max(0, app["runningContainers"]) for app in self._applications())  # -1 if unknown

    def _applications(self) -> list[dict[str, Any]]:
        states = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
        answer = self.ask(f"{self.url}/ws/v1/cluster/apps?applicationTypes=yarn-service&states={states}") or {}
        return list((answer.get("apps") or {}).get("app", []))

    def processes(self) -> list[int]:
        """Return the processes of all containers."""
        return [pid for node in self.nodes for pid in node.processes()]

    def start(self) -> None:
        self.resource_manager.start()
        for node in self.nodes:
            node.daemon.start()
        self.resource_manager.await_ready(120)
        for node in self.nodes:
            node.daemon.await_ready(120)

    def stop(self) -> None:
        for node in self.nodes:
            node.daemon.stop(2)  # it stops slowly, and its containers are killed next
            node.end_processes()
        self.resource_manager.stop()


def _environments() -> Iterator[tuple[int, bytes]]:
    """Yield each process of this machine with its environment, if it is readable."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                yield int(entry.name), (entry / "environ").read_bytes()


def main() -> None:
    """Start it, and print its URL. The first argument is the number of node managers, by default one."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with run_until_interrupted(), ZooKeeper() as zookeeper, Yarn(zookeeper.hosts, nodes) as yarn:
        print(f"{yarn.url} HADOOP_CONF_DIR={yarn.conf} zookeeper={zookeeper.hosts}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
