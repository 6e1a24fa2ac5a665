"""Clients that find models by ZooKeeper: expressions, pipelines, programs."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from stellar.cli import main as stellar
from stellar.maas import Model, ServiceInstance, ZooKeeperRegistry
from stellar.maas.schema import Endpoint
from stellar.maas.zookeeper import ZooKeeper
from stellar.pipeline.cli import main as pipeline
from stellar.pipeline.loaders.cli import main as enrichment
from stellar.pipeline.loaders.cli.metron import flatfile_loader
from stellar.pipeline.loaders.sensors import EnrichmentNodes, add_fields, read_sensor_fields

pytestmark = pytest.mark.engine

SQUID = Path(__file__).parents[2] / "examples" / "squid" / "config"
LINE = "1571163620.277    192 127.0.0.1 TCP_MISS/301 366 GET http://{}/ - DIRECT/72.30.35.10 text/html\n"
ASK = "MAP_GET('is_malicious', MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : 'x.ru'}))"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"is_malicious": "malicious" if "x.ru" in self.path else "legit"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Suppress the log."""


@pytest.fixture
def model():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def registration(url, version="1.0"):
    return ServiceInstance.of(Model("dga", version), version, Endpoint(url=url))


def test_expressions_find_models_by_zookeeper(quorum, model, capsys):
    with ZooKeeperRegistry(quorum) as registry:
        registry.register(registration(model))
        assert stellar(["eval", "-z", quorum, "-e", ASK]) == 0
    assert stellar(["eval", "-z", quorum, "-e", ASK]) == 0
    assert capsys.readouterr().out.splitlines() == ['"malicious"', "null"]


def written(quorum: str, path: str, data: bytes) -> None:
    client = KazooClient(quorum)
    client.start()
    client.create(path, data, makepath=True)
    client.stop()
    client.close()


def test_the_shell_finds_models_and_the_global_configuration_by_zookeeper(quorum, model, capsys):
    written(quorum, "/metron/topology/global", b'{"es.ip": "node1", "maas.http.timeout.ms": 2000}')
    lines = [
        "%globals",
        "endpoint := MAAS_GET_ENDPOINT('dga')",
        "answer := MAAS_MODEL_APPLY(endpoint, {'host' : 'x.ru'})",
        "MAP_GET('is_malicious', answer)",
        "%define es.ip := 'node2'",
        "%maas",
    ]
    with ZooKeeperRegistry(quorum) as registry:
        registry.register(registration(model))
        assert stellar(["-z", quorum, *(word for line in lines for word in ("-e", line))]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "{es.ip=node1, maas.http.timeout.ms=2000}",
        f"{{name=dga, version=1.0, url={model}, endpoint:apply=apply}}",
        "{is_malicious=malicious}",
        "malicious",
        "node2",
        f"dga  1.0  {model}  apply  healthy",
    ]
    assert err == "1 call in this session: 0 cache hits, 0 failures\n"
    # Definitions are local to the shell
    assert stellar(["-z", quorum, "-e", "%globals"]) == 0
    assert capsys.readouterr().out == "{es.ip=node1, maas.http.timeout.ms=2000}\n"


