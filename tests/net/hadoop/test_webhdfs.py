"""WebHDFS with responses that a real HDFS can't be made to send: several name nodes, and other servers."""

from __future__ import annotations

import httpx
import pytest

from stellar.net.hadoop.webhdfs import WebHdfs, open_hdfs
from stellar.util.filesystems import FileTooLarge

STANDBY = {"RemoteException": {"exception": "StandbyException", "message": "state standby\nat java"}}
HOME = {"Path": "/user/me"}


def make_client(responses, urls=("http://one:9870", "http://two:9870")):
    """Return a client of name nodes with given responses by host, and the list of the hosts that it requests."""
    requested = []

    def respond(request):
        requested.append(request.url.host)
        response = responses[request.url.host]
        if isinstance(response, Exception):
            raise response
        return response if isinstance(response, httpx.Response) else httpx.Response(200, json=response)

    return WebHdfs(urls, transport=httpx.MockTransport(respond)), requested


@pytest.mark.parametrize("unusable", [httpx.Response(403, json=STANDBY), httpx.ConnectError("refused")])
def test_the_active_name_node_is_found_and_requested_first_from_then_on(unusable):
    hdfs, requested = make_client({"one": unusable, "two": HOME})
    assert [hdfs.home(), hdfs.home()] == ["/user/me"] * 2
    assert requested == ["one", "two", "two"]


def test_a_request_that_may_have_been_processed_is_not_repeated_at_another_name_node():
    hdfs, requested = make_client({"one": httpx.ReadTimeout("late"), "two": HOME})
    with pytest.raises(ConnectionError, match="can't reach HDFS: http://one:9870: late"):
        hdfs.delete("/x")
    assert requested == ["one"]


def test_the_error_names_each_name_node_if_none_is_active():
    hdfs, _ = make_client({"one": httpx.Response(403, json=STANDBY), "two": httpx.ConnectError("")})
    with pytest.raises(ConnectionError, match=r"http://one:9870: state standby; http://two:9870: ConnectError$"):
        hdfs.home()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_a_response_that_is_not_from_webhdfs_is_an_error(body):
    hdfs, _ = make_client({"one": httpx.Response(200, content=body)}, ["http://one:9870"])
    with pytest.raises(ConnectionError, match="invalid response of one:9870: expected a JSON object"):
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
def test_an_invalid_url_of_a_data_node_is_not_requested(location):
    hdfs, requested = make_client({"one": {"Location": location}}, ["http://one:9870"])
    with pytest.raises(OSError, match="expected the URL of a data node"):
        hdfs.read("/x")
    assert requested == ["one"]


def test_no_more_than_the_limit_of_a_large_file_is_read():
    sent = []

    def body():
        for _ in range(1000):
            sent.append(1)
            yield b"x" * (1 << 20)

    location = {"Location": "http://data:9864/webhdfs/v1/x?op=OPEN"}
    hdfs, _ = make_client({"one": location, "data": httpx.Response(200, content=body())}, ["http://one:9870"])
    with pytest.raises(FileTooLarge, match=r"/x has more than 3000000 bytes"):
        hdfs.read("/x", 3_000_000)
    assert len(sent) < 10


SITE = "<configuration>%s</configuration>"
PROPERTY = "<property><name>%s</name><value>%s</value></property>"


def write_site(folder, name, **properties):
    """Write a site file; in names, `__` means a hyphen and `_` a dot."""
    rows = "".join(PROPERTY % (key.replace("__", "-").replace("_", "."), value) for key, value in properties.items())
    (folder / f"{name}-site.xml").write_text(SITE % rows)


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    return tmp_path


def test_several_name_nodes_are_read_from_the_configuration_of_hadoop(configuration):
    write_site(configuration, "core", fs_defaultFS="hdfs://estate")
    write_site(
        configuration,
        "hdfs",
        dfs_ha_namenodes_estate="a, b",
        dfs_namenode_http__address_estate_a="one:9870",
        dfs_namenode_http__address_estate_b="two:9870",
    )
    with open_hdfs() as hdfs:
        assert (hdfs.uri, hdfs.urls) == ("hdfs://estate", ["http://one:9870", "http://two:9870"])


def test_the_default_ports_are_used_without_configuration(configuration):
    for uri, url in (
        ("hdfs://node1:8020", "http://node1:9870"),
        ("webhdfs://node1:50070", "http://node1:50070"),
        ("swebhdfs://node1:9871", "https://node1:9871"),
    ):
        with open_hdfs(uri) as hdfs:
            assert hdfs.urls == [url]
    write_site(configuration, "hdfs", dfs_http_policy="HTTPS_ONLY")
    with open_hdfs("hdfs://node1:8020") as hdfs:
        assert hdfs.urls == ["https://node1:9871"]


@pytest.mark.parametrize("uri", ["http://node1:9870", "hdfs:///x", "node1:8020", "s3://bucket"])
def test_an_invalid_uri_is_rejected(uri):
    with pytest.raises(ValueError, match=r"expected one such as hdfs://node1:8020"):
        open_hdfs(uri)


def test_the_error_names_an_invalid_configuration_file(configuration):
    (configuration / "core-site.xml").write_text("<configuration>")
    with pytest.raises(ValueError, match=r"invalid XML in .*core-site\.xml: no element found"):
        open_hdfs()
