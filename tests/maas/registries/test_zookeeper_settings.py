"""Settings of the connection to ZooKeeper."""

from __future__ import annotations

import json

import pytest

from stellar.maas import ZooKeeperSettings

INVALID = [
    ({}, "", "invalid hosts '': expected HOST:PORT,HOST:PORT"),
    ({}, "node1:x", "invalid hosts 'node1:x': expected HOST:PORT,HOST:PORT"),
    ({}, "node1:2181, node2:2181", "invalid hosts 'node1:2181, node2:2181': must not contain whitespace"),
    ({"session_second": 1}, "h", "unknown setting 'session_second'; did you mean session_seconds?"),
    ({"session_seconds": 0}, "h", "invalid session_seconds: expected a number from 0.001 to 31,536,000, got 0"),
    ({"user": "me"}, "h", "user and password must be set together"),
    ({"user": "a:b", "password": "x"}, "h", "the user must not contain a colon"),
    ({"others": "none"}, "h", "others: 'none' needs credentials"),
    ({"others": "some"}, "h", "invalid others: expected all or read or none, got 'some'"),
    ({"ca": "ca.pem"}, "h", "ca, certificate and key need TLS; set tls to true"),
    ({"tls": True, "ca": "/no/such/file"}, "h", "invalid ca: expected a readable file, got '/no/such/file'"),
    ({"hosts": "other"}, "h", "expected a JSON object without hosts"),
    ([], "h", "expected a JSON object without hosts"),
    ("{", "h", "Expecting property name"),
]


@pytest.mark.parametrize(("content", "hosts", "reason"), INVALID)
def test_invalid_settings_are_rejected(content, hosts, reason, tmp_path):
    file = tmp_path / "zk.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=r"zk\.json: ") as refused:
        ZooKeeperSettings.read(hosts, file)
    assert reason in str(refused.value)


def test_the_file_defaults_to_the_environment_variable(tmp_path, monkeypatch):
    (tmp_path / "zk.json").write_text('{"session_seconds": 4, "user": "me", "password": "it is secret"}')
    monkeypatch.setenv("MAAS_ZK_CLIENT", str(tmp_path / "zk.json"))
    settings = ZooKeeperSettings.read("node1:2181,node2:2181/metron")
    assert (settings.session_seconds, settings.password) == (4, "it is secret")
    assert "it is secret" not in repr(settings)
    monkeypatch.delenv("MAAS_ZK_CLIENT")
    assert ZooKeeperSettings.read("node1").session_seconds == 10


def test_a_password_does_not_appear_in_error_messages(tmp_path):
    (tmp_path / "zk.json").write_text('{"user": "me", "password": 12345678, "sasl": "s3cret"}')
    with pytest.raises(ValueError, match="password") as refused:
        ZooKeeperSettings.read("node1", tmp_path / "zk.json")
    assert "12345678" not in str(refused.value)
    assert "s3cret" not in str(refused.value)
