"""HDFS on free ports of this machine: a name node and a data node, with their REST interface (WebHDFS).

`python -m engines.hadoop.hdfs` starts them, until interrupted.
"""

from __future__ import annotations

import json
import signal
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engines.daemon import Daemon, Engine, free_ports, run, run_until_interrupted
from engines.hadoop.site import LOCALHOST, Properties, command, get_json, server, user, write_site

NAME_NODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATA_NODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"


class Hdfs(Engine):
    """HDFS, as a context manager.

    core, site: further properties of core-site.xml and hdfs-site.xml
    java: further options of the virtual machines
    ask: returns the JSON at a URL, or None; for servers that require authentication
    """

    def __init__(
        self,
        core: Properties | None = None,
        site: Properties | None = None,
        java: tuple[str, ...] = (),
        ask: Callable[[str], Any] = get_json,
    ) -> None:
        self.folder, self._java, self._ask = Path(tempfile.mkdtemp(prefix="hdfs-")), java, ask
        self.rpc, self.http, data, ipc, data_http = free_ports(5)
        self.core: Properties = {"fs.defaultFS": self.uri, "hadoop.tmp.dir": self.folder / "tmp", **(core or {})}
        self.site: Properties = {
            "dfs.replication": 1,
            "dfs.webhdfs.enabled": True,
            "dfs.namenode.rpc-address": f"{LOCALHOST}:{self.rpc}",
            "dfs.namenode.http-address": f"{LOCALHOST}:{self.http}",
            "dfs.namenode.name.dir": f"file://{self.folder}/name",
            "dfs.namenode.safemode.extension": 0,
            "dfs.datanode.hostname": LOCALHOST,
            "dfs.datanode.address": f"{LOCALHOST}:{data}",
            "dfs.datanode.ipc.address": f"{LOCALHOST}:{ipc}",
            "dfs.datanode.http.address": f"{LOCALHOST}:{data_http}",
            "dfs.datanode.data.dir": f"file://{self.folder}/data",
            "dfs.heartbeat.interval": 1,
            **(site or {}),
        }
        self.conf = write_site(self.folder / "conf", core=self.core, hdfs=self.site)
        for pages in ("hdfs", "datanode", "secondary"):  # missing in the jar, but required by the servers
            (self.conf / "webapps" / pages).mkdir(parents=True)
        self.name_node = self._server(NAME_NODE, lambda: self._state() is not None, java)
        self.data_node = self._server(DATA_NODE, self._serves, java)

    @property
    def uri(self) -> str:
        """The URI for Hadoop's own clients."""
        return f"hdfs://{LOCALHOST}:{self.rpc}"

    @property
    def url(self) -> str:
        """The URL of its REST interface, without `/webhdfs/v1`."""
        return f"http://{LOCALHOST}:{self.http}"

    def _server(self, main: str, ready: Callable[[], bool], java: tuple[str, ...]) -> Daemon:
        folder = self.folder / main.rpartition(".")[2]
        return server(main, folder, self.conf, ready, java)

    def _state(self) -> dict[str, object] | None:
        answer = self._ask(f"{self.url}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState")
        return answer["beans"][0] if answer and answer["beans"] else None

    def _serves(self) -> bool:
        state = self._state() or {}
        return state.get("FSState") == "Operational" and state.get("NumLiveDataNodes") == 1

    def put(self, path: str, data: bytes) -> str:
        """Write a file that all users can read. Return its URI."""
        target = f"{self.url}/webhdfs/v1{path}?op=CREATE&overwrite=true&user.name={user()}"
        with urllib.request.urlopen(urllib.request.Request(f"{target}&noredirect=true", method="PUT")) as answer:
            location = json.load(answer)["Location"]
        urllib.request.urlopen(urllib.request.Request(location, data, method="PUT")).close()
        return self.uri + path

    def start(self) -> None:
        if not (self.folder / "name").exists():
            run(command(NAME_NODE, self.folder, self.conf, "-format", "-nonInteractive", options=self._java), 60)
        self.name_node.start()
        self.data_node.start()
        self.name_node.await_ready()
        self.data_node.await_ready()

    def stop(self) -> None:
        self.data_node.stop()
        self.name_node.stop()


def main() -> None:
    """Start it, and print its URLs."""
    with run_until_interrupted(), Hdfs() as hdfs:
        print(hdfs.uri, hdfs.url, f"HADOOP_CONF_DIR={hdfs.conf}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
