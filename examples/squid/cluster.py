"""The Squid walkthrough on a cluster: ZooKeeper, Kafka, HDFS, YARN and OpenSearch, which it starts on this machine.

    python examples/squid/cluster.py                # in a temporary folder, which is removed at the end
    python examples/squid/cluster.py --keep demo    # in a new folder, which remains

It runs Metron's commands: the configuration is pushed to ZooKeeper, a model is deployed on YARN, and three topologies
process a log into documents of OpenSearch, whose alerts the alerts page shows. Then a second version of the model
replaces the first one under a stream of lines. The exit status is 0 if all checks pass, otherwise 1.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from terminal import SQUID, CommandFailed, Record, Terminal, console_script, run_walkthrough

sys.path.append(str(SQUID.parents[1]))  # which has the engines

from engines.daemon import EngineError
from engines.hadoop.hdfs import Hdfs
from engines.hadoop.yarn import Yarn
from engines.kafka.server import Kafka
from engines.opensearch.server import OpenSearch
from engines.zookeeper.server import ZooKeeper

YAHOO = "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://yahoo.com/ - DIRECT/72.30.35.10 text/html"
CNN = "1571163632.536    106 127.0.0.1 TCP_MISS/301 539 GET http://cnn.com/ - DIRECT/151.101.1.67 -"
LINES_PER_SECOND = 20
LIMIT = 120.0  # seconds
TOPOLOGY = "-z $ZOOKEEPER -k $KAFKA --patterns $SQUID/config"

# The documents of two lines in Metron's documentation; guid, original_string and times are left out
EXPECTED: dict[str, Record] = {
    "yahoo.com": {
        "action": "TCP_MISS", "bytes": 366, "code": 301, "domain_without_subdomains": "yahoo.com", "elapsed": 192,
        "full_hostname": "yahoo.com", "ip_dst_addr": "72.30.35.10", "ip_src_addr": "127.0.0.1",
        "is_malicious": "legit", "method": "GET", "source:type": "squid", "timestamp": 1571163620277,
        "url": "http://yahoo.com/",
    },
    "cnn.com": {
        "action": "TCP_MISS", "bytes": 539, "code": 301, "domain_without_subdomains": "cnn.com", "elapsed": 106,
        "full_hostname": "cnn.com", "ip_dst_addr": "151.101.1.67", "ip_src_addr": "127.0.0.1", "is_alert": "true",
        "is_malicious": "malicious", "method": "GET", "source:type": "squid", "timestamp": 1571163632536,
        "url": "http://cnn.com/", "threat:triage:score": 100.0, "threat:triage:level": 100,
    },
}  # fmt: skip


def main() -> int:
    return run_walkthrough("The Squid walkthrough on a cluster, as `make demo-cluster` runs it.", walk, start_engines)


def start_engines(stack: ExitStack) -> dict[str, str]:
    """Start the servers, and return the variables with their addresses."""
    print("# ZooKeeper, Kafka, OpenSearch, HDFS and YARN start on this machine", flush=True)
    try:
        zookeeper = stack.enter_context(ZooKeeper())
        kafka = stack.enter_context(Kafka())
        opensearch = stack.enter_context(OpenSearch())
        yarn = stack.enter_context(Yarn(zookeeper.hosts, hdfs=stack.enter_context(Hdfs())))
    except EngineError as error:
        raise CommandFailed(str(error)) from error
    return {
        "ZOOKEEPER": zookeeper.hosts,
        "KAFKA": kafka.hosts,
        "OPENSEARCH": opensearch.url,
        "HADOOP_CONF_DIR": str(yarn.conf),
    }


@contextmanager
def deployed(terminal: Terminal) -> Iterator[None]:
    """Push the configuration, create the topics, and run the service of the models on YARN."""
    terminal.comment("The configuration in ZooKeeper, and the topics of Metron's topologies")
    terminal.type("zk_load_configs.sh -m PUSH -z $ZOOKEEPER -i $SQUID/config")
    for topic in ("squid", "enrichments", "indexing"):
        terminal.type(f"stellar-pipeline topic create {topic} --kafka $KAFKA")
    terminal.comment("The service that runs models on YARN, and a mock model: yahoo.com and amazon.com are legit")
    with terminal.run_in_background("maas serve -zq $ZOOKEEPER --yarn --yarn-python $PYTHON -q default", "maas.log"):
        terminal.type_until("maas status -zq $ZOOKEEPER", "service: running", LIMIT)
        deploy(terminal, "1.0", "$SQUID/models/mock_dga")
        yield
        terminal.type("maas_deploy.sh -zq $ZOOKEEPER -mo REMOVE -n dga -v 2.0 -ni 1 --wait 300")


def deploy(terminal: Terminal, version: str, folder: str) -> None:
    terminal.type(
        f"maas_deploy.sh -zq $ZOOKEEPER -lmp {folder} -hmp dga/{version} -mo ADD -m 512 -n dga -v {version} -ni 1 "
        "--wait 300"
    )


def walk(terminal: Terminal) -> None:
    """Run the walkthrough. All processes that it starts are stopped when it returns or raises."""
    with deployed(terminal):
        run_topologies(terminal)


def run_topologies(terminal: Terminal) -> None:
    """Run the topologies, and check their documents."""
    terminal.comment("Three topologies: topics squid, enrichments and indexing, then OpenSearch")
    with ExitStack() as stack:
        for command, options in {
            "start_parser_topology.sh": " -s squid",
            "start_enrichment_topology.sh": "",
            "start_elasticsearch_topology.sh": " -o opensearch:$OPENSEARCH",
        }.items():
            stack.enter_context(terminal.run_in_background(f"{command} {TOPOLOGY}{options}", f"{command}.log"))
        check_documents(terminal)
        check_alerts_page(terminal)
        replace_model(terminal)


def check_documents(terminal: Terminal) -> None:
    """Send the lines of Metron's documentation and one that no pattern matches, and check their documents."""
    (terminal.folder / "first.log").write_text(f"{YAHOO}\n{CNN}\ngarbage\n", encoding="utf-8")
    terminal.type("stellar-pipeline topic send squid first.log --kafka $KAFKA")
    documents = await_documents(terminal, "squid_index_*", 2)
    for domain, expected in EXPECTED.items():
        [document] = [each for each in documents if each["full_hostname"] == domain]
        found = {name: document.get(name) for name in expected}
        terminal.check(f"the document of {domain} is that of Metron's documentation", found == expected)
        times = {name for name in document if name.startswith("parallelenricher:") and name.endswith(":ts")}
        terminal.check(f"it has {len(times)} times of the enrichment", len(times) == 4)
        alert = {"is_alert", *(name for name in document if name.startswith("threat:"))} & {*document}
        terminal.check(
            f"it is {'an' if 'is_alert' in expected else 'no'} alert", bool(alert) == ("is_alert" in expected)
        )
    [error] = await_documents(terminal, "error_index_*", 1)
    terminal.check("the line without a match is an error document", error["raw_message"] == "garbage")


