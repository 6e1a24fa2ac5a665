"""WebHDFS with faked responses: several name nodes, and servers that are not HDFS."""

from __future__ import annotations

import httpx
import pytest

from stellar.net.hadoop.webhdfs import WebHdfs, connected

STANDBY = {"RemoteException": {"exception": "StandbyException", "message": "state standby\nat java"}}
HOME = {"Path": "/user/me"}


def make_client(answers, urls=("http://one:9870", "http://two:9870")):
    """Make a client of fake name nodes, and the list of hosts that it called."""
    asked = []

    def answer(request):
        asked.append(request.url.host)
        given = answers[request.url.host]
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

    return WebHdfs(urls, transport=httpx.MockTransport(answer)), asked


@pytest.mark.parametrize("away", [httpx.Response(403, json=STANDBY), httpx.ConnectError("refused")])
def test_the_active_name_node_is_found_and_tried_first(away):
    hdfs, asked = make_client({"one": away, "two": HOME})
    assert [hdfs.home(), hdfs.home()] == ["/user/me"] * 2
    assert asked == ["one", "two", "two"]


def test_a_request_that_may_have_been_executed_is_not_repeated():
    hdfs, asked = make_client({"one": httpx.ReadTimeout("late"), "two": HOME})
    with pytest.raises(ConnectionError, match="HDFS can't be reached: http://one:9870: late"):
        hdfs.delete("/x")
    assert asked == ["one"]


def test_without_an_active_name_node_each_is_reported():
    hdfs, _ = make_client({"one": httpx.Response(403, json=STANDBY), "two": httpx.ConnectError("")})
    with pytest.raises(ConnectionError, match=r"http://one:9870: state standby; http://two:9870: ConnectError$"):
        hdfs.home()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_a_server_that_is_not_hdfs_is_reported(body):
    hdfs, _ = make_client({"one": httpx.Response(200, content=body)}, ["http://one:9870"])
    with pytest.raises(ConnectionError, match="one:9870 answers, but not as HDFS does"):
        hdfs.home()


@pytest.mark.parametrize(
    "location",
    [
        "https://data:9864/webhdfs/v1/x?op=OPEN",
        "file:///etc/passwd",
        "http://data:9864/elsewhere",
        "http://user:word@data:9864/webhdfs/v1/x",
        "//data/webhdfs/v1/x",
        "",
        None,
    ],
)
def test_a_redirect_to_an_invalid_url_is_rejected(location):
    hdfs, asked = make_client({"one": {"Location": location}}, ["http://one:9870"])
    with pytest.raises(OSError, match="which is no data node's address"):
        hdfs.read("/x")
    assert asked == ["one"]


SITE = "<configuration>%s</configuration>"
PROPERTY = "<property><name>%s</name><value>%s</value></property>"


def site(folder, name, **properties):
    rows = "".join(PROPERTY % (key.replace("__", "-").replace("_", "."), value) for key, value in properties.items())
    (folder / f"{name}-site.xml").write_text(SITE % rows)


@pytest.fixture
def conf(tmp_path, monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    return tmp_path


def test_several_name_nodes_are_found_in_hadoops_configuration(conf):
    site(conf, "core", fs_defaultFS="hdfs://estate")
    site(
        conf,
        "hdfs",
        dfs_ha_namenodes_estate="a, b",
        dfs_namenode_http__address_estate_a="one:9870",
        dfs_namenode_http__address_estate_b="two:9870",
    )
    with connected() as hdfs:
        assert (hdfs.uri, hdfs.urls) == ("hdfs://estate", ["http://one:9870", "http://two:9870"])


def test_the_default_port_is_used_if_none_is_configured(conf):
    for uri, url in (
        ("hdfs://node1:8020", "http://node1:9870"),
        ("webhdfs://node1:50070", "http://node1:50070"),
        ("swebhdfs://node1:9871", "https://node1:9871"),
    ):
        with connected(uri) as hdfs:
            assert hdfs.urls == [url]
    site(conf, "hdfs", dfs_http_policy="HTTPS_ONLY")
    with connected("hdfs://node1:8020") as hdfs:
        assert hdfs.urls == ["https://node1:9871"]


@pytest.mark.parametrize("uri", ["http://node1:9870", "hdfs:///x", "node1:8020", "s3://bucket"])
def test_an_invalid_hdfs_uri_is_rejected(uri):
    with pytest.raises(ValueError, match=r"is not an address such as hdfs://node1:8020"):
        connected(uri)


def test_an_unreadable_configuration_is_reported(conf):
    (conf / "core-site.xml").write_text("<configuration>")
    with pytest.raises(ValueError, match=r"core-site\.xml: no element found"):
        connected()
