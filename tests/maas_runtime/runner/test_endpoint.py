"""endpoint.dat, and health checks that detect a hung model."""

from __future__ import annotations

import json
import os
import re

import pytest

from maas_runtime.deployers import Deployment
from maas_runtime.runner.endpoint import parse_health_path, read_endpoint
from maas_runtime.runner.limits import Limits
from stellar.maas import Model
from stellar.maas.schema import Endpoint

URL = "http://0.0.0.0:1500"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "endpoint.dat"


def test_a_missing_or_empty_file_returns_none(file):
    assert read_endpoint(file) is None
    file.touch()
    assert read_endpoint(file) is None


def test_url_functions_and_health_path_are_read(file):
    file.write_text(json.dumps({"url": URL, "functions": {"apply": "score"}, "health": "/a health"}))
    said = read_endpoint(file)
    assert said.endpoint == Endpoint(url=URL, functions={"apply": "score"})
    assert said.health == "a%20health"


@pytest.mark.parametrize(
    ("said", "health"), [({}, None), ({"health": None}, None), ({"health": False}, False), ({"health": "/"}, "")]
)
def test_health_is_unset_off_or_a_path(said, health, file):
    file.write_text(json.dumps({"url": URL, **said}))
    assert read_endpoint(file).health is health or read_endpoint(file).health == health != False  # noqa: E712


@pytest.mark.parametrize("hedge", [True, False])
def test_hedge_is_a_setting_for_clients_and_not_registered(hedge, file):
    file.write_text(json.dumps({"url": URL, "hedge": hedge}))
    content = read_endpoint(file)
    assert content.settings == {"hedge": hedge}
    assert content.endpoint == Endpoint(url=URL)


def test_without_our_own_keys_there_are_no_settings(file):
    file.write_text(json.dumps({"url": URL, "health": "/health", "other": 1}))
    assert read_endpoint(file).settings == {}


def test_a_url_of_another_host_is_unchanged(file):
    file.write_text('{"url": "http://node7.example:1500"}')
    assert read_endpoint(file).endpoint.url == "http://node7.example:1500"


HOSTILE = {
    "far too long": (b'{"url": "' + b"x" * 70_000 + b'"}', "too large: expected at most 65,536 bytes"),
    "deep": (b'{"url": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "nested too deeply"),
    "a header in a function": (b'{"url": "http://h", "functions": {"apply": "x\\r\\ny"}}', "control characters"),
    "an escape sequence": (b'{"url": "http://h", "functions": {"\\u001b[2J": "x"}}', "control characters"),
    "no text": (b'{"url": {}}', "url"),
    "no map": (b'{"url": "http://h", "functions": ["apply"]}', "functions"),
    "no Unicode": (b'{"url": "http://h/\xff"}', "utf-8"),
    "no JSON": (b'{"url": NaN}', "NaN is not JSON"),
    "health elsewhere": (b'{"url": "http://h", "health": "../../x"}', "expected a path such as /health"),
    "health that is no text": (
        b'{"url": "http://h", "health": 7}',
        "invalid health 7: expected a path such as /health",
    ),
    "health that is true": (b'{"url": "http://h", "health": true}', "health true: expected a path such as /health, or"),
    "hedge that is null": (b'{"url": "http://h", "hedge": null}', "invalid hedge: expected true or false, got null"),
    "hedge that is a string": (b'{"url": "http://h", "hedge": "no"}', 'expected true or false, got "no"'),
    "hedge that is a number": (b'{"url": "http://h", "hedge": 0}', "expected true or false, got 0"),
    "hedge with an escape": (b'{"url": "http://h", "hedge": ["\\u001b"]}', 'got ["\\u001b"]'),
    "health with a header": (b'{"url": "http://h", "health": "/x\\r\\ny"}', "expected a path such as /health"),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_invalid_content_is_rejected_with_the_reason(trick, file):
    content, message = HOSTILE[trick]
    file.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_endpoint(file)
    assert str(error.value).isprintable()


def test_a_pipe_does_not_block(file):
    os.mkfifo(file)
    with pytest.raises(ValueError, match="expected a regular file"):
        read_endpoint(file)


def test_a_link_is_not_followed(file, tmp_path):
    (tmp_path / "other").write_text(json.dumps({"url": URL}))
    file.symlink_to(tmp_path / "other")
    with pytest.raises(ValueError, match="expected a regular file, got a link"):
        read_endpoint(file)


def test_a_device_and_a_directory_are_rejected(file):
    file.mkdir()
    with pytest.raises((ValueError, OSError)):
        read_endpoint(file)


@pytest.mark.parametrize(
    ("text", "path"), [("/health", "health"), ("a/b?c=d", "a/b?c=d"), ("", None), ("/é", "%C3%A9"), ("/", "")]
)
def test_the_health_path_is_relative_to_the_url(text, path):
    assert parse_health_path(text) == path


# --- with a deployer

DGA = Model("dga", "1.0")


def test_a_pipe_as_endpoint_dat_does_not_block_the_runner(
    make_local_deployer, store, collateral, state_store, eventually
):
    store.upload(collateral("#!/bin/sh\nmkfifo endpoint.dat\nsleep 60\n"), "/dga")
    deployer = make_local_deployer(Limits(start=0.5, drain=0.0, end=0.5))
    deployer.scale(Deployment(DGA, "/dga"), 1)
    eventually(lambda: deployer.running(DGA) == 0)
    assert "invalid endpoint.dat: expected a regular file" in state_store.read("failures/dga/1.0")["last"]