def check_alerts_page(terminal: Terminal) -> None:
    """Check that the alerts page lists one alert, and shows its document."""
    terminal.comment("The alerts page")
    command = "stellar-pipeline alerts opensearch:$OPENSEARCH --listen 127.0.0.1:0 --notes notes.sqlite"
    with terminal.run_in_background(command, "alerts.log"):
        links = re.findall(r'href="/(documents/[^"]+)"', terminal.read_page("alerts.log"))
        pages = [terminal.read_page("alerts.log", link) for link in links]
    terminal.check("the page lists one alert, that of cnn.com", len(pages) == 1 and "http://cnn.com/" in pages[0])


def replace_model(terminal: Terminal) -> None:
    """Replace the first version of the model by a second one, for which cnn.com is legit, under a stream of lines."""
    terminal.comment("Version 2.0, for which cnn.com is legit, replaces 1.0 while lines arrive")
    shutil.copytree(SQUID / "models" / "mock_dga", terminal.folder / "dga-2.0")
    terminal.print_command("cp -r $SQUID/models/mock_dga dga-2.0")
    model = terminal.folder / "dga-2.0" / "dga.py"
    model.write_text(model.read_text().replace('"yahoo.com", ', '"yahoo.com", "cnn.com", '))
    terminal.print_command("""sed -i 's/"yahoo.com", /&"cnn.com", /' dga-2.0/dga.py""")
    with Stream(terminal) as stream:
        deploy(terminal, "2.0", "dga-2.0")
        terminal.type("maas_deploy.sh -zq $ZOOKEEPER -mo REMOVE -n dga -v 1.0 -ni 1 --wait 300")
        sent = stream.sent
        stream.await_more(sent + 2 * LINES_PER_SECOND)
    documents = await_documents(terminal, "squid_index_*", 2 + stream.sent)
    terminal.check(
        f"all {stream.sent:,} lines of the stream are documents, each with is_malicious",
        len(documents) == 2 + stream.sent and all(each.get("is_malicious") is not None for each in documents),
    )
    results = [
        each["is_malicious"] for each in sorted(documents, key=lambda each: each["elapsed"]) if is_of_stream(each)
    ]
    terminal.check("the stream begins with results of 1.0, and ends with those of 2.0", results[0] != results[-1])
    errors = await_documents(terminal, "error_index_*", 1)
    terminal.check("there are no further error documents", len(errors) == 1)


