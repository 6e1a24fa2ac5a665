"""Targets and settings of search servers: Metron's keys, and errors with their fixes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from stellar.pipeline.connectors.search.settings import SearchSettingError, make_search_settings
from stellar.pipeline.connectors.search.target import parse_search_target


@pytest.mark.parametrize(
    ("target", "urls"),
    [
        ("opensearch:", ()),
        ("opensearch:http://node1:9200", ("http://node1:9200",)),
        ("elasticsearch:https://node1, http://[::1]:9201/es/", ("https://node1:443", "http://[::1]:9201/es")),
        ("opensearch:http://node1", ("http://node1:9200",)),
    ],
)
def test_a_target_has_urls_with_ports(target: str, urls: tuple[str, ...]) -> None:
    found = parse_search_target(target)
    assert (found.kind, found.urls) == (target.partition(":")[0], urls)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("node1:9200", "expected http://HOST:PORT or https://HOST:PORT"),
        ("http://node1:99999", "invalid URL of a search server"),
        ("http://", "expected http://HOST:PORT"),
        ("http://node1:9200?a=1", "expected http://HOST:PORT"),
        ("https://me:secret@node1", "has a password, which other users can see"),
    ],
)
def test_an_invalid_url_is_an_error(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        parse_search_target(f"opensearch:{url}")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("hosts", "urls"),
    [
        ({"es.ip": "node1"}, ("http://node1:9200",)),
        ({"es.ip": "node1", "es.port": "9201"}, ("http://node1:9201",)),
        ({"es.ip": "node1:9202, node2", "es.port": 9201}, ("http://node1:9202", "http://node2:9201")),
        ({"es.ip": ["node1:9200", "node2:9200"]}, ("http://node1:9200", "http://node2:9200")),
        ({"es.ip": "[::1]"}, ("http://[::1]:9200",)),
        ({"es.ip": "https://node1:9200"}, ("https://node1:9200",)),
        ({"es.ip": "node1", "es.client.settings": {"ssl.enabled": True}}, ("https://node1:9200",)),
    ],
)
def test_the_hosts_are_those_of_metron(hosts: dict[str, Any], urls: tuple[str, ...]) -> None:
    assert make_search_settings(parse_search_target("elasticsearch:"), hosts).urls == urls


def read(**options: Any) -> Any:
    return make_search_settings(
        parse_search_target("opensearch:http://node1"),
        {"es.client.settings": {name.replace("_", "."): value for name, value in options.items()}},
    )


def test_credentials_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("se:cret\n", encoding="utf-8")
    settings = read(xpack_username="me", xpack_password_file=str(tmp_path / "password"))
    assert settings.authorization == f"Basic {base64.b64encode(b'me:se:cret').decode()}"
    older = read(es_xpack_username="me", es_xpack_password_file=str(tmp_path / "password"))
    assert older.authorization == settings.authorization
    assert read(api_key_file=str(tmp_path / "password")).authorization == "ApiKey se:cret"
    assert read().authorization is None


def test_certificates_and_time_outs_are_settings() -> None:
    settings = read(
        ssl_ca_path="ca.pem", ssl_certificate_path="c.pem", ssl_key_path="k.pem", socket_timeout_millis="1500"
    )
    assert (settings.ca, settings.certificate, settings.key) == ("ca.pem", "c.pem", "k.pem")
    assert settings.seconds == 1.5
    assert read(connection_timeout_millis=5, num_client_connection_threads=2) == read()


@pytest.mark.parametrize(
    ("settings", "keys", "reason"),
    [
        ({}, (), "no hosts of opensearch configured; pass opensearch:http://HOST:PORT, or set es.ip"),
        ({"es.ip": 5}, ("es.ip",), "expected hosts as a list or a string, got 5"),
        ({"es.ip": ["node1", 5]}, ("es.ip",), "expected hosts as a list or a string"),
        ({"es.ip": "node1:port"}, ("es.ip",), "invalid URL of a search server"),
        ({"es.client.settings": []}, (), "no hosts"),
        ({"es.client.settings": ["a"]}, ("es.client.settings",), "expected a map"),
        (
            {"es.client.settings": {"xpack.user": 1}},
            ("es.client.settings", "xpack.user"),
            "did you mean xpack.username?",
        ),
        (
            {"es.client.settings": {"keystore.path": "k.jks"}},
            ("es.client.settings", "keystore.path"),
            "set ssl.ca.path to a PEM file instead",
        ),
        ({"es.client.settings": {"ssl.enabled": 1}}, ("es.client.settings", "ssl.enabled"), "expected true or false"),
        (
            {"es.client.settings": {"socket.timeout.millis": "long"}, "es.ip": "a"},
            ("es.client.settings", "socket.timeout.millis"),
            "expected an integer",
        ),
        (
            {"es.client.settings": {"xpack.username": "me"}, "es.ip": "a"},
            ("es.client.settings",),
            "xpack.username and xpack.password.file are needed together",
        ),
        (
            {"es.client.settings": {"api.key.file": "/no/file"}, "es.ip": "a"},
            ("es.client.settings", "api.key.file"),
            "cannot read /no/file: No such file or directory",
        ),
        (
            {"es.client.settings": {"api.key.file": "/dev/null"}, "es.ip": "a"},
            ("es.client.settings", "api.key.file"),
            "/dev/null is empty; expected one line",
        ),
    ],
)
def test_an_invalid_setting_is_an_error_that_names_its_key(
    settings: dict[str, Any], keys: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(SearchSettingError, match=reason.replace("?", r"\?")) as raised:
        make_search_settings(parse_search_target("opensearch:"), settings)
    assert raised.value.keys == keys
