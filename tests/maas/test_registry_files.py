"""What is special about a registry of files: owners that die, strangers that write, disks that fail."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stellar
from stellar.maas import FileQueue, FileRegistry, MaaSConfig, ModelRequest
from stellar.maas.files import is_locked, read_config

PACKAGES = Path(stellar.__file__).parents[1]

OWNER = """
import sys, time
from stellar.maas import FileRegistry, ServiceInstance
from stellar.maas.schema import Endpoint, Model
registry = FileRegistry(sys.argv[1])
registry.register(ServiceInstance.of(Model("dga", "1.0"), "7", Endpoint(url="http://h:1")))
print("registered", flush=True)
time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """Another process that has registered an instance."""
    with subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, cwd=PACKAGES) as process:
        assert process.stdout.readline() == b"registered\n"
        yield process
        process.kill()


def registrations(directory):
    return sorted(str(file.relative_to(directory)) for file in directory.glob("maas/service/*/*"))


def test_a_registration_vanishes_when_its_owner_is_killed(tmp_path, owner, eventually):
    registry = FileRegistry(tmp_path)
    heard = []
    registry.listen(lambda added, removed: heard.extend(instance.id for instance in removed))
    assert registry.endpoint("dga").url == "http://h:1"
    assert registrations(tmp_path) == ["maas/service/dga/7"]
    owner.kill()
    eventually(lambda: heard == ["7"])
    assert registry.instances() == ()
    assert registrations(tmp_path) == []
    registry.close()


def test_the_layout_is_that_of_zookeeper(tmp_path, make_instance):
    with FileRegistry(tmp_path) as registry:
        made = make_instance("dga", "1.0", "7", "http://h:1")
        registry.register(made)
        FileQueue(tmp_path).enqueue(ModelRequest(name="dga"))
        assert (tmp_path / "maas/service/dga/7").read_bytes() == made.to_json()
        assert (tmp_path / "maas/queue/qn-0000000000").read_bytes() == ModelRequest(name="dga").to_json()
    assert registrations(tmp_path) == []
    assert (tmp_path / "maas/service/dga").is_dir()


def test_the_configuration_says_where_things_are(tmp_path, make_instance):
    config = tmp_path / "metron/maas/config"
    config.parent.mkdir(parents=True)
    config.write_bytes(MaaSConfig(service_root="/s/r", queue_config={"zk_path": "/q"}).to_json())
    with FileRegistry(tmp_path) as registry:
        registry.register(make_instance("dga", "1.0", "7", "http://h:1"))
        FileQueue(tmp_path).enqueue(ModelRequest())
        assert (tmp_path / "s/r/dga/7").exists()
        assert (tmp_path / "q/qn-0000000000").exists()


def test_a_configuration_that_can_not_be_used_is_named(tmp_path):
    (tmp_path / "other").write_text("{")
    with pytest.raises(ValueError, match=r"/other: Expecting property name"):
        FileRegistry(tmp_path, config_path="/other")
    with pytest.raises(ValueError, match=r"'/\.\./other' is not an absolute path"):
        read_config(tmp_path, "/../other")


def lasting(tmp_path, id, data):
    file = tmp_path / "maas/service/dga" / id
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_a_bad_entry_is_left_out_with_one_warning_and_the_others_stay(tmp_path, make_instance, caplog):
    good = make_instance("dga", "1.0", "1", "http://h", lasting=True)
    lasting(tmp_path, "1", good.to_json())
    registry = FileRegistry(tmp_path)
    lasting(tmp_path, "2", b"not json")
    lasting(tmp_path, "3", b"")
    lasting(tmp_path, "4", json.dumps({"name": "dga"}).encode())
    (tmp_path / "maas/service/stray").write_text("a file where a model's directory should be")
    (tmp_path / "maas/service/dga/directory").mkdir()
    os.mkfifo(tmp_path / "maas/service/dga/pipe")
    for _ in range(3):
        assert registry.instances() == (good,)
    assert len(caplog.records) == 3
    assert "dga/2 is no registration and is left out: Expecting value" in caplog.text


def test_an_entry_that_was_written_anew_is_read_anew(tmp_path, make_instance):
    registry = FileRegistry(tmp_path)
    for port in (1, 2):
        draft = lasting(tmp_path, "draft", make_instance("dga", "1.0", "1", f"http://h:{port}", lasting=True).to_json())
        draft.rename(tmp_path / "maas/service/dga/1")
        assert [instance.url for instance in registry.instances()] == [f"http://h:{port}"]


def test_what_was_known_stays_known_while_the_directory_can_not_be_read(tmp_path, make_instance, monkeypatch, caplog):
    good = make_instance("dga", "1.0", "1", "http://h", lasting=True)
    lasting(tmp_path, "1", good.to_json())
    registry = FileRegistry(tmp_path)

    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("stellar.maas.files.Path.iterdir", fail)
    for _ in range(3):
        assert registry.instances() == (good,)
    assert [record.getMessage() for record in caplog.records] == [
        "the model registry can't be read: [Errno 5] Input/output error"
    ]
    monkeypatch.undo()
    (tmp_path / "maas/service/dga/1").unlink()
    assert registry.instances() == ()


def test_one_who_may_only_read_ignores_the_registration_of_a_dead_owner(tmp_path, make_instance, monkeypatch):
    lasting(tmp_path, "1", make_instance("dga", "1.0", "1", "http://h").to_json())  # nobody holds its lock

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stellar.maas.files.Path.unlink", refuse)
    assert FileRegistry(tmp_path).instances() == ()
    assert registrations(tmp_path) == ["maas/service/dga/1"]


def test_a_registration_that_is_written_anew_while_one_looks_is_not_taken_away(tmp_path, make_instance, monkeypatch):
    with FileRegistry(tmp_path) as owner:
        owner.register(make_instance("dga", "1.0", "1", "http://h:1"))
        looker = FileRegistry(tmp_path)

        def meanwhile(handle):
            monkeypatch.setattr("stellar.maas.files.is_locked", is_locked)
            owner.register(make_instance("dga", "1.0", "1", "http://h:2"))
            return is_locked(handle)

        monkeypatch.setattr("stellar.maas.files.is_locked", meanwhile)
        assert [instance.url for instance in looker.instances()] == ["http://h:2"]


def test_a_registry_that_is_only_read_writes_nothing(tmp_path, caplog):
    directory = tmp_path / "not there"
    with caplog.at_level(logging.WARNING):
        assert FileRegistry(directory).instances() == ()
        assert FileQueue(directory).take(0) is None
    assert not directory.exists()
    assert caplog.records == []


def test_no_draft_is_left_behind(tmp_path, make_instance, monkeypatch):
    with FileRegistry(tmp_path) as registry:
        registry.register(make_instance("dga", "1.0", "1", "http://h"))
        monkeypatch.setattr("stellar.maas.files.Path.replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            registry.register(make_instance("dga", "1.0", "2", "http://h"))
    assert list((tmp_path / ".aside").iterdir()) == []