class Stream:
    """Lines of cnn.com, sent one after the other; their number is the field `elapsed`.

    sent: the number of lines so far
    """

    def __init__(self, terminal: Terminal) -> None:
        terminal.print_command(
            f"… {LINES_PER_SECOND} lines per second | stellar-pipeline topic send squid --kafka $KAFKA &"
        )
        command = [console_script("stellar-pipeline"), "topic", "send", "squid", "--kafka", terminal.variables["KAFKA"]]
        self.sent = 0
        self._process = subprocess.Popen(command, cwd=terminal.folder, stdin=subprocess.PIPE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        assert self._process.stdin is not None
        # The command may exit early, which its status shows
        with suppress(BrokenPipeError), self._process.stdin as target:
            while not self._stop.wait(1 / LINES_PER_SECOND):
                self.sent += 1
                target.write(CNN.replace("    106 ", f"    {1000 + self.sent} ").encode() + b"\n")
                target.flush()

    def await_more(self, count: int) -> None:
        """Wait until so many lines were sent."""
        wait_until(lambda: self.sent >= count, f"{count} lines")

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._process.wait(LIMIT):
            raise CommandFailed(f"topic send ended with status {self._process.returncode}")


def is_of_stream(document: Record) -> bool:
    return bool(document["elapsed"] > 1000)


def await_documents(terminal: Terminal, index: str, count: int) -> list[Record]:
    """Return the documents of an index when it has so many."""
    url = terminal.variables["OPENSEARCH"]
    wait_until(lambda: len(read_documents(url, index)) >= count, f"{count} documents in {index}")
    return read_documents(url, index)


def read_documents(url: str, index: str) -> list[Record]:
    """Return all documents of an index; none if it does not exist, or is not ready."""
    body = json.dumps({"size": 10_000}).encode()
    search = f"{url}/{index}/_search?ignore_unavailable=true&allow_no_indices=true"
    urlopen(f"{url}/_refresh", timeout=LIMIT).close()
    try:
        with urlopen(Request(search, body, {"Content-Type": "application/json"}), timeout=LIMIT) as response:
            return [hit["_source"] for hit in json.load(response)["hits"]["hits"]]
    except HTTPError as error:
        if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise CommandFailed(f"OpenSearch responded with {error}") from error
        return []


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise CommandFailed(f"after {LIMIT:g} s there are not {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