def test_a_zookeeper_without_a_global_configuration_serves_models(quorum, model, capsys):
    with ZooKeeperRegistry(quorum) as registry:
        registry.register(registration(model))
        assert stellar(["-z", quorum, "-e", "%globals", "-e", "MAP_GET('url', MAAS_GET_ENDPOINT('dga'))"]) == 0
        assert stellar(["-e", f"%maas {quorum.partition('/')[0]}", "-e", "MAAS_GET_ENDPOINT('dga')"]) == 0
    assert capsys.readouterr().out == f"{{}}\n{model}\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"{", " is not JSON: Expecting property name"), (b"[]", ": expected a JSON object"), (b"\xff", " is not UTF-8")],
)
def test_an_unreadable_global_configuration_ends_the_shell(quorum, capsys, data, message):
    written(quorum, "/metron/topology/global", data)
    assert stellar(["-z", quorum, "-e", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"stellar: invalid global configuration in {quorum}: /metron/topology/global{message}")


def test_invalid_settings_end_the_shell(quorum, capsys):
    written(quorum, "/metron/topology/global", b'{"maas.http.timeout.ms": "soon"}')
    assert stellar(["-z", quorum, "-e", "1"]) == 1
    assert "maas.http.timeout.ms" in capsys.readouterr().err


def test_pipelines_find_models_by_the_zookeeper_in_the_global_configuration(quorum, model, tmp_path):
    shutil.copytree(SQUID, tmp_path / "config")
    settings = (tmp_path / "config/global.json").read_text()
    own = '{"maas.zk.config.path": "/python/config", "maas.version.comparison": "lexical",'
    (tmp_path / "config/global.json").write_text(settings.replace("{", own, 1))
    client = KazooClient(quorum)
    client.start()
    client.create("/python/config", b'{"serviceRoot":"/python/service"}', makepath=True)
    client.stop()
    client.close()
    (tmp_path / "log").write_text(LINE.format("x.ru") + LINE.format("yahoo.com"))
    with ZooKeeperRegistry(quorum, config_path="/python/config") as registry:
        registry.register(registration(model, "9.0"))
        registry.register(registration("http://127.0.0.1:1", "10.0"))  # older by string order
        line = ["run", "--config", str(tmp_path / "config"), "--sensor", "squid", "-z", quorum, "--quiet"]
        assert pipeline([*line, "--output", str(tmp_path / "out"), str(tmp_path / "log")]) == 0
    records = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [record["is_malicious"] for record in records] == ["malicious", "legit"]


def test_a_loader_uses_the_global_configuration_in_zookeeper(quorum, tmp_path, capsys):
    store = f"sqlite:{tmp_path}/store.db"
    written(quorum, "/metron/topology/global", json.dumps({"enrichment.store": store, "feed": "of us"}).encode())
    options = {"columns": ["ip"], "type": "t", "zk_quorum": quorum, "value_transform": {"by": "feed"}}
    extractor, feed = tmp_path / "extractor.json", tmp_path / "feed.csv"
    extractor.write_text(json.dumps({"extractor": "CSV", "config": options}))
    feed.write_text("10.0.0.1\n")
    assert enrichment(["load", "-e", str(extractor), "-t", "enrichment", str(feed)]) == 0
    assert enrichment(["get", "-t", "enrichment", "--store", store, "t", "10.0.0.1"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ip": "10.0.0.1", "by": "of us"}


FIELDS = {
    "bro": {"type": "THREAT_INTEL", "fieldToEnrichmentTypes": {"ip_src_addr": ["bad"], "ip_dst_addr": ["bad"]}},
    "yaf": {"type": "ENRICHMENT", "fieldToEnrichmentTypes": {"host": ["asset"]}},
}
BRO = b"""{"enrichment": {"fieldMap": {"geo": ["ip_dst_addr"]}},
 "threatIntel": {"fieldMap": {"hbaseThreatIntel": ["ip_src_addr"]}, "fieldToTypeMap": {"ip_src_addr": ["other"]}}}"""
BRO_AFTER = b"""{
  "enrichment" : {
    "fieldMap" : {
      "geo" : [ "ip_dst_addr" ]
    }
  },
  "threatIntel" : {
    "fieldMap" : {
      "hbaseThreatIntel" : [ "ip_src_addr", "ip_dst_addr" ]
    },
    "fieldToTypeMap" : {
      "ip_src_addr" : [ "other", "bad" ],
      "ip_dst_addr" : [ "bad" ]
    }
  }
}"""
YAF_AFTER = b"""{
  "enrichment" : {
    "fieldMap" : {
      "hbaseEnrichment" : [ "host" ]
    },
    "fieldToTypeMap" : {
      "host" : [ "asset" ]
    }
  }
}"""


def read_nodes(quorum: str) -> dict[str, tuple[bytes, int]]:
    """Return the data and the version of each node with an enrichment configuration."""
    client = KazooClient(quorum)
    client.start()
    root = "/metron/topology/enrichments"
    found = {name: client.get(f"{root}/{name}") for name in client.get_children(root)}
    client.stop()
    client.close()
    return {name: (data, state.version) for name, (data, state) in found.items()}


def run_loader(tmp_path: Path, quorum: str, *arguments: str, in_file: str | None = None) -> int:
    (tmp_path / "extractor.json").write_text(
        json.dumps({"extractor": "CSV", "config": {"columns": ["ip"], "type": "bad", "zk_quorum": quorum}})
    )
    (tmp_path / "fields.json").write_text(json.dumps({"zkQuorum": in_file, "sensorToFieldList": FIELDS}))
    (tmp_path / "feed.csv").write_text("10.0.0.1\n")
    paths = {name: str(tmp_path / name) for name in ("extractor.json", "fields.json", "feed.csv")}
    given = ["-e", paths["extractor.json"], "-n", paths["fields.json"], "-i", paths["feed.csv"], "-t", "threatintel"]
    return flatfile_loader([*given, "-c", "t", *arguments])


@pytest.mark.parametrize("is_option", [True, False])
def test_a_loader_adds_fields_to_the_nodes_of_sensors(quorum, tmp_path, is_option, capsys):
    written(quorum, "/metron/topology/global", json.dumps({"enrichment.store": f"sqlite:{tmp_path}/s.db"}).encode())
    written(quorum, "/metron/topology/enrichments/bro", BRO)
    given = ["-z", quorum] if is_option else []
    in_file = "127.0.0.1:1" if is_option else quorum
    assert run_loader(tmp_path, quorum, *given, in_file=in_file) == 0
    assert read_nodes(quorum) == {"bro": (BRO_AFTER, 1), "yaf": (YAF_AFTER, 0)}
    names = [f"{quorum}/metron/topology/enrichments/{sensor}" for sensor in ("bro", "yaf")]
    assert capsys.readouterr().err.splitlines()[-2:] == [
        f"flatfile_loader.sh: fields added to {each}" for each in names
    ]
    assert run_loader(tmp_path, quorum, *given, in_file=in_file) == 0
    assert read_nodes(quorum) == {"bro": (BRO_AFTER, 1), "yaf": (YAF_AFTER, 0)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "/metron/topology/enrichments/bro: invalid JSON"),
        (b'{"enrichments": {}}', "unknown key 'enrichments'; did you mean enrichment?"),
        (b"{} // mine", "the file has comments, which would be lost"),
        (b"\xff", "/metron/topology/enrichments/bro: invalid UTF-8 at byte 0"),
    ],
)
def test_an_invalid_node_is_an_error_before_anything_is_loaded(quorum, tmp_path, data, message, capsys):
    written(quorum, "/metron/topology/global", json.dumps({"enrichment.store": f"sqlite:{tmp_path}/s.db"}).encode())
    written(quorum, "/metron/topology/enrichments/bro", data)
    assert run_loader(tmp_path, quorum, "-z", quorum) == 1
    assert message in capsys.readouterr().err
    assert read_nodes(quorum) == {"bro": (data, 0)}
    assert not (tmp_path / "s.db").exists()


def test_a_change_of_a_node_by_another_client_is_not_lost(quorum, tmp_path):
    (tmp_path / "fields.json").write_text(json.dumps({"sensorToFieldList": FIELDS}))
    fields = read_sensor_fields(tmp_path / "fields.json")
    with ZooKeeper(quorum) as zookeeper:
        others = [b"{}", b'{"configuration": {"by": "another"}}']

        class Contended(EnrichmentNodes):
            """Nodes that another client changes after the first two reads."""

            def write(self, changes):
                if others:
                    zookeeper.write("/metron/topology/enrichments/bro", others.pop(0))
                super().write(changes)

        assert len(add_fields(Contended(zookeeper), fields)) == 2
    (data, version), _ = read_nodes(quorum)["bro"], read_nodes(quorum)["yaf"]
    assert version == 2
    assert json.loads(data)["configuration"] == {"by": "another"}
    assert json.loads(data)["threatIntel"]["fieldMap"] == {"hbaseThreatIntel": ["ip_src_addr", "ip_dst_addr"]}
