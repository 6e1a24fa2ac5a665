"""`stellar-pipeline run` and `explain` with a configuration in ZooKeeper."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from stellar.maas import Model, ServiceInstance, ZooKeeperRegistry
from stellar.maas.schema import Endpoint
from stellar.maas.zookeeper import ZooKeeper
from stellar.net.hadoop.webhdfs import open_hdfs
from stellar.pipeline.cli import main
from stellar.pipeline.config.cluster import ZooKeeperLocation, read_location
from stellar.stores.configurations import ROOT
from tests.pipeline.killing import wait_for

engine = pytest.mark.engine


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("zookeeper:node1:2181", ZooKeeperLocation("node1:2181")),
        ("zookeeper:node1:2181,node2:2181/metron", ZooKeeperLocation("node1:2181,node2:2181")),
        ("zookeeper:node1:2181/a/b/metron", ZooKeeperLocation("node1:2181/a/b")),
        ("zookeeper:node1:2181/other", ZooKeeperLocation("node1:2181", "/other")),
        ("zookeeper:[::1]:2181", ZooKeeperLocation("[::1]:2181")),
        ("config", Path("config")),
        ("/zookeeper:x", Path("/zookeeper:x")),
    ],
)
def test_a_location_is_a_directory_or_a_node(text: str, location: object) -> None:
    assert read_location(text) == location


@pytest.mark.parametrize("text", ["zookeeper:", "zookeeper:/metron", "zookeeper:a:1/", "zookeeper:a:1/../metron"])
def test_an_invalid_location_is_an_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--config", text, "--sensor", "web"])
    assert "expected zookeeper:HOST:PORT,…/PATH, as in zookeeper:node1:2181" in capsys.readouterr().err


def test_other_commands_need_a_directory(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["triage", "--config", "zookeeper:node1:2181"])
    assert "zk_load_configs.sh -m PULL" in capsys.readouterr().err


def test_a_directory_of_patterns_needs_a_configuration_without_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["run", "--config", str(tmp_path), "--patterns", str(tmp_path), "--sensor", "web"])
    assert (status, "--patterns has no effect with a directory" in capsys.readouterr().err) == (2, True)


def test_a_server_that_cannot_be_reached_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", "zookeeper:no.such.host.invalid:2181", "--sensor", "web"]) == 1
    assert "unknown host no.such.host.invalid" in capsys.readouterr().err


@pytest.fixture
def cluster(quorum: str) -> Iterator[ZooKeeper]:
    with ZooKeeper(quorum) as zookeeper:
        put(zookeeper, "parsers/web", parser("'first'"))
        yield zookeeper


def parser(expression: str, **more: Any) -> dict[str, Any]:
    transformation = {"transformation": "STELLAR", "output": ["state"], "config": {"state": expression}}
    return {"parserClassName": "JSONMap", "fieldTransformations": [transformation], **more}


def put(zookeeper: ZooKeeper, path: str, value: object) -> None:
    zookeeper.write(f"{ROOT}/{path}", json.dumps(value).encode())


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def follow(zookeeper: ZooKeeper, log: Path, output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run `stellar-pipeline run --follow` in a process."""
    program = "import sys; from stellar.pipeline.cli import main; sys.exit(main())"
    config = ["--config", f"zookeeper:{zookeeper.hosts}/metron", "--sensor", "web"]
    command = [sys.executable, "-c", program, "run", *config, "--follow", "--output", str(output), *options, str(log)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@engine
def test_a_run_follows_its_configuration(cluster: ZooKeeper, tmp_path: Path) -> None:
    log, output = tmp_path / "web.log", tmp_path / "out.jsonl"
    log.write_text("")

    def process_one(number: int) -> Any:
        with log.open("a") as stream:
            stream.write(f'{{"timestamp": {number}}}\n')
        wait_for(lambda: len(read(output)) == number)
        return read(output)[-1]["state"]

    with follow(cluster, log, output) as process:
        assert process.stderr is not None
        assert process_one(1) == "first"
        put(cluster, "parsers/web", parser("TO_UPER('x')"))
        problem, *_ = takewhile(lambda line: "stays in force" not in line, process.stderr)
        assert process_one(2) == "first"
        put(cluster, "parsers/web", parser("'second'"))
        assert process.stderr.readline() == "stellar-pipeline: the changed configuration is in force: parsers/web\n"
        assert process_one(3) == "second"
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate()
    assert problem.startswith(f"stellar-pipeline: zookeeper:{cluster.hosts}{ROOT}/parsers/web:1:")
    assert "3 parsed = 3 out + 0 dropped + 0 rejected" in rest
    assert process.returncode == 0


@engine
def test_processes_report_changes_that_they_do_not_follow(cluster: ZooKeeper, tmp_path: Path) -> None:
    log, output = tmp_path / "web.log", tmp_path / "out.jsonl"
    log.write_text('{"timestamp": 1}\n')
    with follow(cluster, log, output, "--workers", "2") as process:
        assert process.stderr is not None
        wait_for(lambda: len(read(output)) == 1)
        put(cluster, "parsers/other", parser("'other'"))
        put(cluster, "parsers/web", parser("'second'"))
        change = (
            "stellar-pipeline: parsers/web changed: restart the run, as its --workers have the earlier configuration"
        )
        assert process.stderr.readline().rstrip() == change
        put(cluster, "parsers/web", parser("1 +"))
        assert f"zookeeper:{cluster.hosts}{ROOT}/parsers/web:1:" in process.stderr.readline()
        with log.open("a") as stream:
            stream.write('{"timestamp": 2}\n')
        wait_for(lambda: len(read(output)) == 2)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate()
    assert [record["state"] for record in read(output)] == ["first", "first"]
    assert "2 parsed = 2 out + 0 dropped + 0 rejected" in rest


@engine
@pytest.mark.parametrize("workers", ["1", "2"])
def test_models_are_those_of_the_same_zookeeper(cluster: ZooKeeper, tmp_path: Path, workers: str) -> None:
    registry = ZooKeeperRegistry(cluster)
    endpoint = Endpoint(url="http://127.0.0.1:9")
    registry.register(ServiceInstance.of(Model("dga", "1.0"), "one", endpoint))
    put(cluster, "parsers/web", parser("MAP_GET('version', MAAS_GET_ENDPOINT('dga'))"))
    log, output = tmp_path / "web.log", tmp_path / "out.jsonl"
    log.write_text('{"timestamp": 1}\n')
    config = ["--config", f"zookeeper:{cluster.hosts}/metron", "--sensor", "web"]
    assert main(["run", *config, "--workers", workers, "--output", str(output), str(log)]) == 0
    assert [record["state"] for record in read(output)] == ["1.0"]
    registry.close()


@engine
def test_compiled_expressions_are_stored_for_the_next_run(
    cluster: ZooKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STELLAR_CACHE", str(tmp_path / "cache"))
    log, output = tmp_path / "web.log", tmp_path / "out.jsonl"
    log.write_text('{"timestamp": 1}\n')
    config = ["--config", f"zookeeper:{cluster.hosts}/metron", "--sensor", "web"]
    for expression, state in (("'first'", "first"), ("'first'", "first"), ("'second'", "second")):
        put(cluster, "parsers/web", parser(expression))
        assert main(["run", *config, "--output", str(output), str(log)]) == 0
        assert [record["state"] for record in read(output)] == [state]
    assert any((tmp_path / "cache").iterdir())


@engine
def test_a_record_is_explained_by_the_configuration_in_zookeeper(
    cluster: ZooKeeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "web.log"
    log.write_text('{"timestamp": 1}\n')
    assert main(["explain", "--config", f"zookeeper:{cluster.hosts}/metron", "--sensor", "web", str(log)]) == 0
    assert "first" in capsys.readouterr().out


@engine
def test_patterns_are_those_of_a_directory(
    cluster: ZooKeeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "web").write_text("WEB %{NUMBER:timestamp} %{GREEDYDATA:rest}\n")
    options = {"grokPath": "/apps/web", "patternLabel": "WEB", "timestampField": "timestamp"}
    put(cluster, "parsers/web", {"parserClassName": "Grok", "parserConfig": options})
    log, output = tmp_path / "web.log", tmp_path / "out.jsonl"
    log.write_text("1 x\n")
    config = ["--config", f"zookeeper:{cluster.hosts}/metron", "--patterns", str(tmp_path), "--sensor", "web"]
    assert main(["run", *config, "--output", str(output), str(log)]) == 0
    assert [record["rest"] for record in read(output)] == ["x"]
    assert main(["run", "--config", f"zookeeper:{cluster.hosts}/metron", "--sensor", "web", str(log)]) == 1
    assert "unknown pattern file '/apps/web'" in (error := capsys.readouterr().err)
    assert "--patterns DIR names a directory that has a copy" in error


@engine
def test_patterns_are_read_from_hdfs(
    cluster: ZooKeeper, hdfs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = hdfs.url.replace("http://", "webhdfs://")
    path = f"/apps/{tmp_path.name}/web"
    with open_hdfs(uri) as files:
        files.write(path, b"WEB %{NUMBER:timestamp} %{GREEDYDATA:rest}\n")
    options = {"grokPath": path, "patternLabel": "WEB", "timestampField": "timestamp"}
    put(cluster, "parsers/web", {"parserClassName": "Grok", "parserConfig": options})
    put(cluster, "global", {"hdfs.uri": uri})
    log, output = tmp_path / "web.log", tmp_path / "out.jsonl"
    log.write_text("1 x\n")
    arguments = ["run", "--config", f"zookeeper:{cluster.hosts}/metron", "--sensor", "web", "--output", str(output)]
    assert main([*arguments, str(log)]) == 0
    assert [record["rest"] for record in read(output)] == ["x"]
    assert main(["config", "check", "-z", cluster.hosts]) == 0
    capsys.readouterr()
    put(cluster, "parsers/web", {"parserClassName": "Grok", "parserConfig": {**options, "grokPath": "/no/such"}})
    assert main([*arguments, str(log)]) == 1
    assert "unknown pattern file '/no/such'" in capsys.readouterr().err
    put(cluster, "global", {"hdfs.uri": "webhdfs://127.0.0.1:1"})
    assert main([*arguments, str(log)]) == 1
    assert "grokPath: cannot read /no/such in HDFS: " in capsys.readouterr().err


@engine
def test_directories_of_the_output_follow_the_configuration(
    cluster: ZooKeeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(cluster, "indexing/web", {"hdfs": {"enabled": False}})
    log = tmp_path / "web.log"
    log.write_text('{"timestamp": 1}\n')
    arguments = [
        "run",
        "--config",
        f"zookeeper:{cluster.hosts}/metron",
        "--sensor",
        "web",
        "--output",
        f"{tmp_path}/out/",
    ]
    assert main([*arguments, str(log)]) == 1
    assert f"zookeeper:{cluster.hosts}{ROOT}/indexing/web" in capsys.readouterr().err
    put(cluster, "indexing/web", {"hdfs": {"outputPathFunction": "'chosen'"}})
    assert main([*arguments, str(log)]) == 0
    assert [path.parent.name for path in (tmp_path / "out").glob("*/*.jsonl")] == ["chosen"]


@engine
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_node_without_configurations_is_an_error(
    cluster: ZooKeeper, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    config = ["--config", f"zookeeper:{cluster.hosts}/absent", "--sensor", "web", "--workers", workers]
    assert main(["run", *config, "-"]) == 1
    assert "no configuration in this node; check the path, which ends in /metron" in capsys.readouterr().err


@engine
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_invalid_configuration_ends_the_run_with_its_position(
    cluster: ZooKeeper, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    put(cluster, "parsers/web", {"parserClassName": "JSONMap", "colour": 1})
    config = ["--config", f"zookeeper:{cluster.hosts}/metron", "--sensor", "web", "--workers", workers]
    assert main(["run", *config, "-"]) == 1
    error = capsys.readouterr().err
    assert f"stellar-pipeline: zookeeper:{cluster.hosts}{ROOT}/parsers/web:1:32: colour: unknown key 'colour'" in error
