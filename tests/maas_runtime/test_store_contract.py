"""What every model store does, asked of each."""

from __future__ import annotations

import uuid
from urllib.request import urlopen

import pytest

from maas_runtime.errors import DeployError
from maas_runtime.store.hdfs import HdfsStore
from stellar.net.hadoop.webhdfs import WebHdfs


@pytest.fixture(params=["local", pytest.param("hdfs", marks=pytest.mark.engine)])
def store(request, store):
    """A store of each kind; `at` tells paths in it that no other test uses."""
    if request.param == "local":
        yield store
        return
    engine = request.getfixturevalue("hdfs")
    with WebHdfs([engine.url], uri=engine.uri) as hdfs:
        yield HdfsStore(hdfs)


@pytest.fixture
def at():
    base = f"/test-{uuid.uuid4().hex[:8]}"
    return lambda path: f"{base}/{path}"


def test_what_is_uploaded_can_be_fetched_with_its_directories_and_modes(store, model, tmp_path, at):
    assert store.upload(model, at("models")) == ["data/deep/weights", "rest.sh"]
    store.fetch(at("models"), tmp_path / "work")
    assert (tmp_path / "work/data/deep/weights").read_bytes() == b"\0\1"
    assert (tmp_path / "work/rest.sh").stat().st_mode & 0o777 == 0o750
    assert not (tmp_path / "work/endpoint.dat").exists()
    assert store.script(at("models")) == "rest.sh"


def test_uploading_again_replaces_and_keeps_what_is_there(store, model, tmp_path, at):
    store.upload(model, at("m"))
    (model / "rest.sh").write_text("new")
    (model / "data/deep/weights").unlink()
    store.upload(model, at("m"))
    store.fetch(at("m"), tmp_path / "work")
    assert (tmp_path / "work/rest.sh").read_text() == "new"
    assert (tmp_path / "work/data/deep/weights").exists()


def test_one_script_is_needed(store, model, at):
    (model / "rest.sh").unlink()
    with pytest.raises(
        DeployError, match=r"must have one script that starts the model; there is no \.sh file at its top"
    ):
        store.upload(model, at("m"))


def test_of_several_scripts_one_must_be_chosen_and_stays_chosen(store, model, at):
    (model / "train.sh").write_text("")
    with pytest.raises(DeployError, match=r"at its top: rest.sh, train.sh; choose one with --script"):
        store.upload(model, at("m"))
    store.upload(model, at("m"), script="train.sh")
    assert store.script(at("m")) == "train.sh"
    with pytest.raises(DeployError, match=r"has no script other.sh; at its top: rest.sh, train.sh"):
        store.upload(model, at("m"), script="other.sh")


@pytest.mark.parametrize("script", ["../rest.sh", "/bin/sh", "data/deep", ""])
def test_a_script_is_a_file_at_the_top(script, store, model, at):
    with pytest.raises(DeployError, match="has no script"):
        store.upload(model, at("m"), script=script)


@pytest.mark.parametrize("path", ["nothing", "m/rest.sh"])
def test_what_is_not_there_can_not_be_fetched(path, store, model, tmp_path, at):
    store.upload(model, at("m"))
    for ask in (store.script, lambda path: store.fetch(path, tmp_path / "work")):
        with pytest.raises(DeployError, match="has no directory"):
            ask(at(path))


def test_what_is_no_directory_can_not_be_uploaded(store, tmp_path, at):
    with pytest.raises(DeployError, match="missing is not a directory"):
        store.upload(tmp_path / "missing", at("m"))


def test_names_may_be_as_odd_as_files_allow(store, model, tmp_path, at):
    odd = "a b%20é+&?#;漢.txt"
    (model / odd).write_bytes(b"x" * 3_000_000)
    store.upload(model, at("m"))
    store.fetch(at("m"), tmp_path / "work")
    assert (tmp_path / "work" / odd).stat().st_size == 3_000_000


def test_what_is_published_has_an_address_and_is_left_as_it_is(store, tmp_path, at):
    name = f"{uuid.uuid4().hex}.tar.gz"
    (tmp_path / "packed").write_bytes(b"first")
    address = store.publish(tmp_path / "packed", name)
    (tmp_path / "packed").write_bytes(b"second")
    assert store.publish(tmp_path / "packed", name) == address
    assert address.endswith(name)
    assert address.startswith(("file:///", "hdfs://"))
    if address.startswith("file:"):
        with urlopen(address) as content:
            assert content.read() == b"first"


@pytest.mark.parametrize("path", ["/../x", "a/../../x", "..", "", "/", "a\0b"])
def test_a_path_that_leads_out_is_refused(path, store, model):
    with pytest.raises(DeployError, match="is not a path such as"):
        store.upload(model, path)


@pytest.mark.parametrize("path", ["hdfs://elsewhere:8020/m", "http://h/m"])
def test_a_path_on_another_machine_is_refused(path, store, model):
    with pytest.raises(DeployError, match="is elsewhere"):
        store.upload(model, path)
