"""How to speak with ZooKeeper: what settings can be meant."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from stellar.maas import ZooKeeperSettings

TEXT = (Path(__file__).parents[2] / "docs/models/operate.md").read_text()

REFUSED = [
    ({}, "", "'' is not of the form HOST:PORT,HOST:PORT"),
    ({}, "node1:x", "'node1:x' is not of the form HOST:PORT,HOST:PORT"),
    ({}, "node1:2181, node2:2181", "'node1:2181, node2:2181' has blanks in it"),
    ({"session_second": 1}, "h", "session_second: Extra inputs are not permitted"),
    ({"session_seconds": 0}, "h", "session_seconds: Input should be greater than 0"),
    ({"user": "me"}, "h", "user and password go together"),
    ({"user": "a:b", "password": "x"}, "h", "the user's name has no colon"),
    ({"others": "none"}, "h", "others: 'none' needs somebody who is not others"),
    ({"others": "some"}, "h", "others: Input should be 'all', 'read' or 'none'"),
    ({"ca": "ca.pem"}, "h", "ca, certificate and key are for TLS; set tls to true"),
    ({"tls": True, "ca": "/no/such/file"}, "h", "the file /no/such/file can't be read"),
    ({"hosts": "other"}, "h", "a JSON object without hosts is needed here"),
    ([], "h", "a JSON object without hosts is needed here"),
    ("{", "h", "Expecting property name"),
]


@pytest.mark.parametrize(("content", "hosts", "reason"), REFUSED)
def test_settings_that_can_not_be_meant_are_refused(content, hosts, reason, tmp_path):
    file = tmp_path / "zk.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=r"zk\.json: ") as refused:
        ZooKeeperSettings.read(hosts, file)
    assert reason in str(refused.value)


def test_the_file_is_that_of_the_environment_where_none_is_given(tmp_path, monkeypatch):
    (tmp_path / "zk.json").write_text('{"session_seconds": 4, "user": "me", "password": "it is secret"}')
    monkeypatch.setenv("MAAS_ZK_CLIENT", str(tmp_path / "zk.json"))
    settings = ZooKeeperSettings.read("node1:2181,node2:2181/metron")
    assert (settings.session_seconds, settings.password) == (4, "it is secret")
    assert "it is secret" not in repr(settings)
    monkeypatch.delenv("MAAS_ZK_CLIENT")
    assert ZooKeeperSettings.read("node1").session_seconds == 10


def test_every_setting_is_documented():
    keys = set(re.findall(r"`(\w+)`", "".join(line for line in TEXT.splitlines() if line.startswith("| `"))))
    assert {field.name for field in fields(ZooKeeperSettings)} - {"hosts"} <= keys


def test_a_password_is_not_told_where_something_else_is_wrong(tmp_path):
    (tmp_path / "zk.json").write_text('{"user": "me", "password": 12345678, "sasl": "s3cret"}')
    with pytest.raises(ValueError, match="password") as refused:
        ZooKeeperSettings.read("node1", tmp_path / "zk.json")
    assert "12345678" not in str(refused.value)
    assert "s3cret" not in str(refused.value)
