"""The JSON documents of Metron's model service, byte for byte."""

from __future__ import annotations

import pytest

from stellar.maas.schema import (
    Endpoint,
    MaaSConfig,
    Model,
    ModelEndpoint,
    ModelRequest,
    ServiceInstance,
    read_json,
    validate_name,
)

CONFIG = b'{"queue":"ZOOKEEPER","queueConfig":{"zk_path":"/maas/queue"},"serviceRoot":"/maas/service"}'
ADD = b'{"name":"dga","version":"1.0","numInstances":1,"memory":512,"action":"ADD","path":"/user/root/models"}'
REMOVE = b'{"name":"dga","version":"1.0","numInstances":1,"memory":0,"action":"REMOVE","path":null}'
INSTANCE = (
    b'{"name":"dga","id":"2","address":"node1","port":36161,"sslPort":null,"payload":{"@class":'
    b'"org.apache.metron.maas.config.ModelEndpoint","endpoint":{"url":"http://node1:36161","functions":'
    b'{"apply":"apply"}},"name":"dga","version":"1.0","containerId":"2"},"registrationTimeUTC":1571163620277,'
    b'"serviceType":"STATIC","uriSpec":null}'
)
DGA = Model("dga", "1.0")


def test_documents_have_metrons_bytes():
    assert MaaSConfig().to_json() == CONFIG
    assert len(CONFIG) == 91
    add = ModelRequest(name="dga", version="1.0", num_instances=1, memory=512, action="ADD", path="/user/root/models")
    assert add.to_json() == ADD
    assert len(ADD) == 102
    assert ModelRequest(name="dga", version="1.0", num_instances=1, action="REMOVE").to_json() == REMOVE
    assert len(REMOVE) == 88
    endpoint = Endpoint(url="http://node1:36161")
    instance = ServiceInstance.of(DGA, "2", endpoint, lasting=True, now=1571163620.277)
    assert instance.to_json() == INSTANCE
    assert len(INSTANCE) == 327


def test_a_registration_that_ends_with_its_owner_is_dynamic():
    instance = ServiceInstance.of(DGA, "2", Endpoint(url="http://node1:36161"), now=1571163620.277)
    assert instance.to_json() == INSTANCE.replace(b"STATIC", b"DYNAMIC")


def test_strings_beyond_ascii_are_encoded_as_utf_8():
    assert '"name":"modèle"'.encode() in ModelRequest(name="modèle").to_json()


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [("http://h:1/x", "h", 1), ("http://h", "h", -1), ("http://[::1]:80", "::1", 80), ("https://H:443", "h", 443)],
)
def test_a_registration_has_host_and_port_or_minus_one_for_no_port(url, address, port):
    instance = ServiceInstance.of(DGA, "2", Endpoint(url=url))
    assert (instance.address, instance.port) == (address, port)


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        (ADD, ModelRequest.from_json(ADD)),
        (b"{}", ModelRequest()),
        (b'{"numInstances":"3","memory":null}', ModelRequest(num_instances=3)),
        (b'{"version":1.0}', ModelRequest(version="1.0")),
        (b'{"version":1.10}', ModelRequest(version="1.10")),
        (b'{"version":2}', ModelRequest(version="2")),
        (b'{"path":"p","extra":{"a":1},"name":"n"}', ModelRequest(path="p", name="n")),
    ],
)
def test_a_request_is_parsed_leniently(data, request_):
    assert ModelRequest.from_json(data) == request_


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"null", "expected a JSON object, got null"),
        (b"[]", "expected a JSON object"),
        (b"not json", "Expecting value"),
        (b"", "Expecting value"),
        (b"\xff", "can't decode"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"action":"add"}', "action: Input should be 'ADD' or 'REMOVE'"),
        (b'{"numInstances":"x"}', "numInstances: Input should be a valid integer"),
        (b'{"name":{}}', "name: Input should be a valid string"),
    ],
)
def test_an_invalid_request_is_rejected_with_the_reason(data, reason):
    with pytest.raises(ValueError, match=reason):
        ModelRequest.from_json(data)


