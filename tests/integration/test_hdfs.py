"""Models with files in HDFS, as in Metron."""

from __future__ import annotations

import getpass

import pytest

import stellar
from maas_runtime.cli.main import main
from stellar.functions import SHELL_LIBRARY
from stellar.functions.hdfs import Hdfs
from stellar.language.context import Context, GlobalSettings
from stellar.net.hadoop.webhdfs import WebHdfs, open_hdfs

from .conftest import ADD, AT, wait_for

pytestmark = pytest.mark.engine


@pytest.fixture
def configured(hdfs, monkeypatch):
    """Configure Hadoop for the commands."""
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hdfs.conf))
    return hdfs


def test_files_are_uploaded_to_hdfs_and_fetched_from_it(configured, world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    with WebHdfs([configured.url]) as hdfs:
        assert {"dga.py", "rest.sh"} <= {status.name for status in hdfs.list("/user/root/models")}
    assert not (world.registry_dir / "store").exists()
    world.ready(1)
    world.deploy("-mo", "REMOVE", "-ni", 1, *AT, "--wait")


def test_a_store_can_be_a_webhdfs_uri(hdfs, world):
    store = hdfs.url.replace("http://", "webhdfs://")
    world.start(options=("--store", store))
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--store", store, "--wait")
    world.ready(1)


def test_a_path_missing_in_hdfs_is_reported(configured, world):
    status, output, errors = world.run(main_deploy, *ADD[:2], "-hmp", "/user/root/nothing", "-m", 512, *AT, "-ni", 1)
    assert (status, output) == (1, "")
    assert "unknown path /user/root/nothing in the model store; upload the model's files with -lmp" in errors


def main_deploy(words):
    return main(["deploy", *words])


def test_the_doctor_checks_the_home_directory(configured, quorum, capsys, tmp_path, monkeypatch):
    line = ["doctor", "-zq", quorum, "--registry", str(tmp_path)]
    monkeypatch.setenv("HADOOP_USER_NAME", "newcomer")
    main(line)
    results = capsys.readouterr().out
    assert f"HDFS at {configured.uri} has no home directory /user/newcomer" in results
    assert "hdfs dfs -mkdir -p /user/newcomer; hdfs dfs -chown newcomer /user/newcomer" in results
    with WebHdfs([configured.url], user=getpass.getuser()) as administrator:
        administrator._request_json("PUT", "/user/newcomer", "MKDIRS")
        main(line)
        assert "Permission denied: user=newcomer" in capsys.readouterr().out
        administrator._request_json("PUT", "/user/newcomer", "SETOWNER", owner="newcomer")
    main(line)
    assert f"HDFS at {configured.uri}: /user/newcomer is readable and writable" in capsys.readouterr().out
    with open_hdfs() as hdfs:
        assert hdfs.list("/user/newcomer") == []


def test_expressions_read_the_same_files(hdfs, caplog):
    settings = GlobalSettings({"hdfs.uri": hdfs.url.replace("http://", "webhdfs://")})
    context = Context({GlobalSettings: settings})

    def evaluate(expression):
        return stellar.evaluate(expression, {}, context, library=SHELL_LIBRARY)

    try:
        assert evaluate("HDFS_WRITE('a\\nb é', 'expressions/deep/file.txt')") is True
        assert evaluate("HDFS_READ('expressions/deep/file.txt')") == "a\nb é"
        user = getpass.getuser()
        assert evaluate(f"HDFS_READ_LINES('/user/{user}/expressions/deep/file.txt')") == ["a", "b é"]
        assert "file.txt" in evaluate("HDFS_LS('expressions/deep')")
        assert "rw-r--r--" in evaluate("HDFS_LS('expressions/deep/file.txt')")
        assert "expressions" in evaluate("HDFS_LS()")
        assert evaluate("HDFS_RM('expressions')") is False
        assert "Directory is not empty" in caplog.text
        assert evaluate("HDFS_RM('expressions', true)") is True
        assert evaluate("HDFS_RM('expressions')") is True
        assert evaluate("HDFS_READ('expressions/deep/file.txt')") is None
        assert evaluate("HDFS_READ('')") is None
    finally:
        context[Hdfs].close()


def test_a_missing_or_unreachable_hdfs_is_logged(caplog, monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    read = stellar.compile("HDFS_READ('/x')", library=SHELL_LIBRARY)
    assert read({}, Context()) is None
    assert "no HDFS configured" in caplog.text
    context = Context({GlobalSettings: GlobalSettings({"hdfs.uri": "webhdfs://127.0.0.1:1"})})
    assert read({}, context) is None
    assert "can't reach HDFS: http://127.0.0.1:1" in caplog.text
    context[Hdfs].close()


def test_the_doctor_reports_an_unreachable_hdfs(quorum, capsys, tmp_path):
    main(["doctor", "-zq", quorum, "--registry", str(tmp_path), "--store", "webhdfs://127.0.0.1:1"])
    assert "the model store: can't reach HDFS: http://127.0.0.1:1: " in capsys.readouterr().out
