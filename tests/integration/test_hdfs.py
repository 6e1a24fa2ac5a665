"""Models whose files are in HDFS, as Metron keeps them."""

from __future__ import annotations

import getpass

import pytest

from maas_runtime.cli import main
from stellar.hadoop.webhdfs import WebHdfs, connected

from .conftest import ADD, AT, wait_for

pytestmark = pytest.mark.engine


@pytest.fixture
def configured(hdfs, monkeypatch):
    """Hadoop is configured for who calls commands."""
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hdfs.conf))
    return hdfs


def test_metrons_command_puts_the_files_into_hdfs_and_the_service_takes_them_from_there(configured, world):
    world.start()
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--wait")
    with WebHdfs([configured.url]) as hdfs:
        assert {"dga.py", "rest.sh"} <= {status.name for status in hdfs.list("/user/root/models")}
    assert not (world.place / "store").exists()
    world.ready(1)
    world.deploy("-mo", "REMOVE", "-ni", 1, *AT, "--wait")


def test_a_store_may_be_named_by_its_rest_interface(hdfs, world):
    store = hdfs.url.replace("http://", "webhdfs://")
    world.start(options=("--store", store))
    wait_for(lambda: "this service leads" in world.log())
    world.deploy("-lmp", world.model, *ADD, "-ni", 1, "--store", store, "--wait")
    world.ready(1)


def test_what_is_not_in_hdfs_is_said_to_be_missing(configured, world):
    status, output, errors = world.run(main_deploy, *ADD[:2], "-hmp", "/user/root/nothing", "-m", 512, *AT, "-ni", 1)
    assert (status, output) == (1, "")
    assert "the model store has no directory /user/root/nothing; upload the model's files with -lmp" in errors


def main_deploy(words):
    return main(["deploy", *words])


def test_the_doctor_sees_whether_there_is_a_home(configured, quorum, capsys, tmp_path, monkeypatch):
    line = ["doctor", "-zq", quorum, "--registry", str(tmp_path)]
    monkeypatch.setenv("HADOOP_USER_NAME", "newcomer")
    main(line)
    said = capsys.readouterr().out
    assert f"HDFS at {configured.uri} has no home directory /user/newcomer" in said
    assert "hdfs dfs -mkdir -p /user/newcomer; hdfs dfs -chown newcomer /user/newcomer" in said
    with WebHdfs([configured.url], user=getpass.getuser()) as administrator:
        administrator.make_directories("/user/newcomer")
        main(line)
        assert "Permission denied: user=newcomer" in capsys.readouterr().out
        administrator.set_owner("/user/newcomer", "newcomer")
    main(line)
    assert f"HDFS at {configured.uri}: /user/newcomer can be read and written" in capsys.readouterr().out
    with connected() as hdfs:
        assert hdfs.list("/user/newcomer") == []


def test_the_doctor_says_when_hdfs_is_away(quorum, capsys, tmp_path):
    main(["doctor", "-zq", quorum, "--registry", str(tmp_path), "--store", "webhdfs://127.0.0.1:1"])
    assert "the model store: HDFS can't be reached: http://127.0.0.1:1: " in capsys.readouterr().out
