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
from stellar.pipeline.cli import main as pipeline
from stellar.pipeline.loaders.cli import main as enrichment

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