@pytest.mark.parametrize(
    "data",
    [
        INSTANCE,
        INSTANCE.replace(b',"uriSpec":null', b',"uriSpec":{"parts":[]},"enabled":true,"x":1'),
        INSTANCE.replace(b'"sslPort":null,', b"").replace(b',"uriSpec":null', b""),
        INSTANCE.replace(b"36161,", b"null,"),
        INSTANCE.replace(b"STATIC", b"PERMANENT"),
        INSTANCE.replace(b',"functions":{"apply":"apply"}', b""),
        INSTANCE.replace(b'"containerId"', b'"health":"ok","containerId"'),
    ],
)
def test_a_registration_is_parsed_leniently(data):
    instance = ServiceInstance.from_json(data)
    assert (instance.model, instance.id, instance.url) == (DGA, "2", "http://node1:36161")
    assert instance.payload.endpoint.functions == {"apply": "apply"}
    assert instance.lasting


@pytest.mark.parametrize(
    ("data", "config"),
    [
        (b"{}", MaaSConfig()),
        (CONFIG, MaaSConfig()),
        (b'{"serviceRoot":"/other"}', MaaSConfig(service_root="/other")),
        (b'{"queueConfig":{"zk_path":"/q","more":1}}', MaaSConfig(queue_config={"zk_path": "/q", "more": 1})),
    ],
)
def test_all_fields_of_a_configuration_are_optional(data, config):
    assert MaaSConfig.from_json(data) == config


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"queueConfig":{}}', "You must specify zk_path for a zk queue"),
        (b'{"queue":"KAFKA"}', "queue: Input should be 'ZOOKEEPER'"),
        (b'{"serviceRoot":"maas"}', "invalid path 'maas'"),
        (b'{"serviceRoot":"/../etc"}', "invalid path '/../etc'"),
        (b'{"queueConfig":{"zk_path":"/"}}', "invalid path '/'"),
    ],
)
def test_a_configuration_with_an_invalid_path_is_rejected(data, reason):
    with pytest.raises(ValueError, match=reason):
        MaaSConfig.from_json(data)


@pytest.mark.parametrize(
    ("data", "url", "functions"),
    [
        (b'{"url" : "http://0.0.0.0:36161"}', "http://0.0.0.0:36161", {"apply": "apply"}),
        (b'{"url":"http://h:1500","functions":{"apply":"echo"}}', "http://h:1500", {"apply": "echo"}),
        (b'{"url":"http://h:1","functions":{}}', "http://h:1", {}),
        (b'{"url":"http://h:1","functions":null}', "http://h:1", {"apply": "apply"}),
        (b'{"url":"http://h:1","more":[1]}', "http://h:1", {"apply": "apply"}),
        (b'{"url":""}', "", {"apply": "apply"}),
    ],
)
def test_endpoint_dat_is_parsed(data, url, functions):
    endpoint = Endpoint.from_json(data)
    assert (endpoint.url, endpoint.functions) == (url, functions)
    assert b"more" not in endpoint.to_json()


@pytest.mark.parametrize("data", [b"", b"{'url': 'http://h'}", b'"http://h"', b'{"url" : "ht', b'{"functions":{}}'])
def test_an_incomplete_endpoint_dat_is_rejected(data):
    with pytest.raises(ValueError, match=r".+"):
        Endpoint.from_json(data)


def test_an_endpoint_as_a_map_contains_each_function():
    endpoint = Endpoint(url="http://h:1", functions={"apply": "a", "score": "s"})
    assert ModelEndpoint(endpoint=endpoint, name="dga", version="1.0", container_id="2").as_map() == {
        "name": "dga",
        "version": "1.0",
        "url": "http://h:1",
        "endpoint:apply": "a",
        "endpoint:score": "s",
    }


@pytest.mark.parametrize("name", ["", "  ", ".", "..", "a/b", "/", "a\n", "a\0", "\x1b[2J", "x" * 201, "é" * 101])
def test_a_name_that_is_not_a_valid_path_element_is_rejected(name):
    with pytest.raises(ValueError, match="the model's name"):
        validate_name(name, "model's name")


@pytest.mark.parametrize("name", ["dga", "1.0", "a b", "a;rm -rf $HOME", "-n", "...", "modèle"])
def test_other_names_are_accepted_unchanged(name):
    assert validate_name(name, "model's name") == name


@pytest.mark.parametrize("document", ["NaN", "Infinity", "-Infinity", "[1,]", "// x\n1", "[" * 100_000])
def test_only_valid_json_is_parsed(document):
    with pytest.raises(ValueError, match=r".+"):
        read_json(document)
