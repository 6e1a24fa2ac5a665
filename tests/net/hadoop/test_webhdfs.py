"""WebHDFS where a real HDFS can't be made to answer so: several name nodes, and answers that are none of HDFS."""

from __future__ import annotations

import httpx
import pytest

from stellar.net.hadoop.webhdfs import WebHdfs, connected

STANDBY = {"RemoteException": {"exception": "StandbyException", "message": "state standby\nat java"}}
HOME = {"Path": "/user/me"}


def asking(answers, urls=("http://one:9870", "http://two:9870")):
    """A client of name nodes that answer so, and the hosts that it asked."""
    asked = []

    def answer(request):
        asked.append(request.url.host)
        given = answers[request.url.host]
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

    return WebHdfs(urls, transport=httpx.MockTransport(answer)), asked


@pytest.mark.parametrize("away", [httpx.Response(403, json=STANDBY), httpx.ConnectError("refused")])
def test_the_active_name_node_is_found_and_asked_first_from_then_on(away):
    hdfs, asked = asking({"one": away, "two": HOME})
    assert [hdfs.home(), hdfs.home()] == ["/user/me"] * 2
    assert asked == ["one", "two", "two"]


def test_what_may_have_been_done_is_not_asked_of_another():
    hdfs, asked = asking({"one": httpx.ReadTimeout("late"), "two": HOME})
    with pytest.raises(ConnectionError, match="HDFS can't be reached: http://one:9870: late"):
        hdfs.delete("/x")
    assert asked == ["one"]


def test_when_none_is_active_each_is_named():
    hdfs, _ = asking({"one": httpx.Response(403, json=STANDBY), "two": httpx.ConnectError("")})
    with pytest.raises(ConnectionError, match=r"http://one:9870: state standby; http://two:9870: ConnectError$"):
        hdfs.home()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_another_server_at_that_port_is_said_to_be_so(body):
    hdfs, _ = asking({"one": httpx.Response(200, content=body)}, ["http://one:9870"])
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
def test_a_data_node_is_asked_only_at_an_address_of_one(location):
    hdfs, asked = asking({"one": {"Location": location}}, ["http://one:9870"])
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


def test_without_a_word_of_it_the_usual_port_is_taken(conf):
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
def test_what_is_no_address_of_hdfs_is_refused(uri):
    with pytest.raises(ValueError, match=r"is not an address such as hdfs://node1:8020"):
        connected(uri)


def test_a_configuration_that_can_not_be_read_is_named(conf):
    (conf / "core-site.xml").write_text("<configuration>")
    with pytest.raises(ValueError, match=r"core-site\.xml: no element found"):
        connected()
